//! Why a draft is no event.

use crate::binary::InvalidBinary;
use crate::id::InvalidId;
use crate::room::InvalidRoom;

/// Why a draft was not accepted. Every variant is the producer's to cure.
///
/// The messages name fields, and types and limits, but no values of the payload: those are
/// message text and phone numbers. An unknown value of a discriminator is the one exception.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// `unknown_event`: the name is neither built in nor declared in the settings.
    #[error("event `{event}` is unknown{}", nearest(known.as_deref()))]
    UnknownEvent {
        /// The name, cut to a bounded length.
        event: Box<str>,
        /// The known name that is most like it, if any is.
        known: Option<Box<str>>,
    },
    /// `not_producible`: only the server itself makes this event.
    #[error("event `{event}` is made by the server only")]
    NotProducible {
        /// The name.
        event: Box<str>,
    },
    /// `invalid_data`: a value is of the wrong type.
    #[error("{field} is {found}, expected {expected}")]
    InvalidData {
        /// Where.
        field: Box<str>,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// `missing_field`: a required field is absent or null.
    #[error("{field} is missing")]
    MissingField {
        /// Where.
        field: Box<str>,
    },
    /// `invalid_id`: an id has the right type, but is none.
    #[error("{field}: {reason}")]
    InvalidId {
        /// Where.
        field: Box<str>,
        /// Why.
        reason: InvalidId,
    },
    /// `unknown_field`: the catalogue is strict, and the contract has no such field.
    #[error("{field} is unknown")]
    UnknownField {
        /// Where, cut to a bounded length.
        field: Box<str>,
    },
    /// `unknown_value`: the catalogue is strict, and the contract has no such value.
    #[error("{field} has the unknown value `{value}`")]
    UnknownValue {
        /// Where.
        field: Box<str>,
        /// The value, cut to a bounded length.
        value: Box<str>,
    },
    /// `duplicate_field`: readers would disagree which of the two counts.
    #[error("{field} is there twice")]
    DuplicateField {
        /// Where.
        field: Box<str>,
    },
    /// `invalid_room`: a name is no room, or of an undeclared kind.
    #[error("{field}: {reason}")]
    InvalidRoom {
        /// Where.
        field: Box<str>,
        /// Why.
        reason: InvalidRoom,
    },
    /// `too_many_rooms`: `rooms`, `addRooms`, `except` and the default audience are over
    /// [`AUDIENCE_ROOMS_MAX`](crate::event::AUDIENCE_ROOMS_MAX).
    #[error("audience is {count} rooms, the limit is {count_max}")]
    TooManyRooms {
        /// How many.
        count: usize,
        /// How many are allowed.
        count_max: usize,
    },
    /// `no_audience`: nobody could be found who should hear the event.
    #[error("event has no audience, and names no `rooms`")]
    NoAudience,
    /// `no_audience`: the draft says itself that nobody hears it.
    #[error("`rooms` is empty, so nobody would hear the event")]
    EmptyRooms,
    /// `no_audience`: the event goes where its message went, and nothing is known of that.
    #[error(
        "nothing is known of the message `messageId`, and neither `contactId` nor \
         `whatsappAccountId` in `data` nor `rooms` tells who hears the event"
    )]
    UnknownMessage,
    /// `sealed_audience`: the audience of QR codes cannot be changed.
    #[error("{field} is not allowed: the audience of event `{event}` is fixed")]
    SealedAudience {
        /// `rooms` or `addRooms`.
        field: &'static str,
        /// The name.
        event: Box<str>,
    },
    /// `other_tenant`: the draft, or a room of it, is of a tenant that the key is not for.
    #[error("{field} is of another tenant")]
    OtherTenant {
        /// Where.
        field: Box<str>,
    },
    /// `other_tenant`: the tenant is `*`, and the event or its rooms are of one tenant only.
    #[error("{field} cannot be for every tenant")]
    NotForEveryone {
        /// `event`, `rooms`, `addRooms` or `except`.
        field: &'static str,
    },
    /// `schema`: the payload does not match the JSON Schema that the settings give.
    #[error("{field}: {reason}")]
    Schema {
        /// Where.
        field: Box<str>,
        /// What the schema says, without the value, cut to a bounded length.
        reason: Box<str>,
    },
    /// `invalid_binary`: a `{"$binary": ..}` is none, or too long, or one too many.
    #[error("{field}: {reason}")]
    InvalidBinary {
        /// Where.
        field: Box<str>,
        /// Why.
        reason: InvalidBinary,
    },
    /// `invalid_field`: what is so for a moment is heard by who is there, and not waited for.
    #[error("event `{event}` is passed on and never stored, and has no receipt")]
    FleetingReceipt {
        /// The name.
        event: Box<str>,
    },
    /// `too_large`: the payload is longer than [`DATA_LEN_MAX`](crate::event::DATA_LEN_MAX).
    #[error("data is {len} bytes, the limit is {len_max}")]
    TooLarge {
        /// How long.
        len: usize,
        /// How long it may be.
        len_max: usize,
    },
    /// `too_large`: the payload is nested deeper than
    /// [`DATA_DEPTH_MAX`](crate::event::DATA_DEPTH_MAX).
    #[error("data is nested {depth} levels deep, the limit is {depth_max}")]
    TooDeep {
        /// How deep.
        depth: usize,
        /// How deep it may be.
        depth_max: usize,
    },
}

impl Rejected {
    /// The reason as a word that programs can rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownEvent { .. } => "unknown_event",
            Self::NotProducible { .. } => "not_producible",
            Self::InvalidData { .. } => "invalid_data",
            Self::MissingField { .. } => "missing_field",
            Self::InvalidId { .. } => "invalid_id",
            Self::UnknownField { .. } => "unknown_field",
            Self::UnknownValue { .. } => "unknown_value",
            Self::DuplicateField { .. } => "duplicate_field",
            Self::InvalidRoom { .. } => "invalid_room",
            Self::TooManyRooms { .. } => "too_many_rooms",
            Self::NoAudience | Self::EmptyRooms | Self::UnknownMessage => "no_audience",
            Self::SealedAudience { .. } => "sealed_audience",
            Self::OtherTenant { .. } | Self::NotForEveryone { .. } => "other_tenant",
            Self::Schema { .. } => "schema",
            Self::InvalidBinary { .. } => "invalid_binary",
            Self::FleetingReceipt { .. } => "invalid_field",
            Self::TooLarge { .. } | Self::TooDeep { .. } => "too_large",
        }
    }

    /// The field of the draft that is wrong, such as `data.message.id` or `rooms[2]`.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownEvent { .. } | Self::NotProducible { .. } => Some("event"),
            Self::InvalidData { field, .. }
            | Self::MissingField { field }
            | Self::InvalidId { field, .. }
            | Self::UnknownField { field }
            | Self::UnknownValue { field, .. }
            | Self::DuplicateField { field }
            | Self::InvalidRoom { field, .. }
            | Self::OtherTenant { field }
            | Self::InvalidBinary { field, .. }
            | Self::Schema { field, .. } => Some(field),
            Self::SealedAudience { field, .. } | Self::NotForEveryone { field } => Some(field),
            Self::TooManyRooms { .. }
            | Self::NoAudience
            | Self::EmptyRooms
            | Self::UnknownMessage => Some("rooms"),
            Self::FleetingReceipt { .. } => Some("receipt"),
            Self::TooLarge { .. } | Self::TooDeep { .. } => Some("data"),
        }
    }
}

fn nearest(known: Option<&str>) -> String {
    known
        .map(|known| format!(", the nearest known one is `{known}`"))
        .unwrap_or_default()
}

/// The start of what somebody else wrote, short enough for an error message.
pub(crate) fn excerpt(text: &str) -> Box<str> {
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}
