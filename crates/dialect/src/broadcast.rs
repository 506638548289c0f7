//! What one server tells all others.

use std::fmt;

use serde_json::value::RawValue;

/// An event for the clients of every server.
#[derive(Clone)]
pub struct Broadcast {
    /// Who says it: the uid of a server's adapter, or `emitter`. Empty if it does not say.
    pub sender: String,
    /// The namespace, with its slash.
    pub namespace: String,
    /// Whose clients hear it; empty: all of the namespace.
    pub rooms: Vec<String>,
    /// Whose clients do not.
    pub except: Vec<String>,
    /// The event.
    pub event: String,
    /// What comes with it, as JSON: bytes are `{"$binary": "<base64>"}`.
    pub arguments: Vec<Box<RawValue>>,
    /// Whether it may be lost.
    pub is_volatile: bool,
}

/// What was said.
#[derive(Clone, Debug)]
pub enum Message {
    /// An event.
    Broadcast(Broadcast),
    /// Something between servers, which is no event: its name for what is counted.
    Other(&'static str),
}

/// Why bytes are nothing that a Node server says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is longer than [`MESSAGE_LEN_MAX`], or would be as JSON.
    #[error("message is longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// It ends before what it announced.
    #[error("message ends too early")]
    Truncated,
    /// Something follows that does not belong to it.
    #[error("{len} bytes follow the message")]
    Trailing {
        /// How much.
        len: usize,
    },
    /// It is nested deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    #[error("message is nested too deeply")]
    TooDeep,
    /// It holds a value that no dialect has.
    #[error("message has an unknown type of value")]
    Value,
    /// It is no JSON, or no base64, where it should be.
    #[error("message is no {expected}")]
    Text {
        /// What it should be.
        expected: &'static str,
    },
    /// A part of a broadcast is missing or of the wrong type.
    #[error("{part} is missing or wrong")]
    Part {
        /// Which.
        part: &'static str,
    },
    /// There are more of them than allowed.
    #[error("too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

impl Undecodable {
    /// The reason as a word for what is counted.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong | Self::TooMany { .. } => "too_large",
            Self::TooDeep => "too_deep",
            Self::Truncated | Self::Trailing { .. } | Self::Value | Self::Text { .. } => "garbage",
            Self::Part { .. } => "no_broadcast",
        }
    }
}

/// The arguments and rooms stay out of logs: they hold message text and phone numbers.
impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace)
            .field("arguments", &self.arguments.len())
            .finish_non_exhaustive()
    }
}

/// The longest message, in bytes, and the most JSON that is made of one.
pub const MESSAGE_LEN_MAX: usize = 8 << 20;
/// The most rooms, given and left out each.
pub const ROOMS_MAX: usize = 1_000;
/// The most arguments of an event.
pub const ARGUMENTS_MAX: usize = 64;
/// The longest name of an event, a room or a namespace, in bytes.
pub const NAME_LEN_MAX: usize = 1_024;
