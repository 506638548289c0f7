use super::*;

#[test]
fn attachments_complete_their_packet_in_order() {
    const FIRST: &str = r#"{"_placeholder":true,"num":0}"#;
    const SECOND: &str = r#"{"_placeholder":true,"num":1}"#;

    check(
        r#"51-["f",{"_placeholder":true,"num":0}]"#,
        &[b"1"],
        &Seen::Event("/", None, "f", &[FIRST]),
    );
    check(
        r#"52-/admin,7["f",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        &[b"1", b""],
        &Seen::Event("/admin", Some(7), "f", &[FIRST, SECOND]),
    );
    check(
        r#"62-789[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#,
        &[b"1", b"2"],
        &Seen::Ack("/", 789, &[SECOND, FIRST]),
    );
    // Without placeholders the attachments come all the same.
    check(r#"51-["f"]"#, &[b"1"], &Seen::Event("/", None, "f", &[]));
}

#[test]
fn attachments_and_texts_come_only_when_they_are_due() {
    let mut decoder = Decoder::new();
    let bytes = || Cow::Borrowed(&b"1"[..]);

    let unexpected = decoder.decode_binary(bytes(), &LIMITS).map(|_| ());
    decoder.decode_text(r#"51-["a"]"#, &LIMITS).unwrap();
    let missing = decoder.decode_text("1", &LIMITS).map(|_| ());
    let complete = decoder.decode_binary(bytes(), &LIMITS).unwrap();
    let unexpected_again = decoder.decode_binary(bytes(), &LIMITS).map(|_| ());

    assert_eq!(unexpected, Err(DecodeError::UnexpectedAttachment));
    assert_eq!(missing, Err(DecodeError::MissingAttachments));
    assert!(complete.is_some());
    assert_eq!(unexpected_again, Err(DecodeError::UnexpectedAttachment));
}

/// GHSA-55mf-67qm-4wpg: attachments without end.
#[test]
fn attachments_are_limited_in_bytes_together() {
    let mut decoder = Decoder::new();
    let half = vec![0; LIMITS.attachment_bytes_max / 2];
    decoder.decode_text(r#"53-["a"]"#, &LIMITS).unwrap();

    let first = decoder
        .decode_binary(Cow::Borrowed(&half), &LIMITS)
        .map(|_| ());
    let second = decoder
        .decode_binary(Cow::Borrowed(&half), &LIMITS)
        .map(|_| ());
    let third = decoder
        .decode_binary(Cow::Borrowed(b"x"), &LIMITS)
        .map(|_| ());

    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(
        third,
        Err(DecodeError::AttachmentsTooLong {
            len: 1_001,
            len_max: 1_000
        })
    );
    assert!(!decoder.is_awaiting_attachments());
}

#[test]
fn a_limit_of_zero_refuses_every_binary_packet() {
    let limits = Limits {
        attachments_max: 0,
        ..LIMITS
    };

    let refused = Decoder::new()
        .decode_text(r#"51-["a"]"#, &limits)
        .map(|_| ());

    assert_eq!(
        refused,
        Err(DecodeError::TooManyAttachments { attachments_max: 0 })
    );
}

#[test]
fn nothing_is_held_between_packets() {
    let mut decoder = Decoder::new();

    decoder.decode_text(r#"2["a"]"#, &LIMITS).unwrap();
    assert!(!decoder.is_awaiting_attachments());
    decoder.decode_text(r#"51-["a"]"#, &LIMITS).unwrap();
    assert!(decoder.is_awaiting_attachments());
    decoder.decode_binary(Cow::Borrowed(b"1"), &LIMITS).unwrap();
    assert!(!decoder.is_awaiting_attachments());
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
}
