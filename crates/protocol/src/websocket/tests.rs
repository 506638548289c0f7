//! The words in which the tests of the decoder speak.

use std::borrow::Cow;

use super::{CloseFrame, FrameDecoder, FrameError, Input, Limits, Message};

mod memory;
mod messages;
mod properties;
mod violations;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;

const LIMITS: Limits = Limits {
    message_len_max: 70_000,
    fragments_max: 4,
};

type Seen = (Vec<Message<'static>>, Option<FrameError>);

#[track_caller]
fn check(bytes: &[u8], expected: &[Message<'_>]) {
    for piece in [1, 2, 3, 5, 7, 64, usize::MAX] {
        let (messages, error) = decode_in_pieces(bytes, piece, &LIMITS);

        assert_eq!(messages, expected, "in pieces of {piece}");
        assert_eq!(error, None, "in pieces of {piece}");
    }
}

fn decode_in_pieces(bytes: &[u8], piece: usize, limits: &Limits) -> Seen {
    decode_in_cuts(bytes, &[piece], limits)
}

/// Decodes `bytes` in pieces of the lengths in `cuts`, over and over.
fn decode_in_cuts(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Seen {
    let mut decoder = FrameDecoder::new();
    let mut messages = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    for &cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at_mut(cut.min(rest.len()));
        rest = after;
        let mut input = Input::from(piece);
        loop {
            match decoder.decode(&mut input, limits) {
                Ok(Some(message)) => messages.push(own(message)),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (messages, None)
}

fn feed(
    decoder: &mut FrameDecoder,
    bytes: &mut [u8],
    limits: &Limits,
) -> Result<Vec<Message<'static>>, FrameError> {
    let mut input = Input::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut input, limits)? {
        messages.push(own(message));
    }
    Ok(messages)
}

fn own(message: Message<'_>) -> Message<'static> {
    let bytes = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    match message {
        Message::Text(text) => Message::Text(Cow::Owned(text.into_owned())),
        Message::Binary(payload) => Message::Binary(bytes(payload)),
        Message::Ping(payload) => Message::Ping(bytes(payload)),
        Message::Pong(payload) => Message::Pong(bytes(payload)),
        Message::Close(frame) => Message::Close(frame.map(|frame| CloseFrame {
            code: frame.code,
            reason: Cow::Owned(frame.reason.into_owned()),
        })),
    }
}

fn text(text: &str) -> Message<'_> {
    Message::Text(Cow::Borrowed(text))
}

fn binary(bytes: &[u8]) -> Message<'_> {
    Message::Binary(Cow::Borrowed(bytes))
}

fn ping(bytes: &[u8]) -> Message<'_> {
    Message::Ping(Cow::Borrowed(bytes))
}

fn pong(bytes: &[u8]) -> Message<'_> {
    Message::Pong(Cow::Borrowed(bytes))
}

fn close(code: u16, reason: &str) -> Message<'_> {
    Message::Close(Some(CloseFrame {
        code: code.try_into().unwrap(),
        reason: Cow::Borrowed(reason),
    }))
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked_frame(first, payload, [0x37, 0xFA, 0x21, 0x3D])
}

/// A frame as a client sends it.
fn masked_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(len @ ..126) = u8::try_from(payload.len()) {
        bytes.push(0x80 | len);
    } else if let Ok(len) = u16::try_from(payload.len()) {
        bytes.push(0xFE);
        bytes.extend(len.to_be_bytes());
    } else {
        bytes.push(0xFF);
        bytes.extend((payload.len() as u64).to_be_bytes());
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}
