//! What is remembered of messages: their rooms, found again by their statuses, and what was told.

use std::collections::HashMap;
use std::time::Duration;

use switchboard_event::machine::message::Verdict;
use switchboard_event::{
    Accepted, Event, EventId, Maker, MessageFact, MessageKey, MessageState, Rejected, TenantId,
    Timestamp,
};
use switchboard_journal::{Change, Expect, Journal, Key, ReadError, VALUES_MAX, Value};
use tracing::{debug, error, warn};

use crate::outcome::Unavailable;
use crate::source::Fact;

/// The messages that a batch names: as they are stored, and as the batch will leave them.
pub(crate) struct Messages(HashMap<Key, Message>);

#[derive(Default)]
struct Message {
    stored: Option<Value>,
    state: MessageState,
    is_changed: bool,
}

impl Messages {
    /// Reads what the journal knows of these messages.
    pub(crate) async fn read(
        journal: &dyn Journal,
        tenant: &TenantId,
        keys: impl Iterator<Item = Key>,
        now: Timestamp,
    ) -> Result<Self, Unavailable> {
        let mut keys: Vec<Key> = keys.collect();
        keys.sort_unstable();
        keys.dedup();

        let mut messages = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(VALUES_MAX) {
            let values = journal
                .values(tenant, keys, now)
                .await
                .map_err(|failure| unavailable(&failure))?;
            for (key, stored) in keys.iter().zip(values) {
                let state = stored.as_ref().and_then(read_state);
                let message = Message {
                    stored,
                    state: state.unwrap_or_default(),
                    is_changed: false,
                };
                messages.insert(key.clone(), message);
            }
        }
        Ok(Self(messages))
    }

    /// Notes that a source tells this now; an error if it has told it before, or if the message is
    /// further than that. Says how often the message had failed and was overcome.
    pub(crate) fn tell(&mut self, fact: &Fact) -> Result<u32, Told> {
        let message = self.0.entry(journal_key(&fact.message)).or_default();
        if message.state.is_told(&fact.id) {
            return Err(Told);
        }
        let retries = match &fact.status {
            None => 0,
            Some(status) if message.state.advance(status) == Verdict::News => {
                message.state.retries(&status.participant)
            }
            Some(status) => {
                debug!(status = status.status.as_str(), "a status came too late");
                return Err(Told);
            }
        };
        message.state.tell(fact.id.clone());
        message.is_changed = true;
        Ok(retries)
    }

    /// Learns what a producer's event says of a message's status, and says whether it may count: not
    /// if it is known to be published again.
    pub(crate) fn learn(&mut self, fact: &MessageFact, event: Option<&EventId>) -> bool {
        let message = self.0.entry(journal_key(&fact.message)).or_default();
        if let Some(event) = event {
            if message.state.is_told(event) {
                return false;
            }
            message.state.tell(event.clone());
            message.is_changed = true;
        }
        message.is_changed |= message.state.advance(fact) == Verdict::News;
        true
    }

    /// Remembers the rooms of the event's message, or finds the event's rooms by its message.
    ///
    /// What comes earlier in the batch counts as if it had happened. A producer chooses the rooms of
    /// its message, also anew; what a gateway tells of it takes the rooms that are there.
    pub(crate) fn event(&mut self, accepted: &Accepted, maker: Maker) -> Result<Event, Rejected> {
        match accepted {
            Accepted::Event(accepted) => {
                let Some(key) = &accepted.message else {
                    return Ok(accepted.event.clone());
                };
                let message = self.0.entry(journal_key(key)).or_default();
                if maker == Maker::Mapping && !message.state.rooms.is_empty() {
                    return accepted.clone().resolve(&message.state);
                }
                message.state.go_where(&accepted.event);
                message.is_changed = true;
                Ok(accepted.event.clone())
            }
            // Those go another way; one that came here would be stored.
            Accepted::Fleeting(event) => Ok(event.clone()),
            Accepted::NeedsMessage(needs) => {
                let message = self.0.get(&journal_key(&needs.key()));
                needs.clone().resolve(message.map(|message| &message.state))
            }
        }
    }

    /// What the journal is to remember, unless somebody else changes the same at the same time.
    pub(crate) fn changes(self, now: Timestamp, retention: Duration) -> Vec<Change> {
        let expires_at = now.checked_add(retention);
        // A message that is told again is not worth a write, until half of its time is over.
        let refresh_at = now.checked_add(retention / 2);
        let is_news = |stored: Option<&Value>, bytes: &[u8]| {
            stored.is_none_or(|stored| stored.bytes != bytes || stored.expires_at < refresh_at)
        };
        self.0
            .into_iter()
            .filter(|(_, message)| message.is_changed)
            .filter_map(|(key, Message { stored, state, .. })| {
                let bytes = state.to_bytes();
                is_news(stored.as_ref(), &bytes).then(|| Change {
                    key,
                    expect: stored.map_or(Expect::Absent, |stored| Expect::Version(stored.version)),
                    value: Some(bytes),
                    expires_at,
                    event: None,
                })
            })
            .collect()
    }
}

/// A source has told this before, or what came after it.
pub(crate) struct Told;

/// The message that an event names, if what is remembered of it counts.
pub(crate) fn message_key(accepted: &Accepted) -> Option<Key> {
    match accepted {
        Accepted::Event(accepted) => {
            let of_fact = accepted.fact.as_ref().map(|fact| &fact.message);
            accepted.message.as_ref().or(of_fact).map(journal_key)
        }
        Accepted::NeedsMessage(needs) => Some(journal_key(&needs.key())),
        Accepted::Fleeting(_) => None,
    }
}

/// The key as journals have it.
pub(crate) fn journal_key(key: &MessageKey) -> Key {
    key.as_str()
        .parse()
        .expect("an id with a prefix is shorter than a key may be")
}

/// A state that cannot be read is as good as none: the message was told by a newer version of us.
fn read_state(stored: &Value) -> Option<MessageState> {
    MessageState::from_bytes(&stored.bytes)
        .inspect_err(|invalid| warn!(error = %invalid, "left out what is remembered of a message"))
        .ok()
}

pub(crate) fn unavailable(failure: &ReadError) -> Unavailable {
    if *failure == ReadError::Closed {
        return Unavailable::Closed;
    }
    error!(error = %failure, "could not read what is remembered");
    Unavailable::Failing
}
