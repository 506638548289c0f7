//! Socket.IO packets: texts and attachments in any order. What is read is written again as it was.
//!
//! Input: whether the limits are small (1 byte), then messages with a zero byte between them; one
//! that begins with a byte of 1 or is not UTF-8 is binary.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use switchboard_protocol::socket_io::{
    Ack, Arguments, Body, DecodeError, Decoder, Event, Limits, Packet, encode_ack, encode_event,
    is_reserved,
};

/// So small that the fuzzer meets them.
const SMALL: Limits = Limits {
    attachments_max: 2,
    attachment_bytes_max: 32,
};

fuzz_target!(|data: &[u8]| {
    let Some((is_small, messages)) = data.split_first() else {
        return;
    };
    let limits = if is_small % 2 == 0 {
        SMALL
    } else {
        Limits::default()
    };
    let mut decoder = Decoder::new();
    for message in messages.split(|&byte| byte == 0) {
        // After an error the connection is over.
        let Ok(packet) = decode(&mut decoder, message, &limits) else {
            return;
        };
        assert_eq!(decoder.is_awaiting_attachments(), packet.is_none());
        if let Some(packet) = packet {
            check(&packet, &limits);
        }
    }
});

fn decode<'a>(
    decoder: &mut Decoder,
    message: &'a [u8],
    limits: &Limits,
) -> Result<Option<Packet<'a>>, DecodeError> {
    let was_awaiting = decoder.is_awaiting_attachments();
    match (message.strip_prefix(&[1]), str::from_utf8(message)) {
        (None, Ok(text)) => {
            let packet = decoder.decode_text(text, limits);
            if was_awaiting {
                assert_eq!(
                    packet.as_ref().err(),
                    Some(&DecodeError::MissingAttachments)
                );
            }
            packet
        }
        (bytes, _) => {
            let packet = decoder.decode_binary(Cow::Borrowed(bytes.unwrap_or(message)), limits);
            if !was_awaiting {
                assert_eq!(
                    packet.as_ref().err(),
                    Some(&DecodeError::UnexpectedAttachment)
                );
            }
            packet
        }
    }
}

/// What holds for every packet that is accepted.
fn check(packet: &Packet<'_>, limits: &Limits) {
    let namespace = packet.namespace.as_str();
    assert!(namespace.starts_with('/') && !namespace.contains([',', '\u{1e}']));
    match &packet.body {
        Body::Event(event) => check_event(packet, event, limits),
        Body::Ack(ack) => check_ack(packet, ack, limits),
        Body::Connect(Some(auth)) => assert!(auth.get().starts_with('{')),
        Body::ConnectError(data) => assert!(data.get().starts_with(['{', '"'])),
        Body::Connect(None) | Body::Disconnect => {}
    }
}

fn check_event(packet: &Packet<'_>, event: &Event<'_>, limits: &Limits) {
    assert!(!is_reserved(&event.name));
    let arguments = check_parts(&event.arguments, &event.attachments, limits);

    let text = encode_event(
        &packet.namespace,
        event.ack_id,
        &event.name,
        &[arguments.as_bytes()],
        event.attachments.len(),
    );
    again(&text, &event.attachments, |again| {
        let Body::Event(again_event) = &again.body else {
            panic!("an event became something else");
        };
        assert_eq!(again.namespace, packet.namespace);
        assert_eq!(again_event.name, event.name);
        assert_eq!(again_event.ack_id, event.ack_id);
        assert_eq!(again_event.arguments, event.arguments);
        assert_eq!(again_event.attachments, event.attachments);
    });
}

fn check_ack(packet: &Packet<'_>, ack: &Ack<'_>, limits: &Limits) {
    let arguments = check_parts(&ack.arguments, &ack.attachments, limits);

    let arguments = [arguments.as_bytes()];
    let text = encode_ack(&packet.namespace, ack.id, &arguments, ack.attachments.len());
    again(&text, &ack.attachments, |again| {
        let Body::Ack(again_ack) = &again.body else {
            panic!("an ack became something else");
        };
        assert_eq!(again.namespace, packet.namespace);
        assert_eq!(again_ack.id, ack.id);
        assert_eq!(again_ack.arguments, ack.arguments);
        assert_eq!(again_ack.attachments, ack.attachments);
    });
}

/// Reads what the server's encoder wrote, and hands on the one packet that it is.
fn again(text: &[u8], attachments: &[impl AsRef<[u8]>], assert_same: impl FnOnce(Packet<'_>)) {
    let text = str::from_utf8(text).expect("packets are text");
    let text = text.strip_prefix('4').expect("an Engine.IO message");
    let mut decoder = Decoder::new();
    let mut packet = decoder
        .decode_text(text, &Limits::default())
        .expect("ours is valid");
    for attachment in attachments {
        assert!(packet.is_none(), "a packet came before its attachments");
        let bytes = Cow::Borrowed(attachment.as_ref());
        let complete = decoder.decode_binary(bytes, &Limits::default());
        packet = complete.expect("an attachment of ours is valid");
    }
    assert_same(packet.expect("a packet with all its attachments"));
}

/// Arguments are JSON however they are looked at, and attachments are within the limits.
fn check_parts<'a>(
    arguments: &'a Arguments<'_>,
    attachments: &[impl AsRef<[u8]>],
    limits: &Limits,
) -> &'a str {
    let text = arguments.as_str();
    let array = format!("[{text}]");
    let elements: Vec<&RawValue> = serde_json::from_str(&array).expect("arguments are an array");
    let elements: Vec<_> = elements.into_iter().map(RawValue::get).collect();
    assert_eq!(
        arguments.iter().map(RawValue::get).collect::<Vec<_>>(),
        elements
    );
    assert_eq!(arguments.is_empty(), elements.is_empty());

    assert!(attachments.len() <= limits.attachments_max);
    let len: usize = attachments.iter().map(|bytes| bytes.as_ref().len()).sum();
    assert!(len <= limits.attachment_bytes_max);
    text
}
