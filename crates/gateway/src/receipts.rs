//! Who of this node's clients got which event, for receipts that are open.

pub(crate) mod clerk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_event::{EventId, Offset, RECEIPT_SETTLE, Reached, TenantId, Timestamp, UserId};
use switchboard_journal::Record;
use tokio::sync::Notify;

/// The open receipts of one partition, as far as this node's clients are concerned.
///
/// Registering and acknowledging take one short lock and write nothing; the [`clerk`] comes for what
/// is due. There is no timer for a receipt: all wait in one order.
#[derive(Default)]
pub(crate) struct Receipts {
    table: Mutex<Table>,
    /// Somebody is due earlier than whoever was due first.
    sooner: Notify,
}

/// What became of the clerk's visit to a receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Visit {
    /// What was known is written down.
    Written,
    /// The same, and by all that every node knows everybody has acknowledged.
    Complete,
    /// It is closed, or there is none any more.
    Over,
    /// Nothing could be written; it is to be tried again.
    Failed,
}

/// What is to be written down of one receipt.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) offset: Offset,
    pub(crate) tenant: TenantId,
    pub(crate) event: EventId,
    /// Whom this node sent it, and who of them has acknowledged.
    pub(crate) users: Vec<(UserId, Reached)>,
    /// Who has answered without having been sent it here.
    pub(crate) claims: Vec<UserId>,
    pub(crate) is_truncated: bool,
    /// Tells whether there is more by now.
    changes: u64,
}

/// What became of a client's answer, for a counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acknowledged {
    /// It counts.
    Counted,
    /// It counts if another node has sent the event to this user, or this one did before it died.
    Claimed,
    /// It is late, repeated, or to nothing that waits for one.
    Ignored,
}

impl Acknowledged {
    pub(crate) const ALL: [Self; 3] = [Self::Counted, Self::Claimed, Self::Ignored];

    /// The word in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Claimed => "claimed",
            Self::Ignored => "ignored",
        }
    }
}

#[derive(Default)]
struct Table {
    open: BTreeMap<Offset, Roll>,
    due: BTreeSet<(Timestamp, Offset)>,
    /// How many users all of them have.
    users: usize,
    /// Between which offsets there are some that had no space.
    left_out: Option<(Offset, Offset)>,
}

/// One open receipt.
struct Roll {
    tenant: TenantId,
    event: EventId,
    deadline: Timestamp,
    /// From when on it can be closed, if everybody has acknowledged.
    settled_at: Timestamp,
    /// When it is to be closed at the latest.
    closes_at: Timestamp,
    users: HashMap<UserId, Standing>,
    is_truncated: bool,
    /// Had no space: it is here only until it is written down that somebody is missing.
    is_left_out: bool,
    /// Whether there is a claim that was looked at once, when another node may not have written yet.
    is_claim_new: bool,
    due: Timestamp,
    changes: u64,
}

/// How one user stands, by what this node has seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// Has answered, and was not sent the event here.
    Claims,
    Sent,
    Acknowledged,
}

impl Receipts {
    /// Follows the receipt of `record`, if it asks for one that is not over for long. False if there
    /// is no space: then this node adds nothing to it but that somebody is missing.
    pub(crate) fn open(&self, record: &Record, now: Timestamp) -> bool {
        let mut table = self.table.lock();
        let first = table.next_due();
        let is_open = table.open(record, now);
        self.wake(first, &table);
        is_open
    }

    /// Notes that `record` was sent to these users. False if there was no space for all of them.
    pub(crate) fn sent<'a>(
        &self,
        record: &Record,
        users: impl IntoIterator<Item = &'a UserId>,
        now: Timestamp,
    ) -> bool {
        let mut table = self.table.lock();
        let first = table.next_due();
        let fits = table.open(record, now) && table.sent(record.position.offset, users, now);
        self.wake(first, &table);
        fits
    }

    /// Between which offsets there are receipts that had no space, once there is some.
    pub(crate) fn take_left_out(&self) -> Option<(Offset, Offset)> {
        let mut table = self.table.lock();
        let has_space = table.open.len() <= OPEN_MAX / 2;
        has_space.then(|| table.left_out.take()).flatten()
    }

    pub(crate) fn has_left_out(&self) -> bool {
        self.table.lock().left_out.is_some()
    }

    /// Follows the receipt of a record that had no space until now: of those that it was sent to,
    /// somebody is missing.
    pub(crate) fn take_up(&self, record: &Record, now: Timestamp) {
        let mut table = self.table.lock();
        let offset = record.position.offset;
        if table.open.contains_key(&offset) || !table.open(record, now) {
            return;
        }
        if let Some(roll) = table.open.get_mut(&offset) {
            roll.is_truncated = true;
        }
        table.touch(offset, now);
    }

    /// There are still receipts between these offsets that are not followed.
    pub(crate) fn leave_out(&self, offsets: (Offset, Offset)) {
        let mut table = self.table.lock();
        table.leave_out(offsets.0);
        table.leave_out(offsets.1);
    }

    /// Takes the answer of a user of `tenant` to the record at `offset`. It counts if the user was
    /// sent it, whoever says so: a client can make any number up.
    pub(crate) fn acknowledge(
        &self,
        offset: Offset,
        tenant: &TenantId,
        user: &UserId,
        now: Timestamp,
    ) -> Acknowledged {
        let mut table = self.table.lock();
        let first = table.next_due();
        let acknowledged = table.acknowledge(offset, tenant, user, now);
        self.wake(first, &table);
        acknowledged
    }

    /// What is to be written down now, at most `count_max` receipts.
    pub(crate) fn take_due(&self, now: Timestamp, count_max: usize) -> Vec<Due> {
        self.table.lock().take_due(now, count_max)
    }

    /// Takes note of the clerk's visit.
    pub(crate) fn visited(&self, due: &Due, visit: Visit, now: Timestamp) {
        self.table.lock().visited(due, visit, now);
    }

    /// When the clerk is to come next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.table.lock().next_due()
    }

    /// Waits until somebody is due earlier than was known.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Forgets all of them, because their offsets are of a history that was lost.
    pub(crate) fn clear(&self) {
        *self.table.lock() = Table::default();
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.lock().open.len()
    }

    fn wake(&self, before: Option<Timestamp>, table: &Table) {
        let now = table.next_due();
        if now.is_some() && (before.is_none() || now < before) {
            self.sooner.notify_one();
        }
    }
}

impl Table {
    fn open(&mut self, record: &Record, now: Timestamp) -> bool {
        let (offset, event) = (record.position.offset, &record.event);
        let Some(deadline) = event.receipt_by() else {
            return true;
        };
        if self.open.contains_key(&offset) {
            return true;
        }
        // What is replayed later than that was closed by somebody, or is over all the same.
        if later(deadline, OVERDUE_MAX) <= now {
            return true;
        }
        let is_left_out = self.open.len() >= OPEN_MAX;
        if self.open.len() >= OPEN_MAX + LEFT_OUT_MAX {
            self.leave_out(offset);
            return false;
        }
        let closes_at = later(deadline, RECEIPT_SETTLE);
        let due = if is_left_out {
            later(now, COALESCE)
        } else {
            closes_at
        };
        self.due.insert((due, offset));
        self.open.insert(
            offset,
            Roll {
                tenant: event.tenant().clone(),
                event: event.id().clone(),
                deadline,
                settled_at: later(event.at(), RECEIPT_SETTLE),
                closes_at,
                users: HashMap::new(),
                is_truncated: is_left_out,
                is_left_out,
                is_claim_new: false,
                due,
                changes: 0,
            },
        );
        !is_left_out
    }

    fn leave_out(&mut self, offset: Offset) {
        let (first, last) = self.left_out.unwrap_or((offset, offset));
        self.left_out = Some((first.min(offset), last.max(offset)));
    }

    fn sent<'a>(
        &mut self,
        offset: Offset,
        users: impl IntoIterator<Item = &'a UserId>,
        now: Timestamp,
    ) -> bool {
        let Some(roll) = self.open.get_mut(&offset) else {
            return true;
        };
        if roll.is_left_out {
            return false;
        }
        if roll.deadline < now {
            return true;
        }
        let mut is_changed = false;
        for user in users {
            match roll.users.get_mut(user) {
                Some(Standing::Sent | Standing::Acknowledged) => continue,
                Some(claims @ Standing::Claims) => *claims = Standing::Sent,
                None if self.users >= USERS_MAX => {
                    is_changed |= !roll.is_truncated;
                    roll.is_truncated = true;
                    break;
                }
                None => {
                    roll.users.insert(user.clone(), Standing::Sent);
                    self.users += 1;
                }
            }
            is_changed = true;
        }
        let fits = !roll.is_truncated;
        if is_changed {
            self.touch(offset, now);
        }
        fits
    }

    fn acknowledge(
        &mut self,
        offset: Offset,
        tenant: &TenantId,
        user: &UserId,
        now: Timestamp,
    ) -> Acknowledged {
        let roll = self.open.get_mut(&offset);
        let is_taken =
            |roll: &&mut Roll| roll.tenant == *tenant && now <= roll.deadline && !roll.is_left_out;
        let Some(roll) = roll.filter(is_taken) else {
            return Acknowledged::Ignored;
        };
        let acknowledged = match roll.users.get_mut(user) {
            Some(sent @ Standing::Sent) => {
                *sent = Standing::Acknowledged;
                Acknowledged::Counted
            }
            Some(Standing::Acknowledged | Standing::Claims) => return Acknowledged::Ignored,
            None if self.users >= USERS_MAX => return Acknowledged::Ignored,
            None => {
                roll.users.insert(user.clone(), Standing::Claims);
                roll.is_claim_new = true;
                self.users += 1;
                Acknowledged::Claimed
            }
        };
        self.touch(offset, now);
        acknowledged
    }

    /// Lets the clerk come soon: what changes until then is written along with it.
    fn touch(&mut self, offset: Offset, now: Timestamp) {
        if let Some(roll) = self.open.get_mut(&offset) {
            roll.changes += 1;
            let due = roll.due.min(later(now, COALESCE));
            self.reschedule(offset, due);
        }
    }

    fn take_due(&mut self, now: Timestamp, count_max: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < count_max
            && let Some((due, offset)) = self.due.first().copied()
            && due <= now
        {
            self.due.pop_first();
            let Some(roll) = self.open.get(&offset) else {
                continue;
            };
            taken.push(roll.due(offset));
        }
        taken
    }

    fn visited(&mut self, due: &Due, visit: Visit, now: Timestamp) {
        let Some(roll) = self.open.get_mut(&due.offset) else {
            return;
        };
        let next = match visit {
            Visit::Over => return self.remove(due.offset),
            Visit::Written | Visit::Complete if roll.is_left_out => {
                self.remove(due.offset);
                return self.leave_out(due.offset);
            }
            Visit::Failed => later(now, RETRY),
            Visit::Written | Visit::Complete if roll.changes != due.changes => later(now, COALESCE),
            // The node that has sent it writes that down within as long.
            Visit::Written if !due.claims.is_empty() && std::mem::take(&mut roll.is_claim_new) => {
                later(now, RECEIPT_SETTLE).min(roll.closes_at.max(later(now, COALESCE)))
            }
            Visit::Complete => roll.settled_at.max(later(now, COALESCE)),
            Visit::Written => roll.closes_at.max(later(now, COALESCE)),
        };
        self.reschedule(due.offset, next);
    }

    fn remove(&mut self, offset: Offset) {
        if let Some(roll) = self.open.remove(&offset) {
            self.users -= roll.users.len();
            self.due.remove(&(roll.due, offset));
        }
    }

    fn reschedule(&mut self, offset: Offset, due: Timestamp) {
        if let Some(roll) = self.open.get_mut(&offset) {
            self.due.remove(&(roll.due, offset));
            roll.due = due;
            self.due.insert((due, offset));
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }
}

impl Roll {
    fn due(&self, offset: Offset) -> Due {
        let reached = |(user, standing): (&UserId, &Standing)| {
            let reached = match standing {
                Standing::Claims => return None,
                Standing::Sent => Reached::Sent,
                Standing::Acknowledged => Reached::Acknowledged,
            };
            Some((user.clone(), reached))
        };
        let claims = |(user, standing): (&UserId, &Standing)| {
            (*standing == Standing::Claims).then(|| user.clone())
        };
        Due {
            offset,
            tenant: self.tenant.clone(),
            event: self.event.clone(),
            users: self.users.iter().filter_map(reached).collect(),
            claims: self.users.iter().filter_map(claims).collect(),
            is_truncated: self.is_truncated,
            changes: self.changes,
        }
    }
}

fn later(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The most open receipts of a partition. Of further ones a node says only that somebody is missing.
const OPEN_MAX: usize = switchboard_journal::AWAITING_MAX;
/// The most of those of which that is still to be written down. Further ones are found again when
/// there is space.
const LEFT_OUT_MAX: usize = 1_024;
/// The most users of all of them, some 100 bytes each.
const USERS_MAX: usize = 50_000;
/// How long changes of a receipt wait for others, to be written together.
const COALESCE: Duration = Duration::from_millis(250);
/// How long what could not be written waits.
const RETRY: Duration = Duration::from_secs(1);
/// How long after its deadline a receipt is still closed that nobody closed in time.
pub(crate) const OVERDUE_MAX: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests;
