//! The decoder of WebSocket frames: where reads end makes no difference, and memory is bounded.
//!
//! Input: whether the limits are small (1 byte), how many cuts there are (1 byte), the lengths of
//! the reads, over and over (1 byte each), then what the client sends.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use switchboard_protocol::websocket::{
    CloseFrame, FrameDecoder, FrameError, Input, Limits, Message,
};

/// So small that the fuzzer meets them.
const SMALL: Limits = Limits {
    message_len_max: 300,
    fragments_max: 4,
};

type Seen = (Vec<Message<'static>>, Option<FrameError>);

fuzz_target!(|data: &[u8]| {
    let [is_small, cuts_len, rest @ ..] = data else {
        return;
    };
    let limits = if is_small % 2 == 0 {
        SMALL
    } else {
        Limits::default()
    };
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(*cuts_len)));

    let whole = decode(stream, &[], &limits);
    let cut = decode(stream, cuts, &limits);

    assert_eq!(whole, cut);
    check(&whole, &limits, stream.len());
});

/// Decodes `stream` in reads of the lengths in `cuts`, over and over; as a whole if there are none.
fn decode(stream: &[u8], cuts: &[u8], limits: &Limits) -> Seen {
    let mut decoder = FrameDecoder::new();
    let mut messages = Vec::new();
    let mut stream = stream.to_vec();
    let mut rest = &mut stream[..];
    let mut cuts = cuts.iter().map(|&cut| usize::from(cut) + 1).cycle();
    while !rest.is_empty() {
        let len = cuts.next().unwrap_or(rest.len()).min(rest.len());
        let (read, after) = rest.split_at_mut(len);
        rest = after;
        let mut input = Input::from(read);
        loop {
            match decoder.decode(&mut input, limits) {
                Ok(Some(message)) => messages.push(own(message)),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty(), "a read was not taken to its end");
    }
    (messages, None)
}

/// What holds for whatever a client sends.
fn check((messages, error): &Seen, limits: &Limits, stream_len: usize) {
    let mut total = 0;
    for message in messages {
        let (len, len_max) = match message {
            Message::Text(text) => (text.len(), limits.message_len_max),
            Message::Binary(bytes) => (bytes.len(), limits.message_len_max),
            Message::Ping(bytes) | Message::Pong(bytes) => (bytes.len(), 125),
            Message::Close(frame) => (frame.as_ref().map_or(0, |frame| frame.reason.len()), 123),
        };
        assert!(len <= len_max, "{message:?} is too long");
        total += len;
    }
    assert!(total <= stream_len, "more came out than went in");
    if let Some(error) = error {
        let code = error.close_code().as_u16();
        assert!(matches!(code, 1002 | 1007..=1009), "{error}: {code}");
    }
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
