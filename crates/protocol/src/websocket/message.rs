use std::borrow::Cow;
use std::fmt;

use crate::redacted::Redacted;

use super::header::Opcode;
use super::{CloseFrame, FrameError};

/// A message from a client: borrowed if it was whole in what was read, owned if it was in pieces.
#[derive(Clone, Eq, PartialEq)]
pub enum Message<'a> {
    /// Text, checked to be UTF-8.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// To be answered by a pong with the same bytes; at most 125.
    Ping(Cow<'a, [u8]>),
    /// An answer to a ping, or an unasked-for sign of life.
    Pong(Cow<'a, [u8]>),
    /// The client closes; nothing that follows has a meaning.
    Close(Option<CloseFrame<'a>>),
}

impl<'a> Message<'a> {
    /// Reads a complete payload as what its opcode says it is.
    pub(super) fn decode(opcode: Opcode, payload: Cow<'a, [u8]>) -> Result<Self, FrameError> {
        Ok(match opcode {
            Opcode::Text => Self::Text(match payload {
                Cow::Borrowed(bytes) => simdutf8::basic::from_utf8(bytes)
                    .map(Cow::Borrowed)
                    .map_err(|_| FrameError::InvalidUtf8)?,
                Cow::Owned(bytes) => String::from_utf8(bytes)
                    .map(Cow::Owned)
                    .map_err(|_| FrameError::InvalidUtf8)?,
            }),
            Opcode::Binary => Self::Binary(payload),
            Opcode::Ping => Self::Ping(payload),
            Opcode::Pong => Self::Pong(payload),
            Opcode::Close => Self::Close(CloseFrame::decode(payload)?),
            // The opcode of an assembly is that of the frame that began it.
            Opcode::Continuation => return Err(FrameError::UnexpectedContinuation),
        })
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, len) = match self {
            Self::Text(text) => ("Text", text.len()),
            Self::Binary(bytes) => ("Binary", bytes.len()),
            Self::Ping(bytes) => ("Ping", bytes.len()),
            Self::Pong(bytes) => ("Pong", bytes.len()),
            Self::Close(frame) => return f.debug_tuple("Close").field(frame).finish(),
        };
        f.debug_tuple(name).field(&Redacted(len)).finish()
    }
}
