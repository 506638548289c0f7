use super::*;

#[test]
fn what_has_no_type_is_refused() {
    refuse("", DecodeError::Empty);
    refuse("7", DecodeError::UnknownType('7'));
    refuse("999", DecodeError::UnknownType('9'));
    refuse("abc", DecodeError::UnknownType('a'));
    refuse(" 2[\"a\"]", DecodeError::UnknownType(' '));
    refuse("\u{20ac}", DecodeError::UnknownType('\u{20ac}'));
}

#[test]
fn a_payload_that_is_no_json_is_refused() {
    for text in [
        r#"442["some","data""#,
        r#"2/admin,"invalid"#,
        "2[",
        r#"2["a",]"#,
        r#"2["a"]]"#,
        r#"2["a"][]"#,
        r#"2["a",NaN]"#,
        r#"2["a",01]"#,
        "2[\"a\u{1}\"]",
        r#"2abc["a"]"#,
        r#"2-1["a"]"#,
        r#"2admin,["a"]"#,
        // Node takes spaces for digits of an ack id.
        r#"2 1["a"]"#,
        r#"21 2["a"]"#,
    ] {
        refuse(text, DecodeError::Json);
    }
}

#[test]
fn a_payload_that_does_not_fit_its_type_is_refused() {
    for text in [
        r#"0/admin,"invalid""#,
        "0[]",
        "0null",
        "1/admin,{}",
        "1[]",
        "1null",
        // Node lets an event without payload through.
        "2",
        "2/admin,",
        "212",
        "2/admin,{}",
        "2{}",
        "2null",
        r#"2"a""#,
        "31",
        "31{}",
        "4",
        "4[]",
        "51-",
        "61-1",
        "61-1{}",
    ] {
        refuse(text, DecodeError::Payload);
    }
}

#[test]
fn ack_ids_are_numbers_and_only_where_they_belong() {
    refuse("3[]", DecodeError::MissingAckId);
    refuse("61-[]", DecodeError::MissingAckId);
    refuse("07", DecodeError::UnexpectedAckId);
    refuse("07{}", DecodeError::UnexpectedAckId);
    refuse("11", DecodeError::UnexpectedAckId);
    refuse(r#"442["some","data"]"#, DecodeError::UnexpectedAckId);
    refuse(r#"218446744073709551616["a"]"#, DecodeError::AckId);
}

#[test]
fn a_namespace_without_control_characters_is_needed() {
    let character = || DecodeError::Namespace(InvalidNamespace::Character);

    refuse("0/a\u{1e}b", character());
    refuse("0/a\nb,{}", character());
    refuse("1/a\0,", character());
}

/// CVE-2023-32695: an event whose name is an object ended the process.
#[test]
fn the_name_of_an_event_is_text_or_a_number() {
    for text in [
        "2[]",
        "2[ ]",
        r#"2[{"toString":"foo"}]"#,
        r#"2[true,"foo"]"#,
        r#"2[null,"bar"]"#,
        r#"2[["a"]]"#,
        r#"51-[{"_placeholder":true,"num":0}]"#,
        // Half of a surrogate pair.
        r#"2["\ud800"]"#,
    ] {
        refuse(text, DecodeError::EventName);
    }
}

#[test]
fn reserved_names_are_refused_however_they_are_written() {
    let reserved = |name: &str| DecodeError::ReservedEvent(name.into());

    refuse(r#"2["connect"]"#, reserved("connect"));
    refuse(r#"2["disconnect","123"]"#, reserved("disconnect"));
    refuse(r#"2["connect_error"]"#, reserved("connect_error"));
    refuse(r#"2["disconnecting"]"#, reserved("disconnecting"));
    refuse(r#"2["newListener"]"#, reserved("newListener"));
    refuse(r#"2["removeListener"]"#, reserved("removeListener"));
    refuse(r#"2["\u0063onnect"]"#, reserved("connect"));
    refuse(r#"2/admin,1["connect"]"#, reserved("connect"));
    refuse(r#"51-["connect"]"#, reserved("connect"));
}

#[test]
fn the_number_of_attachments_is_a_whole_number_and_a_dash() {
    for text in [
        "5",
        "51",
        "5a-",
        "5-",
        "51.23-",
        "5-1-[\"a\"]",
        "5+1-[\"a\"]",
        "51e0-[\"a\"]",
        "50x1-[\"a\"]",
        "5 1-[\"a\"]",
        "5[\"a\"]",
        "5\u{661}-[\"a\"]",
    ] {
        refuse(text, DecodeError::AttachmentCount);
    }
}

/// CVE-2026-69185: no attachments, and yet a packet that waits for some.
#[test]
fn a_binary_packet_without_attachments_is_refused() {
    for text in [r#"50-["a"]"#, r#"50-1["a"]"#, r#"5000-["a"]"#, "60-1[]"] {
        refuse(text, DecodeError::AttachmentCount);
    }
}

/// CVE-2026-33151: more attachments than anybody sends.
#[test]
fn a_packet_with_too_many_attachments_is_refused() {
    for text in [
        r#"511-["a"]"#,
        r#"5999999999-["a"]"#,
        r#"599999999999999999999999-["a"]"#,
        "611-1[]",
    ] {
        refuse(
            text,
            DecodeError::TooManyAttachments {
                attachments_max: 10,
            },
        );
    }
}

/// CVE-2022-2421, of which `placeholder` has every kind.
#[test]
fn a_packet_with_a_placeholder_for_nothing_is_refused() {
    for num in ["1", "-1", "0.5", r#""0""#, r#""splice""#, "null"] {
        let placeholder = format!(r#"{{"_placeholder":true,"num":{num}}}"#);

        refuse(
            &format!(r#"51-["a",{placeholder}]"#),
            DecodeError::Placeholder,
        );
        refuse(&format!("61-1[[{placeholder}]]"), DecodeError::Placeholder);
    }
}

/// CVE-2020-36049: quadratic time on long numbers and names. This takes minutes if it is.
#[test]
fn long_packets_take_linear_time() {
    let digits = "1".repeat(1_000_000);
    for (text, error) in [
        (format!("5{digits}"), DecodeError::AttachmentCount),
        (
            format!("5{digits}-[]"),
            DecodeError::TooManyAttachments {
                attachments_max: 10,
            },
        ),
        (format!("2{digits}"), DecodeError::AckId),
        (format!("2{digits}[\"a\"]"), DecodeError::AckId),
        (
            format!("2/{digits}"),
            DecodeError::Namespace(InvalidNamespace::TooLong(1_000_001)),
        ),
        (
            format!("2/{digits},[\"a\"]"),
            DecodeError::Namespace(InvalidNamespace::TooLong(1_000_001)),
        ),
        (format!("2[{digits}"), DecodeError::Json),
        (format!("2{}", "[".repeat(1_000_000)), DecodeError::Json),
        (
            format!("2{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)),
            DecodeError::TooDeep,
        ),
        (
            format!(
                "51-[\"a\",{}{}]",
                "[".repeat(1_000_000),
                "]".repeat(1_000_000)
            ),
            DecodeError::TooDeep,
        ),
        (
            format!("0{}", r#"{"a":"#.repeat(1_000_000)),
            DecodeError::Json,
        ),
    ] {
        let refused = Decoder::new().decode_text(&text, &LIMITS).map(|_| ());

        assert_eq!(refused, Err(error), "{}", &text[..10]);
    }

    let many = format!("2[\"a\"{}]", ",1".repeat(500_000));
    let packet = Decoder::new().decode_text(&many, &LIMITS).unwrap().unwrap();
    assert!(matches!(packet.body, Body::Event(event) if event.arguments.iter().count() == 500_000));
}

#[track_caller]
fn refuse(text: &str, error: DecodeError) {
    let mut decoder = Decoder::new();

    let refused = decoder.decode_text(text, &LIMITS).map(|_| ());

    assert_eq!(refused, Err(error), "{text}");
    assert!(!decoder.is_awaiting_attachments(), "{text}");
}
