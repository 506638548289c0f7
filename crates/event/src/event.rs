//! A fact that was accepted.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::id::{EventId, TenantId};
use crate::room::Room;
use crate::time::Timestamp;

/// The longest payload, in bytes. What producers may send is a setting below this.
pub const DATA_LEN_MAX: usize = 4 << 20;

/// How deep a payload may be nested. Less than what common JSON parsers take.
pub const DATA_DEPTH_MAX: usize = 64;

/// The most rooms of an event, `rooms` and `except` together.
pub const AUDIENCE_ROOMS_MAX: usize = 100;

/// Who hears an event: the members of any of `rooms` who are in none of `except`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Audience {
    /// The rooms, each once.
    pub rooms: Vec<Room>,
    /// The rooms whose members hear nothing, each once.
    pub except: Vec<Room>,
}

/// Something that happened in the CRM. Never changes once made.
///
/// Made by [`Catalogue::accept`](crate::Catalogue::accept), or by a journal that reads back what
/// was accepted earlier.
#[derive(Clone, Eq, PartialEq)]
pub struct Event {
    parts: EventParts,
}

/// What an event is made of, for journals.
#[derive(Clone, Eq, PartialEq)]
pub struct EventParts {
    /// The id, unique within the tenant.
    pub id: EventId,
    /// Whose it is; [`TenantId::everyone`] if every tenant hears it.
    pub tenant: TenantId,
    /// When it was accepted.
    pub at: Timestamp,
    /// The event's name.
    pub name: Arc<str>,
    /// The payload: the text of a JSON object.
    pub data: Bytes,
    /// Who hears it.
    pub audience: Audience,
    /// When it stops being true; it is never replayed after that.
    pub expires_at: Option<Timestamp>,
    /// Until when those who hear it are to acknowledge it, if its producer asked for a receipt.
    pub receipt_by: Option<Timestamp>,
    /// What the producer sent, in 16 bytes.
    pub fingerprint: [u8; 16],
}

impl Event {
    /// The event that `parts` came from.
    ///
    /// For journals that read back; a journal stores only what was accepted, so nothing is
    /// checked again.
    pub fn from_parts(parts: EventParts) -> Self {
        Self { parts }
    }

    /// Takes the event apart.
    pub fn into_parts(self) -> EventParts {
        self.parts
    }

    /// The id, unique within the tenant.
    pub fn id(&self) -> &EventId {
        &self.parts.id
    }

    /// Whose it is; [`TenantId::everyone`] if every tenant hears it.
    pub fn tenant(&self) -> &TenantId {
        &self.parts.tenant
    }

    /// When it was accepted.
    pub fn at(&self) -> Timestamp {
        self.parts.at
    }

    /// The event's name, such as `message:received`.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The payload: the text of a JSON object, byte for byte as it was sent, with `timestamp`
    /// filled in if there was none.
    pub fn data(&self) -> &Bytes {
        &self.parts.data
    }

    /// Who hears it.
    pub fn audience(&self) -> &Audience {
        &self.parts.audience
    }

    /// When it stops being true, as a QR code does. It is never replayed after that.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.parts.expires_at
    }

    /// Until when those who hear it are to acknowledge it, if its producer asked for a receipt.
    pub fn receipt_by(&self) -> Option<Timestamp> {
        self.parts.receipt_by
    }

    /// What the producer sent, in 16 bytes: the same id with another fingerprint is another event
    /// under a used id.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.parts.fingerprint
    }

    /// What a journal keeps of an event whose payload is to be gone, so that its position stays
    /// and a retry does not bring it back: name, time, fingerprint, and the id as a hash.
    ///
    /// It expired long ago and is for no room, so whoever skips what expired skips it too.
    #[must_use]
    pub fn tombstone(&self) -> Self {
        let EventParts {
            id,
            tenant,
            at,
            name,
            fingerprint,
            ..
        } = self.parts.clone();
        Self::from_parts(EventParts {
            id: id.of_tombstone(&tenant),
            tenant,
            at,
            name,
            data: Bytes::new(),
            audience: Audience::default(),
            expires_at: Some(Timestamp::MIN),
            receipt_by: None,
            fingerprint,
        })
    }

    /// Whether this is a [`tombstone`](Self::tombstone): no payload that was accepted is empty.
    pub fn is_tombstone(&self) -> bool {
        self.parts.data.is_empty() && self.parts.expires_at == Some(Timestamp::MIN)
    }
}

/// The payload and the rooms stay out of logs: they hold message text and phone numbers.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

impl fmt::Debug for EventParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("tenant", &self.tenant)
            .field("name", &self.name)
            .field("at", &self.at)
            .field("data_len", &self.data.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_tells_neither_payload_nor_room_nor_id() {
        let event = Event::from_parts(EventParts {
            id: "wamid.4915112345678".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            at: Timestamp::from_millis(7),
            name: "message:received".into(),
            data: Bytes::from_static(br#"{"text":"hello"}"#),
            audience: Audience {
                rooms: vec!["contact:42".parse().unwrap()],
                except: vec!["user:7".parse().unwrap()],
            },
            expires_at: None,
            receipt_by: Some(Timestamp::from_millis(9)),
            fingerprint: [7; 16],
        });

        let tombstone = event.tombstone();

        assert!(tombstone.is_tombstone() && !event.is_tombstone());
        assert_eq!(tombstone.id(), &event.id().of_tombstone(event.tenant()));
        assert!(!tombstone.id().as_str().contains("4915112345678"));
        assert_eq!(tombstone.audience(), &Audience::default());
        assert_eq!(tombstone.fingerprint(), event.fingerprint());
        assert_eq!(tombstone.tombstone().id().as_str().len(), 39);
    }
}
