use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::redacted::Redacted;

/// Standard base64; Node's decoder, which clients know, does not care about padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One unit of Engine.IO.
#[derive(Clone, Eq, PartialEq)]
pub enum Packet<'a> {
    /// Opens a session; JSON from a server.
    Open(&'a str),
    /// Closes the session.
    Close,
    /// A heartbeat, or `probe` on a WebSocket that wants to take over.
    Ping(&'a str),
    /// The answer to a ping, with the same payload.
    Pong(&'a str),
    /// A message of the layer above.
    Message(&'a str),
    /// The WebSocket takes over from polling.
    Upgrade,
    /// Nothing: ends a poll without a message.
    Noop,
    /// A message of bytes.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Packet<'a> {
    /// Reads one packet of text: a WebSocket message or one element of a polling body.
    ///
    /// What follows the type of a packet without payload is ignored.
    pub fn decode(text: &'a str) -> Result<Self, PacketError> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(PacketError::Empty)?;
        let payload = rest.as_str();
        Ok(match kind {
            '0' => Self::Open(payload),
            '1' => Self::Close,
            '2' => Self::Ping(payload),
            '3' => Self::Pong(payload),
            '4' => Self::Message(payload),
            '5' => Self::Upgrade,
            '6' => Self::Noop,
            'b' => Self::Binary(Cow::Owned(
                BASE64.decode(payload).map_err(|_| PacketError::Base64)?,
            )),
            _ => return Err(PacketError::UnknownType(kind)),
        })
    }

    /// The packet as text; binary as base64.
    pub fn encode(&self) -> String {
        match self {
            Self::Open(payload) => format!("0{payload}"),
            Self::Close => String::from("1"),
            Self::Ping(payload) => format!("2{payload}"),
            Self::Pong(payload) => format!("3{payload}"),
            Self::Message(payload) => format!("4{payload}"),
            Self::Upgrade => String::from("5"),
            Self::Noop => String::from("6"),
            Self::Binary(bytes) => {
                let mut text = String::from("b");
                BASE64.encode_string(bytes, &mut text);
                text
            }
        }
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, len) = match self {
            Self::Open(payload) => ("Open", payload.len()),
            Self::Close => return f.write_str("Close"),
            Self::Ping(payload) => ("Ping", payload.len()),
            Self::Pong(payload) => ("Pong", payload.len()),
            Self::Message(payload) => ("Message", payload.len()),
            Self::Upgrade => return f.write_str("Upgrade"),
            Self::Noop => return f.write_str("Noop"),
            Self::Binary(bytes) => ("Binary", bytes.len()),
        };
        f.debug_tuple(name).field(&Redacted(len)).finish()
    }
}

/// Why a packet was refused. Every variant is the client's fault, and ends the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Not even a type.
    #[error("packet is empty")]
    Empty,
    /// A type that does not exist.
    #[error("packet type {0:?} does not exist")]
    UnknownType(char),
    /// A binary packet that is not base64.
    #[error("binary packet is not base64")]
    Base64,
    /// A polling body that is not UTF-8.
    #[error("payload is not utf-8")]
    InvalidUtf8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_and_writes() {
        check("0{}", &Packet::Open("{}"));
        check("1", &Packet::Close);
        check("2", &Packet::Ping(""));
        check("2probe", &Packet::Ping("probe"));
        check("3", &Packet::Pong(""));
        check("3probe", &Packet::Pong("probe"));
        check("4", &Packet::Message(""));
        check("4hello", &Packet::Message("hello"));
        check("4\u{20ac}\u{1f600}", &Packet::Message("\u{20ac}\u{1f600}"));
        check("5", &Packet::Upgrade);
        check("6", &Packet::Noop);
        check("b", &Packet::Binary(Cow::Borrowed(b"")));
        check("bAQIDBA==", &Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4])));
        // Version 3 had a type after the `b`: here a `4` is base64 like any other letter.
        check("b4444", &Packet::Binary(Cow::Borrowed(&[0xe3, 0x8e, 0x38])));
    }

    #[test]
    fn base64_may_come_without_padding() {
        let packet = Packet::decode("bAQIDBA");

        assert_eq!(packet, Ok(Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4]))));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for (text, error) in [
            ("", PacketError::Empty),
            ("7", PacketError::UnknownType('7')),
            ("abc", PacketError::UnknownType('a')),
            ("\u{20ac}", PacketError::UnknownType('\u{20ac}')),
            ("__proto__", PacketError::UnknownType('_')),
            ("b?", PacketError::Base64),
            ("bA", PacketError::Base64),
            ("bAQ=A", PacketError::Base64),
        ] {
            assert_eq!(Packet::decode(text), Err(error), "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_what_is_in_a_message() {
        assert_eq!(
            format!("{:?}", Packet::Message("secret")),
            "Message(<6 bytes>)"
        );
    }

    #[track_caller]
    fn check(text: &str, packet: &Packet<'_>) {
        assert_eq!(Packet::decode(text).as_ref(), Ok(packet));
        assert_eq!(packet.encode(), text);
    }
}
