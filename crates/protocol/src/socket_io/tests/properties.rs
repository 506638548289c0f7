use proptest::collection::vec;
use proptest::prelude::*;

use serde_json::value::RawValue;

use super::super::{Namespace, encode_ack, encode_event, encode_placeholder, is_reserved};
use super::*;

proptest! {
    #[test]
    fn no_text_makes_the_decoder_panic(
        texts in vec(prop_oneof![".{0,40}", "[0-6][0-9]{0,3}-?(/[a-z]{0,3},)?[0-9]{0,3}.{0,30}"], 1..4),
        bytes in vec(any::<u8>(), 0..20),
    ) {
        let mut decoder = Decoder::new();
        for text in &texts {
            let _ = decoder.decode_text(text, &LIMITS);
            let _ = decoder.decode_binary(Cow::Borrowed(&bytes), &LIMITS);
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was_encoded(
        namespace in namespace(),
        id in proptest::option::of(any::<u64>()),
        name in ".{0,20}".prop_filter("reserved", |name| !is_reserved(name)),
        arguments in vec(json(), 0..4),
        attachments in vec(vec(any::<u8>(), 0..20), 0..4),
    ) {
        let namespace = Namespace::new(&namespace).unwrap();
        let id = id.map(AckId);
        let arguments = with_placeholders(arguments, attachments.len());
        let parts: Vec<_> = arguments.iter().map(String::as_bytes).collect();

        let text = encode_event(&namespace, id, &name, &parts, attachments.len());

        let packet = decode_all(&text, &attachments);
        prop_assert_eq!(&packet.namespace, &namespace);
        let Body::Event(event) = packet.body else {
            return Err(TestCaseError::fail("not an event"));
        };
        prop_assert_eq!(event.name, name);
        prop_assert_eq!(event.ack_id, id);
        prop_assert_eq!(event.attachments, attachments);
        let seen: Vec<_> = event.arguments.iter().map(RawValue::get).collect();
        prop_assert_eq!(&seen, &arguments);
        prop_assert_eq!(event.arguments.as_str(), arguments.join(","));
    }

    #[test]
    fn an_ack_comes_back_as_it_was_encoded(
        namespace in namespace(),
        id in any::<u64>(),
        arguments in vec(json(), 0..4),
        attachments in vec(vec(any::<u8>(), 0..20), 0..4),
    ) {
        let namespace = Namespace::new(&namespace).unwrap();
        let arguments = with_placeholders(arguments, attachments.len());
        let parts: Vec<_> = arguments.iter().map(String::as_bytes).collect();

        let text = encode_ack(&namespace, AckId(id), &parts, attachments.len());

        let packet = decode_all(&text, &attachments);
        prop_assert_eq!(&packet.namespace, &namespace);
        let Body::Ack(ack) = packet.body else {
            return Err(TestCaseError::fail("not an ack"));
        };
        prop_assert_eq!(ack.id, AckId(id));
        prop_assert_eq!(ack.attachments, attachments);
        prop_assert_eq!(ack.arguments.as_str(), arguments.join(","));
    }
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::from("/")), "/[a-z0-9?=\u{e9}]{1,12}"]
}

/// Compact JSON of every shape.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((".{0,6}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    });
    value.prop_map(|value: serde_json::Value| value.to_string())
}

fn with_placeholders(mut arguments: Vec<String>, attachments: usize) -> Vec<String> {
    arguments.extend((0..attachments).map(encode_placeholder));
    arguments
}

/// Decodes what an encode function made, without the `4` of Engine.IO.
fn decode_all<'a>(text: &'a [u8], attachments: &[Vec<u8>]) -> Packet<'a> {
    let text = str::from_utf8(text).unwrap().strip_prefix('4').unwrap();
    let mut decoder = Decoder::new();
    let mut packet = decoder.decode_text(text, &LIMITS).unwrap();
    for attachment in attachments {
        assert!(packet.is_none());
        packet = decoder
            .decode_binary(Cow::Borrowed(attachment), &LIMITS)
            .unwrap();
    }
    packet.unwrap()
}
