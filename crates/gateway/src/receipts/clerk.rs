//! Writes down who got an event, and closes receipts: beside the fan-out, never in its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{
    Accepted, Catalogue, Clock, Context, Draft, Event, EventId, Maker, Offset, ReceiptKey,
    ReceiptState, TenantId, Timestamp,
};
use switchboard_journal::{
    AWAITING_MAX, AppendError, Batch, Change, Expect, Journal, Key, ReadError, Record, Value,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::{Due, OVERDUE_MAX, Visit};
use crate::lane::Lane;

/// Keeps the receipts of all partitions, one task for each, until the set is dropped.
pub(crate) fn start(
    lanes: &[Arc<Lane>],
    journal: &Arc<dyn Journal>,
    catalogue: &Arc<Catalogue>,
    clock: &Clock,
) -> JoinSet<()> {
    let clerk = |lane: &Arc<Lane>| Clerk {
        lane: Arc::clone(lane),
        journal: Arc::clone(journal),
        catalogue: Arc::clone(catalogue),
        clock: clock.clone(),
    };
    let mut clerks = JoinSet::new();
    for lane in lanes {
        let clerk = clerk(lane);
        clerks.spawn(async move { clerk.run().await });
    }
    clerks
}

/// Keeps the receipts of one partition.
struct Clerk {
    lane: Arc<Lane>,
    journal: Arc<dyn Journal>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
}

/// What a batch holds of some receipts, and what each comes to once it is appended.
#[derive(Default)]
struct Draught {
    events: Vec<Event>,
    changes: Vec<Change>,
    visits: Vec<Visit>,
}

/// Why nothing was written.
enum Failure {
    /// Somebody else has written in between.
    Conflict,
    /// The batch has no space for so many.
    TooLong,
    Unavailable(String),
}

impl Clerk {
    /// Takes up what was open when a node died, then comes whenever somebody is due; for ever.
    async fn run(&self) {
        self.take_up().await;
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at
                && let Some(offsets) = self.lane.receipts.take_left_out()
            {
                self.take_up_left_out(offsets).await;
                look_at = Instant::now() + LOOK_MAX;
            }
            self.wait().await;
            let due = self.lane.receipts.take_due(self.clock.now(), DUE_MAX);
            let mut by_tenant: BTreeMap<TenantId, Vec<Due>> = BTreeMap::new();
            for one in due {
                by_tenant.entry(one.tenant.clone()).or_default().push(one);
            }
            for (tenant, due) in by_tenant {
                for group in due.chunks(GROUP_MAX) {
                    self.visit(&tenant, group).await;
                }
            }
        }
    }

    /// Follows receipts that are not over, and those that nobody may have closed. No other node need
    /// be there, and no client need come back.
    async fn take_up(&self) {
        let now = self.clock.now();
        for since in [now, overdue(now)] {
            let mut pause = PAUSE_MIN;
            let records = loop {
                match self.journal.awaiting(self.lane.partition, since).await {
                    Ok(records) => break records,
                    Err(ReadError::Closed) => return,
                    Err(failure) => {
                        warn!(partition = %self.lane.partition, error = %failure, "open receipts are not readable");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            };
            for record in records {
                self.lane.receipts.open(&record, now);
            }
        }
    }

    /// Follows receipts for which there was no space, so that somebody closes them.
    async fn take_up_left_out(&self, (first, last): (Offset, Offset)) {
        let now = self.clock.now();
        for since in [now, overdue(now)] {
            match self.journal.awaiting(self.lane.partition, since).await {
                Ok(records) => {
                    if records.len() >= AWAITING_MAX {
                        self.lane.receipts.leave_out((first, last));
                    }
                    let is_left_out =
                        |record: &&Arc<Record>| (first..=last).contains(&record.position.offset);
                    for record in records.iter().filter(is_left_out) {
                        self.lane.receipts.take_up(record, now);
                    }
                }
                Err(failure) => {
                    debug!(partition = %self.lane.partition, error = %failure, "open receipts are not readable");
                    return self.lane.receipts.leave_out((first, last));
                }
            }
        }
    }

    /// Waits until somebody is due. The time of day may be set, so it is looked at now and then.
    async fn wait(&self) {
        let wait = match self.lane.receipts.next_due() {
            Some(due) => {
                let wait = due.as_millis() - self.clock.now().as_millis();
                Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(LOOK_MAX)
            }
            None if self.lane.receipts.has_left_out() => LOOK_MAX,
            None => return self.lane.receipts.sooner().await,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.lane.receipts.sooner() => {}
        }
    }

    /// Writes down what is known of some receipts of one tenant, in one batch.
    async fn visit(&self, tenant: &TenantId, group: &[Due]) {
        for _ in 0..CONFLICTS_MAX {
            match self.write(tenant, group).await {
                Ok(visits) => {
                    for (due, visit) in group.iter().zip(visits) {
                        self.lane.receipts.visited(due, visit, self.clock.now());
                    }
                    return;
                }
                Err(Failure::Conflict) => {}
                Err(Failure::TooLong) if group.len() > 1 => {
                    for one in group.chunks(1) {
                        Box::pin(self.visit(tenant, one)).await;
                    }
                    return;
                }
                Err(Failure::TooLong) => {
                    error!(partition = %self.lane.partition, "a receipt is longer than a batch");
                    return self.visited(group, Visit::Over);
                }
                Err(Failure::Unavailable(reason)) => {
                    debug!(partition = %self.lane.partition, reason, "receipts wait for the journal");
                    return self.visited(group, Visit::Failed);
                }
            }
        }
        self.visited(group, Visit::Failed);
    }

    fn visited(&self, group: &[Due], visit: Visit) {
        for due in group {
            self.lane.receipts.visited(due, visit, self.clock.now());
        }
    }

    async fn write(&self, tenant: &TenantId, group: &[Due]) -> Result<Vec<Visit>, Failure> {
        let now = self.clock.now();
        let keys: Vec<_> = group.iter().map(|due| key(&due.event)).collect();
        let values = self.journal.values(tenant, &keys, now).await?;
        let mut draught = Draught::default();
        for ((due, key), value) in group.iter().zip(keys).zip(values) {
            let visit = self.draw(due, key, value, &mut draught, now);
            draught.visits.push(visit);
        }
        if draught.changes.is_empty() {
            return Ok(draught.visits);
        }
        let Draught {
            events,
            changes,
            visits,
        } = draught;
        let batch = Batch::new(self.lane.partition, tenant.clone(), events, changes);
        let batch = batch.map_err(|_| Failure::TooLong)?;
        self.journal.append(batch, now).await?;
        Ok(visits)
    }

    /// Adds what comes of one receipt to a batch.
    fn draw(
        &self,
        due: &Due,
        key: Key,
        value: Option<Value>,
        draught: &mut Draught,
        now: Timestamp,
    ) -> Visit {
        let Some(value) = value else {
            return Visit::Over;
        };
        let mut state = match ReceiptState::from_bytes(&value.bytes) {
            Ok(state) => state,
            Err(invalid) => {
                warn!(error = %invalid, "left a receipt alone");
                return Visit::Over;
            }
        };
        if state.is_closed() {
            return Visit::Over;
        }
        let mut is_news = due.is_truncated && state.truncate();
        for (user, reached) in &due.users {
            is_news |= state.reach(user, *reached);
        }
        for user in &due.claims {
            is_news |= state.confirm(user);
        }
        let written = if state.is_complete() {
            Visit::Complete
        } else {
            Visit::Written
        };
        let visit = if state.close(now) {
            let Some(id) = fresh_id() else {
                return Visit::Failed;
            };
            draught.events.extend(self.closed(due, &state, id, now));
            Visit::Over
        } else if is_news {
            written
        } else {
            return written;
        };
        draught.changes.push(Change {
            key,
            expect: Expect::Version(value.version),
            value: Some(state.to_bytes()),
            expires_at: value.expires_at,
            event: None,
        });
        visit
    }

    /// The event that tells of the end; none if the settings give it no audience.
    fn closed(
        &self,
        due: &Due,
        state: &ReceiptState,
        fresh_id: EventId,
        now: Timestamp,
    ) -> Option<Event> {
        let draft = Draft::of(&state.payload(&due.event));
        let context = Context {
            tenant: due.tenant.clone(),
            fresh_id,
            at: now,
            maker: Maker::Server,
        };
        let accepted = self.catalogue.accept(draft.ok()?, context);
        match accepted {
            Ok(Accepted::Event(accepted)) => Some(accepted.event),
            Ok(_) => None,
            Err(rejected) => {
                warn!(code = rejected.code(), "the end of a receipt is not told");
                None
            }
        }
    }
}

impl From<ReadError> for Failure {
    fn from(failure: ReadError) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

impl From<AppendError> for Failure {
    fn from(failure: AppendError) -> Self {
        match failure {
            AppendError::Conflict { .. } => Self::Conflict,
            _ => Self::Unavailable(failure.to_string()),
        }
    }
}

/// Whatever ended earlier is over all the same.
fn overdue(now: Timestamp) -> Timestamp {
    let overdue = i64::try_from(OVERDUE_MAX.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(overdue))
}

/// The key as journals have it.
fn key(event: &EventId) -> Key {
    let key = ReceiptKey::new(event);
    (key.as_str().parse()).expect("an id with a prefix is shorter than a key may be")
}

/// Another id for each attempt: that a receipt is closed once is held by its state.
fn fresh_id() -> Option<EventId> {
    let number = getrandom::u64().ok()?;
    format!("receipt-{number:016x}").parse().ok()
}

/// The most receipts that are taken at once.
const DUE_MAX: usize = 256;
/// How many share a batch, at most as long as a batch may be.
const GROUP_MAX: usize = 8;
/// How often a group is tried again because other nodes changed the same at the same time.
const CONFLICTS_MAX: usize = 8;
/// How long the clock is trusted.
const LOOK_MAX: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
