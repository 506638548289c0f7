//! What a draft became.

use crate::event::{Audience, Event, EventParts};
use crate::id::Id;
use crate::message::{MessageFact, MessageKey, MessageState};
use crate::rejected::Rejected;
use crate::room::Room;

/// A draft that was accepted.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is an event.
    Event(AcceptedEvent),
    /// It will be one, once it is known where its message went.
    NeedsMessage(NeedsMessage),
    /// It is an event for a moment: it is passed on and never stored.
    Fleeting(Event),
}

/// An event, and what is to be remembered with it.
#[derive(Clone, Debug)]
pub struct AcceptedEvent {
    /// The event.
    pub event: Event,
    /// The state key under which [`MessageState::of`] this event belongs, in the same batch: later
    /// events about the message go where this one went.
    pub message: Option<MessageKey>,
    /// What it says of a message's status, if it does.
    pub fact: Option<MessageFact>,
}

impl Accepted {
    /// What it says of a message's status, if it does.
    pub fn fact(&self) -> Option<&MessageFact> {
        match self {
            Self::Event(accepted) => accepted.fact.as_ref(),
            Self::NeedsMessage(needs) => needs.fact(),
            Self::Fleeting(_) => None,
        }
    }
}

impl AcceptedEvent {
    /// The event, for the rooms that its message has already in place of its own: for what a gateway
    /// tells of a message whose producer has chosen who hears of it.
    pub fn resolve(self, state: &MessageState) -> Result<Event, Rejected> {
        let parts = self.event.into_parts();
        let audience = Audience::checked(state.rooms.clone(), Vec::new(), parts.audience.except)?;
        Ok(Event::from_parts(EventParts { audience, ..parts }))
    }
}

/// An event that goes to the rooms of an earlier message.
#[derive(Clone)]
pub struct NeedsMessage {
    /// Complete except for the rooms: those there are beside those of the message.
    parts: EventParts,
    message: Id,
    fallback: Vec<Room>,
    fact: Option<MessageFact>,
}

impl NeedsMessage {
    pub(crate) fn new(
        parts: EventParts,
        message: Id,
        fallback: Vec<Room>,
        fact: Option<MessageFact>,
    ) -> Self {
        Self {
            parts,
            message,
            fallback,
            fact,
        }
    }

    /// What it says of the message's status, if it does.
    pub fn fact(&self) -> Option<&MessageFact> {
        self.fact.as_ref()
    }

    /// The message that the event is about.
    pub fn message_id(&self) -> &Id {
        &self.message
    }

    /// The state key of that message.
    pub fn key(&self) -> MessageKey {
        MessageKey::new(&self.message)
    }

    /// The event, for the rooms of the message; if that is unknown, for those that the payload's
    /// own ids tell; if it has none, [`Rejected::UnknownMessage`].
    ///
    /// `addRooms` alone are no audience: their producer relies on the others.
    pub fn resolve(self, state: Option<&MessageState>) -> Result<Event, Rejected> {
        let base = match state {
            Some(state) if !state.rooms.is_empty() => state.rooms.clone(),
            _ => self.fallback,
        };
        if base.is_empty() {
            return Err(Rejected::UnknownMessage);
        }
        let Audience {
            rooms: added,
            except,
        } = self.parts.audience;
        let audience = Audience::checked(base, added, except)?;
        Ok(Event::from_parts(EventParts {
            audience,
            ..self.parts
        }))
    }
}

/// The message's id stays out of logs: WhatsApp's hold the phone number.
impl std::fmt::Debug for NeedsMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NeedsMessage")
            .field("event", &self.parts)
            .finish_non_exhaustive()
    }
}
