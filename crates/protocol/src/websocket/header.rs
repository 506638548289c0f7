use super::mask::Mask;
use super::{CloseCode, FrameError};

/// What a frame is, from the low four bits of its first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn decode(nibble: u8) -> Result<Self, FrameError> {
        match nibble {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            _ => Err(FrameError::ReservedOpcode(nibble)),
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ClientHeader {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Mask,
    pub(super) payload_len: u64,
    /// How many bytes the header itself took.
    pub(super) len: usize,
}

impl ClientHeader {
    /// The longest header: two bytes, a length of eight, a mask of four.
    pub(super) const LEN_MAX: usize = 14;

    /// Reads a header from the start of `bytes`; `None` if there is more of it to come.
    ///
    /// What is wrong in the first two bytes is refused without waiting for the others.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let is_final = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        let opcode = Opcode::decode(first & 0x0F)?;
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
        }
        let short_len = second & 0x7F;
        if opcode.is_control() {
            if !is_final {
                return Err(FrameError::FragmentedControl);
            }
            if short_len > CONTROL_LEN_MAX {
                return Err(FrameError::ControlTooLong);
            }
        }

        // A length in more bytes than it needs is let through, as every other server does.
        let (payload_len, rest) = match short_len {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            len => (u64::from(len), rest),
        };
        if payload_len > i64::MAX as u64 {
            return Err(FrameError::LengthSign);
        }
        let Some((mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Self {
            is_final,
            opcode,
            mask: Mask(*mask),
            payload_len,
            len: bytes.len() - rest.len(),
        }))
    }
}

/// The header of a frame from the server, to be written before its payload.
///
/// Apart from the payload, so that one shared payload serves many connections and polling too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHeader {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl FrameHeader {
    /// The longest header: two bytes and a length of eight.
    pub const LEN_MAX: usize = 10;

    /// The header of a text message of `payload_len` bytes.
    pub fn text(payload_len: usize) -> Self {
        Self::new(0x81, payload_len)
    }

    /// The header of a binary message of `payload_len` bytes.
    pub fn binary(payload_len: usize) -> Self {
        Self::new(0x82, payload_len)
    }

    /// The header of a ping; it may carry at most 125 bytes.
    pub fn ping(payload_len: usize) -> Self {
        debug_assert!(payload_len <= usize::from(CONTROL_LEN_MAX));
        Self::new(0x89, payload_len)
    }

    /// The header of a pong; it carries what the ping did, which is at most 125 bytes.
    pub fn pong(payload_len: usize) -> Self {
        debug_assert!(payload_len <= usize::from(CONTROL_LEN_MAX));
        Self::new(0x8A, payload_len)
    }

    /// A whole close frame: there is no payload to write after it.
    pub fn close(code: Option<CloseCode>) -> Self {
        let mut header = Self::new(0x88, if code.is_some() { 2 } else { 0 });
        if let Some(code) = code {
            header.bytes[2..4].copy_from_slice(&code.as_u16().to_be_bytes());
            header.len = 4;
        }
        header
    }

    fn new(first: u8, payload_len: usize) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        bytes[0] = first;
        let len = if let Ok(len @ ..126) = u8::try_from(payload_len) {
            bytes[1] = len;
            2
        } else if let Ok(len) = u16::try_from(payload_len) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        };
        Self { bytes, len }
    }

    /// The bytes to write.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for FrameHeader {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// The most that a control frame may carry.
const CONTROL_LEN_MAX: u8 = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_frame_header_has_the_shortest_length_and_no_mask() {
        let going_away = Some(CloseCode::GOING_AWAY);
        for (header, expected) in [
            (FrameHeader::text(0), &[0x81, 0][..]),
            (FrameHeader::text(125), &[0x81, 125]),
            (FrameHeader::text(126), &[0x81, 126, 0, 126]),
            (FrameHeader::text(0xFFFF), &[0x81, 126, 0xFF, 0xFF]),
            (
                FrameHeader::text(0x1_0000),
                &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0],
            ),
            (FrameHeader::binary(4), &[0x82, 4]),
            (FrameHeader::binary(255), &[0x82, 126, 0, 255]),
            (FrameHeader::ping(0), &[0x89, 0]),
            (FrameHeader::pong(125), &[0x8A, 125]),
            (FrameHeader::close(None), &[0x88, 0]),
            (FrameHeader::close(going_away), &[0x88, 2, 0x03, 0xE9]),
        ] {
            assert_eq!(header.as_slice(), expected);
        }
    }
}
