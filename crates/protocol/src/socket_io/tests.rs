//! The words in which the tests of the decoder speak.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{AckId, Body, DecodeError, Decoder, InvalidNamespace, Limits, Packet};

mod attachments;
mod packets;
mod properties;
mod refusals;

const LIMITS: Limits = Limits {
    attachments_max: 10,
    attachment_bytes_max: 1_000,
};

/// A packet in a form that tests can write down and compare.
#[derive(Debug, PartialEq)]
enum Seen {
    Connect(&'static str, Option<&'static str>),
    Disconnect(&'static str),
    Event(
        &'static str,
        Option<u64>,
        &'static str,
        &'static [&'static str],
    ),
    Ack(&'static str, u64, &'static [&'static str]),
    ConnectError(&'static str, &'static str),
}

#[track_caller]
fn check(text: &str, attachments: &[&[u8]], expected: &Seen) {
    let mut decoder = Decoder::new();
    let mut packet = decoder.decode_text(text, &LIMITS).unwrap();
    for attachment in attachments {
        assert!(packet.is_none(), "{text}");
        assert!(decoder.is_awaiting_attachments(), "{text}");
        packet = decoder
            .decode_binary(Cow::Borrowed(attachment), &LIMITS)
            .unwrap();
    }
    let packet = packet.unwrap();

    assert!(!decoder.is_awaiting_attachments(), "{text}");
    let (namespace, matches) = match (&packet.body, expected) {
        (Body::Connect(auth), Seen::Connect(namespace, expected)) => {
            (namespace, auth.map(RawValue::get) == *expected)
        }
        (Body::Disconnect, Seen::Disconnect(namespace)) => (namespace, true),
        (Body::Event(event), Seen::Event(namespace, id, name, arguments)) => (
            namespace,
            event.name == *name
                && event.ack_id == id.map(AckId)
                && event.attachments == attachments
                && event
                    .arguments
                    .iter()
                    .map(RawValue::get)
                    .eq(arguments.iter().copied()),
        ),
        (Body::Ack(ack), Seen::Ack(namespace, id, arguments)) => (
            namespace,
            ack.id == AckId(*id)
                && ack.attachments == attachments
                && ack
                    .arguments
                    .iter()
                    .map(RawValue::get)
                    .eq(arguments.iter().copied()),
        ),
        (Body::ConnectError(data), Seen::ConnectError(namespace, expected)) => {
            (namespace, data.get() == *expected)
        }
        _ => panic!("{text} is {packet:?}"),
    };
    assert_eq!(packet.namespace.as_str(), *namespace, "{text}");
    assert!(matches, "{text} is {packet:?}");
}
