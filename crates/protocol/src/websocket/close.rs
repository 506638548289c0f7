use std::borrow::Cow;
use std::fmt;

use crate::redacted::Redacted;

use super::FrameError;

/// Why a WebSocket was closed: a code that may appear in a close frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of ours that has no code of its own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message beyond the limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// Something failed on our side.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// Overload: the client may try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The number on the wire.
    pub fn as_u16(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    fn try_from(code: u16) -> Result<Self, Self::Error> {
        match code {
            // 1004 has no meaning; 1005, 1006 and 1015 never appear in a frame.
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(InvalidCloseCode(code)),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that no close frame may carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("close code {0} must not be sent")]
pub struct InvalidCloseCode(pub u16);

/// What a peer said when it closed, if it said anything.
#[derive(Clone, Eq, PartialEq)]
pub struct CloseFrame<'a> {
    /// Why, as a number.
    pub code: CloseCode,
    /// Why, in words; may be empty.
    pub reason: Cow<'a, str>,
}

impl CloseFrame<'_> {
    /// Reads the payload of a close frame; `None` if it is empty.
    pub(super) fn decode(payload: Cow<'_, [u8]>) -> Result<Option<CloseFrame<'_>>, FrameError> {
        let code = match *payload {
            [] => return Ok(None),
            [_] => return Err(FrameError::CloseWithoutCode),
            [high, low, ..] => u16::from_be_bytes([high, low]),
        };
        let code = CloseCode::try_from(code).map_err(FrameError::CloseCode)?;
        let reason = match payload {
            Cow::Borrowed(bytes) => simdutf8::basic::from_utf8(&bytes[2..])
                .map(Cow::Borrowed)
                .map_err(|_| FrameError::CloseReason)?,
            Cow::Owned(bytes) => str::from_utf8(&bytes[2..])
                .map(|reason| Cow::Owned(reason.to_owned()))
                .map_err(|_| FrameError::CloseReason)?,
        };
        Ok(Some(CloseFrame { code, reason }))
    }
}

/// The reason is the peer's text, which may hold anything.
impl fmt::Debug for CloseFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseFrame")
            .field("code", &self.code)
            .field("reason", &Redacted(self.reason.len()))
            .finish()
    }
}
