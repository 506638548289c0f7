//! What is so right now, for the tenants of one lane: who is there, who types, who looks.

mod attendant;
mod command;
mod said;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use switchboard_event::{Audience, Clock, FleetingEvent, Id, Room, TenantId, Timestamp, UserId};
use switchboard_hub::{
    Attendance, Contact, Crowded, Fact, Momentary, MomentaryLimits, NodeWord, Presence, Status,
    Subject, Update,
};
use switchboard_journal::{Fleeting, Heard as HeardNext, Holder, Listener, Partition, Record};
use tokio::sync::Notify;
use tracing::debug;

pub(crate) use attendant::attend;
pub(crate) use command::FloorCommand;
pub(crate) use said::Speaker;

use said::Said;
use telling::{Heard, message_of};

/// How long things are so that end by themselves.
#[derive(Clone, Copy, Debug)]
pub struct FloorConfig {
    /// How long a colleague types who says so once, default 30 s. What a client asks for instead is
    /// taken for 3 s if it is less, and for 60 s if it is more.
    pub typing_lifetime: Duration,
    /// How long somebody is still there whose last connection ended, default 10 s. Less makes
    /// reloads of a page visible.
    pub grace: Duration,
    /// How long those are still there who were on a node that died, default 30 s; and how long a
    /// colleague still looks at a contact. Renewed at a third of it: less costs one write for each
    /// thousand people that much more often.
    pub lease: Duration,
    /// To how many people at most each is told who comes and goes, default 1,000. In a larger team
    /// it is left to `presence:list`: what is told grows with the square.
    pub team_max: usize,
}

/// What is so right now in one partition, as far as it is not in the journal.
///
/// Sessions say what they have to say to everybody who listens, this node too; only what comes back
/// is told to clients, by the lane, between two records.
pub(crate) struct Floor {
    partition: Partition,
    fleeting: Arc<dyn Fleeting>,
    clock: Clock,
    holder: Holder,
    /// The holder, as whom this node speaks of people.
    node: Id,
    config: FloorConfig,
    /// What is so on all nodes, as far as it was heard.
    tables: Mutex<Tables>,
    /// Who is here on this node.
    attendance: Mutex<Attendance>,
    /// What this node's sockets say of contacts.
    said: Mutex<Said>,
    /// Wakes the attendant.
    news: Notify,
    /// Wakes the lane: everything was listed anew.
    listed: Notify,
}

struct Tables {
    facts: Momentary<Told>,
    presence: Presence,
    /// Of whom something was heard since the last list was begun, while one is.
    heard: Option<HashSet<(TenantId, UserId)>>,
    /// What was listed, until the lane takes it.
    listed: Option<Vec<NodeWord>>,
    /// Whether words were lost, so that people must be listed anew.
    is_doubtful: bool,
}

/// What is known of a fact, beside that it is so.
#[derive(Clone, Debug)]
enum Told {
    /// Of a colleague: nothing.
    Colleague,
    /// Of a contact who types.
    Contact {
        kind: Option<Box<str>>,
        audience: Audience,
    },
}

/// What clients are to be told.
#[derive(Debug)]
pub(crate) struct Utterance {
    pub(crate) tenant: TenantId,
    pub(crate) name: &'static str,
    pub(crate) data: Vec<u8>,
    pub(crate) audience: Audience,
}

impl Floor {
    pub(crate) fn new(
        partition: Partition,
        fleeting: Arc<dyn Fleeting>,
        clock: Clock,
        holder: Holder,
        config: FloorConfig,
    ) -> Self {
        let node = holder.to_string();
        Self {
            partition,
            fleeting,
            clock,
            holder,
            node: node.parse().expect("hexadecimal digits are an id"),
            config,
            tables: Mutex::new(Tables {
                facts: Momentary::new(MomentaryLimits::default()),
                presence: Presence::default(),
                heard: None,
                listed: None,
                is_doubtful: false,
            }),
            attendance: Mutex::new(Attendance::new(config.grace)),
            said: Mutex::default(),
            news: Notify::new(),
            listed: Notify::new(),
        }
    }

    /// Everything that is said from now on.
    pub(crate) fn listen(&self) -> Box<dyn Listener> {
        self.fleeting.listen(self.partition)
    }

    /// Takes what somebody said. Answers what there is to tell.
    pub(crate) fn hear(&self, event: &FleetingEvent, now: Timestamp) -> Option<Utterance> {
        let mut heard = Heard::read(event).or_else(|| {
            debug!(?event, "heard something unknown");
            None
        })?;
        if let Heard::Person(word) = &mut heard
            && let Some(user) = self.attendance.lock().name(&word.tenant, &word.user)
        {
            // Kept for as long as the person is there: one text serves both tables.
            word.user = user;
        }
        let mut tables = self.tables.lock();
        match heard {
            Heard::Fact { fact, told, until } => {
                let said = tables.facts.say(fact, &event.voice, told, until, now);
                let change = said.unwrap_or_else(|Crowded { count_max }| {
                    debug!(tenant = %event.tenant, count_max, "too much is so at once");
                    None
                })?;
                Some(Utterance::of_change(change, Some(&event.data), now))
            }
            Heard::Person(word) => {
                if let Some(heard) = &mut tables.heard {
                    heard.insert((word.tenant.clone(), word.user.clone()));
                }
                let update = tables.presence.hear(word)?;
                self.of_update(&tables, update, now)
            }
        }
    }

    /// Some of what was said is lost.
    pub(crate) fn doubt(&self) {
        self.tables.lock().is_doubtful = true;
        self.news.notify_one();
    }

    /// On how many nodes a person is, this one counted, as far as it was heard.
    pub(crate) fn spread(&self, tenant: &TenantId, user: &UserId) -> u32 {
        let tables = self.tables.lock();
        let elsewhere = tables.presence.elsewhere(tenant, user, &self.node);
        u32::try_from(elsewhere)
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// Waits until people were listed anew.
    pub(crate) async fn listed(&self) {
        self.listed.notified().await;
    }

    /// Takes the list of all people, and answers what there is to tell.
    pub(crate) fn reconcile(&self, now: Timestamp) -> Vec<Utterance> {
        let mut tables = self.tables.lock();
        let Some(words) = tables.listed.take() else {
            return Vec::new();
        };
        let heard = tables.heard.take().unwrap_or_default();
        let updates = tables.presence.reconcile(words, &heard, now);
        let told = updates.into_iter();
        told.filter_map(|update| self.of_update(&tables, update, now))
            .collect()
    }

    /// A message ends that whoever wrote it is typing.
    pub(crate) fn note(&self, record: &Record, now: Timestamp) -> Vec<Utterance> {
        let event = &record.event;
        let is_sent = match event.name() {
            "message:sent" => true,
            "message:received" => false,
            _ => return Vec::new(),
        };
        let mut tables = self.tables.lock();
        if !tables.facts.speaks_of(event.tenant()) {
            return Vec::new();
        }
        let Some(message) = message_of(event.data()) else {
            return Vec::new();
        };
        let contact = Contact {
            tenant: event.tenant().clone(),
            id: message.contact,
        };
        let is_over = |subject: &Subject| match subject {
            Subject::Typing { user, .. } => is_sent && message.user.as_ref() == Some(user),
            Subject::Contact { account } => !is_sent && *account == message.account,
            Subject::Viewing { .. } => false,
        };
        let over: Vec<_> = tables
            .facts
            .of(&contact)
            .map(|(subject, _)| subject.clone())
            .collect();
        let over = over.into_iter().filter(is_over).map(|subject| Fact {
            contact: contact.clone(),
            subject,
        });
        over.filter_map(|fact| tables.facts.end(&fact))
            .map(|change| Utterance::of_change(change, None, now))
            .collect()
    }

    /// Ends some of what is over.
    pub(crate) fn expire(&self, now: Timestamp) -> Vec<Utterance> {
        let mut tables = self.tables.lock();
        let over = std::iter::from_fn(|| tables.facts.expire(now)).take(EXPIRED_MAX);
        over.map(|change| Utterance::of_change(change, None, now))
            .collect()
    }

    /// When [`expire`](Self::expire) is due.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        self.tables.lock().facts.next_end()
    }

    /// What is so of a contact, and who of the team is there: for whoever begins to listen, and is
    /// in these rooms.
    pub(crate) fn snapshot(
        &self,
        tenant: &TenantId,
        contact: &Id,
        rooms: &[Room],
    ) -> Map<String, Value> {
        let mut snapshot = self.contact(tenant, contact, rooms);
        let tables = self.tables.lock();
        if tables.presence.team_size(tenant) <= SNAPSHOT_TEAM_MAX {
            let people = tables.presence.people(tenant, None);
            let people: Vec<_> = people.map(|(user, status)| person(user, status)).collect();
            snapshot.insert("online".to_owned(), people.into());
        }
        snapshot
    }

    /// What is so of a contact, for whoever may hear it, and is in these rooms.
    fn contact(&self, tenant: &TenantId, contact: &Id, rooms: &[Room]) -> Map<String, Value> {
        let (mut viewing, mut typing, mut contact_typing) = (Vec::new(), Vec::new(), Vec::new());
        let own = Room::contact(contact);
        let contact = Contact {
            tenant: tenant.clone(),
            id: contact.clone(),
        };
        for (subject, told) in self.tables.lock().facts.of(&contact) {
            match subject {
                Subject::Viewing { user } => viewing.push(json!(user)),
                Subject::Typing { account, user } => {
                    typing.push(json!({ "userId": user, "whatsappAccountId": account }));
                }
                Subject::Contact { account } if told.is_for(&own, rooms) => {
                    let mut one = json!({ "whatsappAccountId": account });
                    if let Told::Contact {
                        kind: Some(kind), ..
                    } = told
                    {
                        one["kind"] = json!(kind);
                    }
                    contact_typing.push(one);
                }
                Subject::Contact { .. } => {}
            }
        }
        Map::from_iter([
            ("viewing".to_owned(), viewing.into()),
            ("typing".to_owned(), typing.into()),
            ("contactTyping".to_owned(), contact_typing.into()),
        ])
    }

    /// A page of the people of a team, and where the next one begins.
    fn team(&self, tenant: &TenantId, after: Option<&UserId>) -> (Vec<Value>, Option<UserId>) {
        let tables = self.tables.lock();
        let mut people = tables.presence.people(tenant, after).peekable();
        let (mut page, mut last) = (Vec::new(), None);
        while let Some((user, status)) = people.next_if(|_| page.len() < LIST_MAX) {
            page.push(person(user, status));
            last = Some(user);
        }
        let next = people.peek().and(last).cloned();
        (page, next)
    }

    /// What the team is told, unless it is too large for it.
    fn of_update(&self, tables: &Tables, update: Update, now: Timestamp) -> Option<Utterance> {
        let is_small = tables.presence.team_size(&update.tenant) <= self.config.team_max;
        is_small.then(|| Utterance::of_update(update, now))
    }

    fn after(now: Timestamp, lifetime: Duration) -> Timestamp {
        now.checked_add(lifetime).unwrap_or(Timestamp::MAX)
    }
}

impl Told {
    /// Whether it is told to whoever may hear the contact's `own` room, and is in `rooms`: its
    /// producer may have chosen others.
    fn is_for(&self, own: &Room, rooms: &[Room]) -> bool {
        let Self::Contact { audience, .. } = self else {
            return true;
        };
        let is_heard = |room: &Room| room == own || rooms.contains(room);
        audience.rooms.iter().any(is_heard)
            && !audience.except.iter().any(|room| rooms.contains(room))
    }
}

/// Only what is worth telling tells two of them apart.
impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Contact { kind, .. }, Self::Contact { kind: other, .. }) => kind == other,
            _ => true,
        }
    }
}

impl Default for FloorConfig {
    fn default() -> Self {
        Self {
            typing_lifetime: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            team_max: 1_000,
        }
    }
}

impl fmt::Debug for Floor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Floor")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// What is said next; never returns once the store is closed, of which the tail tells.
pub(crate) async fn next(listener: &mut dyn Listener) -> HeardNext {
    match listener.next().await {
        Some(heard) => heard,
        None => std::future::pending().await,
    }
}

/// Waits until `end`, or for ever.
pub(crate) async fn wait(clock: &Clock, end: Option<Timestamp>) {
    match end {
        Some(end) => tokio::time::sleep(attendant::until(clock.now(), end)).await,
        None => std::future::pending().await,
    }
}

fn person(user: &UserId, status: Status) -> Value {
    json!({ "userId": user, "status": status.as_str() })
}

/// How much of what is over is told before records come again.
const EXPIRED_MAX: usize = 256;
/// How many people a page of `presence:list` holds.
const LIST_MAX: usize = 1_000;
/// Up to which size a team is part of a contact's snapshot.
const SNAPSHOT_TEAM_MAX: usize = 100;
