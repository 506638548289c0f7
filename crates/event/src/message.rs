//! What is remembered of a message: later events name it, and go where it went.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{AUDIENCE_ROOMS_MAX, Event};
use crate::id::{EventId, Id};
use crate::machine::message::{Progress, Verdict};
use crate::room::Room;

/// The state key of a message, within its tenant: `message:{id}`.
///
/// Has no revealing `Debug`: WhatsApp's ids of messages hold the phone number.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct MessageKey(String);

impl MessageKey {
    /// The key of that message.
    pub fn new(message: &Id) -> Self {
        Self(format!("message:{message}"))
    }

    /// The key as the journal takes it, 9 to 136 bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey")
    }
}

/// The value under a [`MessageKey`].
///
/// As bytes it is JSON with a version: fields that a newer version adds are ignored by an older
/// one, which a version that must not be misread prevents by its number.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct MessageState {
    /// The rooms of the event that made the message known; none if only its statuses are known.
    pub rooms: Vec<Room>,
    /// What a gateway has told of the message, by the ids that were derived from it, oldest first:
    /// a gateway tells the same again for longer than records are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<EventId>,
    /// How far it got with whom, in the order in which they were first told of. Of a message to one
    /// contact there is one entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reached: Vec<Reached>,
}

/// How far a message got with somebody.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Reached {
    /// Who of a group; empty outside of one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    participant: Box<str>,
    status: Progress,
    /// How often it failed and was overcome.
    #[serde(default, skip_serializing_if = "is_zero")]
    retries: u32,
}

/// The status of a message, as an event or a gateway tells it.
#[derive(Clone)]
pub struct MessageFact {
    /// Which message.
    pub message: MessageKey,
    /// Who of a group; empty outside of one.
    pub participant: Box<str>,
    /// How far it got.
    pub status: Progress,
    /// The campaign that the message belongs to.
    pub campaign: Option<Id>,
}

/// How much that was told of one message is remembered: more than a conversation ever has, and
/// enough for the statuses of a group's members. Beyond it the oldest is forgotten.
pub const TOLD_MAX: usize = 128;

/// Of how many members of a group it is remembered how far one message got. Beyond it the oldest is
/// forgotten.
pub const PARTICIPANTS_MAX: usize = 256;

/// Bytes that are no state of a message, or that of a newer version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessageState {
    /// They cannot be read.
    #[error("state of a message cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version wrote them.
    #[error("state of a message has version {version}, known is {VERSION}")]
    Version {
        /// Which one.
        version: u32,
    },
    /// They hold more rooms than an event can have.
    #[error("state of a message has {count} rooms, the limit is {AUDIENCE_ROOMS_MAX}")]
    TooManyRooms {
        /// How many.
        count: usize,
    },
}

impl MessageState {
    /// What is remembered of a message that went to these rooms.
    pub fn new(rooms: Vec<Room>) -> Self {
        Self {
            rooms,
            told: Vec::new(),
            reached: Vec::new(),
        }
    }

    /// What is remembered of the message that `event` made known.
    pub fn of(event: &Event) -> Self {
        Self::new(event.audience().rooms.clone())
    }

    /// Remembers the rooms of `event` as those of the message.
    pub fn go_where(&mut self, event: &Event) {
        self.rooms.clone_from(&event.audience().rooms);
    }

    /// Remembers that a gateway has told this.
    pub fn tell(&mut self, id: EventId) {
        if self.told.len() >= TOLD_MAX {
            self.told.drain(..=self.told.len() - TOLD_MAX);
        }
        self.told.push(id);
    }

    /// Whether a gateway has told this already.
    pub fn is_told(&self, id: &EventId) -> bool {
        self.told.contains(id)
    }

    /// Takes the status of a message. What it says is news, or else nothing changes.
    pub fn advance(&mut self, fact: &MessageFact) -> Verdict {
        let known = |one: &&mut Reached| one.participant == fact.participant;
        let Some(reached) = self.reached.iter_mut().find(known) else {
            if self.reached.len() >= PARTICIPANTS_MAX {
                self.reached.remove(0);
            }
            self.reached.push(Reached {
                participant: fact.participant.clone(),
                status: fact.status,
                retries: 0,
            });
            return Verdict::News;
        };
        let verdict = fact.status.after(Some(reached.status));
        if verdict == Verdict::News {
            if reached.status == Progress::Failed {
                reached.retries = reached.retries.saturating_add(1);
            }
            reached.status = fact.status;
        }
        verdict
    }

    /// How far the message got with somebody, as far as is known.
    pub fn reached(&self, participant: &str) -> Option<Progress> {
        let reached = self.reached.iter();
        let mut reached = reached.filter(|one| &*one.participant == participant);
        reached.next().map(|one| one.status)
    }

    /// How often the message failed with somebody and was overcome: what was told before it happens
    /// anew after it.
    pub fn retries(&self, participant: &str) -> u32 {
        let reached = self.reached.iter();
        let mut reached = reached.filter(|one| &*one.participant == participant);
        reached.next().map_or(0, |one| one.retries)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidMessageState> {
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(InvalidMessageState::Version { version });
        }
        let state: Self = serde_json::from_slice(bytes)?;
        if state.rooms.len() > AUDIENCE_ROOMS_MAX {
            return Err(InvalidMessageState::TooManyRooms {
                count: state.rooms.len(),
            });
        }
        Ok(state)
    }

    /// The state as the journal keeps it.
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Serialize)]
        struct Versioned<'a> {
            version: u32,
            #[serde(flatten)]
            state: &'a MessageState,
        }
        let versioned = Versioned {
            version: VERSION,
            state: self,
        };
        serde_json::to_vec(&versioned)
            .expect("text and numbers are always JSON")
            .into()
    }
}

impl fmt::Debug for MessageFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageFact({})", self.status.as_str())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_from_its_bytes() {
        let mut state = MessageState::new(vec![
            "contact:1".parse().unwrap(),
            "order:a".parse().unwrap(),
        ]);

        let bytes = state.to_bytes();

        assert_eq!(&*bytes, br#"{"version":1,"rooms":["contact:1","order:a"]}"#);
        assert_eq!(MessageState::from_bytes(&bytes).unwrap(), state);
        let newer = br#"{"version":1,"rooms":["contact:1","order:a"],"rank":3}"#;
        assert_eq!(MessageState::from_bytes(newer).unwrap(), state);

        state.tell("wae_1".parse().unwrap());
        assert_eq!(MessageState::from_bytes(&state.to_bytes()).unwrap(), state);
    }

    #[test]
    fn of_what_was_told_the_oldest_is_forgotten() {
        let mut state = MessageState::default();
        let id = |number: usize| format!("wae_{number}").parse::<EventId>().unwrap();

        for number in 0..=TOLD_MAX {
            state.tell(id(number));
        }

        assert!(!state.is_told(&id(0)));
        assert!(state.is_told(&id(1)) && state.is_told(&id(TOLD_MAX)));
        assert_eq!(state.told.len(), TOLD_MAX);
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            "",
            "{}",
            "{\"rooms\":[]}",
            "{\"version\":1}",
            "{\"version\":2,\"rooms\":[]}",
        ] {
            assert!(
                MessageState::from_bytes(bytes.as_bytes()).is_err(),
                "{bytes}"
            );
        }
    }
}
