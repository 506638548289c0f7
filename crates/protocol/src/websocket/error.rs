use super::{CloseCode, InvalidCloseCode};

/// Why a client's bytes were refused. The connection ends with [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Masks keep proxies from taking a payload for something else, so clients must mask.
    #[error("frame is not masked")]
    Unmasked,
    /// No extension was negotiated that could give these bits a meaning.
    #[error("frame has reserved bits set")]
    ReservedBits,
    /// An opcode that the protocol keeps for later.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// Control frames come in one piece.
    #[error("control frame is fragmented")]
    FragmentedControl,
    /// Control frames fit in a length of seven bits, up to 125.
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// The top bit of a length of eight bytes must be zero.
    #[error("frame length has its top bit set")]
    LengthSign,
    /// A continuation of nothing.
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message before the end of the previous one.
    #[error("message begins inside a fragmented message")]
    InterruptedMessage,
    /// Beyond [`Limits::message_len_max`](super::Limits::message_len_max).
    #[error("message is {len} bytes so far, the limit is {len_max}")]
    MessageTooLong {
        /// What the frames of the message have announced so far.
        len: u64,
        /// The limit.
        len_max: usize,
    },
    /// Beyond [`Limits::fragments_max`](super::Limits::fragments_max).
    #[error("message has more than {fragments_max} fragments")]
    TooManyFragments {
        /// The limit.
        fragments_max: usize,
    },
    /// A text message must be UTF-8 as a whole.
    #[error("text message is not utf-8")]
    InvalidUtf8,
    /// A close frame carries nothing or at least a code.
    #[error("close frame of one byte")]
    CloseWithoutCode,
    /// A code that must not be sent.
    #[error(transparent)]
    CloseCode(InvalidCloseCode),
    /// The reason of a close frame must be UTF-8.
    #[error("close reason is not utf-8")]
    CloseReason,
}

impl FrameError {
    /// What to tell the client. The only place where a reason becomes a number.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Unmasked
            | Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::LengthSign
            | Self::UnexpectedContinuation
            | Self::InterruptedMessage
            | Self::CloseWithoutCode
            | Self::CloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 | Self::CloseReason => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
        }
    }
}
