use super::*;

#[test]
fn every_type_of_packet_is_read() {
    for (text, seen) in [
        ("0", Seen::Connect("/", None)),
        ("0/admin", Seen::Connect("/admin", None)),
        ("0/admin,", Seen::Connect("/admin", None)),
        ("0/,{}", Seen::Connect("/", Some("{}"))),
        (
            r#"0{"token":"1"}"#,
            Seen::Connect("/", Some(r#"{"token":"1"}"#)),
        ),
        (
            r#"0/admin,{"token":"1"}"#,
            Seen::Connect("/admin", Some(r#"{"token":"1"}"#)),
        ),
        ("0/a?token=1,{}", Seen::Connect("/a?token=1", Some("{}"))),
        ("1", Seen::Disconnect("/")),
        ("1/admin", Seen::Disconnect("/admin")),
        ("1/admin,", Seen::Disconnect("/admin")),
        (r#"2["a",1]"#, Seen::Event("/", None, "a", &["1"])),
        (r#"2["a"]"#, Seen::Event("/", None, "a", &[])),
        (
            r#"2/admin,12["a"]"#,
            Seen::Event("/admin", Some(12), "a", &[]),
        ),
        (r#"20["a"]"#, Seen::Event("/", Some(0), "a", &[])),
        (
            r#"2456["a",1,"2",{"3":[true]}]"#,
            Seen::Event("/", Some(456), "a", &["1", r#""2""#, r#"{"3":[true]}"#]),
        ),
        ("2[1,2]", Seen::Event("/", None, "1", &["2"])),
        ("2[-1.5e3]", Seen::Event("/", None, "-1.5e3", &[])),
        (r#"2["\u0061\n"]"#, Seen::Event("/", None, "a\n", &[])),
        (r#"2[ "a" , 1 ]"#, Seen::Event("/", None, "a", &["1"])),
        (r#"2[""]"#, Seen::Event("/", None, "", &[])),
        ("3/admin,12[]", Seen::Ack("/admin", 12, &[])),
        ("37[null]", Seen::Ack("/", 7, &["null"])),
        (
            r#"4/admin,{"message":"x"}"#,
            Seen::ConnectError("/admin", r#"{"message":"x"}"#),
        ),
        (r#"4"text""#, Seen::ConnectError("/", r#""text""#)),
    ] {
        check(text, &[], &seen);
    }
}

/// The order of keys and the digits of numbers are the client's.
#[test]
fn json_goes_through_as_it_came() {
    let arguments = &[
        r#"{"b":1,"a":1.00,"b":12345678901234567890123}"#,
        "1e999",
        r#""\ud800""#,
    ];
    let text = format!(r#"2["a",{}]"#, arguments.join(","));

    check(&text, &[], &Seen::Event("/", None, "a", arguments));
}

/// Without attachments there are no placeholders: this is data that looks like one.
#[test]
fn a_plain_event_may_hold_what_looks_like_a_placeholder() {
    check(
        r#"2["a",{"_placeholder":true,"num":9}]"#,
        &[],
        &Seen::Event("/", None, "a", &[r#"{"_placeholder":true,"num":9}"#]),
    );
}

/// CVE-2024-38355: `error` ended the process of a Node server that did not listen for it.
#[test]
fn an_event_named_error_or_like_a_property_is_an_ordinary_event() {
    for name in [
        "error",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "connection",
    ] {
        let text = format!(r#"2["{name}",1]"#);

        let packet = Decoder::new().decode_text(&text, &LIMITS).unwrap().unwrap();

        assert!(matches!(packet.body, Body::Event(event) if event.name == name));
    }
}

#[test]
fn debug_shows_no_payload() {
    for text in [
        r#"0{"token":"secret"}"#,
        r#"2["a","secret"]"#,
        r#"31["secret"]"#,
        r#"4"secret""#,
    ] {
        let packet = Decoder::new().decode_text(text, &LIMITS).unwrap();

        assert!(!format!("{packet:?}").contains("secret"), "{packet:?}");
    }
}
