use base64::Engine;
use bytes::Bytes;
use memchr::memchr;

use super::packet::BASE64;
use super::{Packet, PacketError};

/// Stands between two packets of a polling body. No text packet can hold it: Socket.IO packets are
/// names without control characters and JSON, which escapes them.
const SEPARATOR: u8 = 0x1E;

/// The packets of a polling body, in order; it ends at the first that is none.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    rest: Option<&'a str>,
}

impl<'a> Payloads<'a> {
    /// Reads the body of a POST. An empty body holds one empty packet, which is an error.
    ///
    /// There are at most half as many packets as there are bytes, and none is kept.
    pub fn decode(body: &'a [u8]) -> Result<Self, PacketError> {
        match simdutf8::basic::from_utf8(body) {
            Ok(text) => Ok(Self { rest: Some(text) }),
            Err(_) => Err(PacketError::InvalidUtf8),
        }
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let element = match memchr(SEPARATOR, text.as_bytes()) {
            Some(end) => {
                self.rest = Some(&text[end + 1..]);
                &text[..end]
            }
            None => text,
        };
        let packet = Packet::decode(element);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

/// A polling body in the making: what a poll is answered with.
#[derive(Debug, Default)]
pub struct Payload {
    body: Vec<u8>,
}

impl Payload {
    /// A body without packets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a packet that is already encoded as text, such as `4hello`.
    pub fn push_text(&mut self, packet: &[u8]) {
        self.separate();
        self.body.extend_from_slice(packet);
    }

    /// Adds a binary message.
    pub fn push_binary(&mut self, message: &[u8]) {
        self.separate();
        self.body.push(b'b');
        let start = self.body.len();
        self.body.resize(start + base64_len(message.len()), 0);
        BASE64
            .encode_slice(message, &mut self.body[start..])
            .expect("the room is the length of the encoded message");
    }

    /// How long the body is so far.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether there is no packet yet.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// How much a text packet of `len` bytes adds at most.
    pub fn text_len(len: usize) -> usize {
        len.saturating_add(1)
    }

    /// How much a binary message of `len` bytes adds at most.
    pub fn binary_len(len: usize) -> usize {
        base64_len(len).saturating_add(2)
    }

    /// The body; a noop if there are no packets, because clients take an empty body for an error.
    pub fn finish(self) -> Bytes {
        if self.body.is_empty() {
            return Bytes::from_static(b"6");
        }
        self.body.into()
    }

    fn separate(&mut self) {
        if !self.body.is_empty() {
            self.body.push(SEPARATOR);
        }
    }
}

fn base64_len(len: usize) -> usize {
    len.div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_joined_by_one_separator() {
        let mut payload = Payload::new();
        payload.push_text(b"4hello");
        payload.push_binary(&[1, 2, 3, 4]);
        payload.push_text(b"2");

        assert_eq!(payload.len(), 18);
        assert_eq!(payload.finish(), "4hello\u{1e}bAQIDBA==\u{1e}2");
    }

    #[test]
    fn a_body_without_packets_is_a_noop() {
        assert_eq!(Payload::new().finish(), "6");
    }

    #[test]
    fn bodies_are_read_up_to_their_first_error() {
        let hello = || Ok(Packet::Message("hello"));
        let bytes = || Ok(Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4][..])));

        check("4hello", &[hello()]);
        check("4hello\u{1e}bAQIDBA==", &[hello(), bytes()]);
        check(
            "4\u{1e}4",
            &[Ok(Packet::Message("")), Ok(Packet::Message(""))],
        );
        check(
            "2\u{1e}1\u{1e}4hello",
            &[Ok(Packet::Ping("")), Ok(Packet::Close), hello()],
        );
        check("", &[Err(PacketError::Empty)]);
        check("4hello\u{1e}", &[hello(), Err(PacketError::Empty)]);
        check("\u{1e}4hello", &[Err(PacketError::Empty)]);
        check(
            "4hello\u{1e}x\u{1e}4hello",
            &[hello(), Err(PacketError::UnknownType('x'))],
        );
        check(
            "4hello\u{1e}b?\u{1e}4hello",
            &[hello(), Err(PacketError::Base64)],
        );
    }

    #[test]
    fn a_body_that_is_not_utf8_is_refused() {
        assert_eq!(
            Payloads::decode(b"4\xff").err(),
            Some(PacketError::InvalidUtf8)
        );
    }

    /// Bodies of version 3, which have lengths: a decoder for them once looped forever.
    #[test]
    fn bodies_of_version_3_end_at_their_first_packet() {
        check("6:4hello", &[Ok(Packet::Noop)]);
        check("99:4", &[Err(PacketError::UnknownType('9'))]);
        check(":", &[Err(PacketError::UnknownType(':'))]);
        check("\0\u{6}", &[Err(PacketError::UnknownType('\0'))]);
    }

    proptest! {
        #[test]
        fn any_body_is_read_to_its_end(body in vec(any::<u8>(), 0..100)) {
            if let Ok(payloads) = Payloads::decode(&body) {
                let elements = body.split(|&byte| byte == SEPARATOR).count();

                prop_assert!((1..=elements).contains(&payloads.count()));
            }
        }

        #[test]
        fn packets_come_back_as_they_were_pushed(
            messages in vec(
                prop_oneof![
                    "[^\u{1e}]{0,20}".prop_map(Ok),
                    vec(any::<u8>(), 0..20).prop_map(Err),
                ],
                1..10,
            ),
        ) {
            let mut payload = Payload::new();
            for message in &messages {
                let len = payload.len();
                match message {
                    Ok(text) => {
                        let packet = Packet::Message(text).encode();
                        payload.push_text(packet.as_bytes());
                        prop_assert!(payload.len() - len <= Payload::text_len(packet.len()));
                    }
                    Err(bytes) => {
                        payload.push_binary(bytes);
                        prop_assert!(payload.len() - len <= Payload::binary_len(bytes.len()));
                    }
                }
            }

            let body = payload.finish();
            let packets: Vec<_> = Payloads::decode(&body).unwrap().collect();
            let expected: Vec<_> = messages
                .iter()
                .map(|message| match message {
                    Ok(text) => Ok(Packet::Message(text)),
                    Err(bytes) => Ok(Packet::Binary(Cow::Borrowed(bytes))),
                })
                .collect();
            prop_assert_eq!(packets, expected);
        }
    }

    #[track_caller]
    fn check(body: &str, expected: &[Result<Packet<'_>, PacketError>]) {
        let packets: Vec<_> = Payloads::decode(body.as_bytes()).unwrap().collect();

        assert_eq!(packets, expected, "{body:?}");
    }
}
