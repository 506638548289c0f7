use super::super::{CloseCode, InvalidCloseCode};
use super::*;

#[test]
fn headers_that_break_the_rules_are_protocol_errors() {
    let unmasked = |first| vec![first, 0];
    let reserved = |bits| frame(FIN | bits | TEXT, b"");
    let opcode = |opcode| frame(FIN | opcode, b"");

    refuse(&unmasked(FIN | TEXT), FrameError::Unmasked, 1002);
    refuse(&unmasked(FIN | CLOSE), FrameError::Unmasked, 1002);
    // A compressed message (CVE-2018-1000518, CVE-2026-27571): no extension is negotiated, so
    // nothing is ever inflated.
    refuse(&reserved(0x40), FrameError::ReservedBits, 1002);
    refuse(&reserved(0x20), FrameError::ReservedBits, 1002);
    refuse(&reserved(0x10), FrameError::ReservedBits, 1002);
    refuse(&opcode(0x3), FrameError::ReservedOpcode(0x3), 1002);
    refuse(&opcode(0x7), FrameError::ReservedOpcode(0x7), 1002);
    refuse(&opcode(0xB), FrameError::ReservedOpcode(0xB), 1002);
    refuse(&opcode(0xF), FrameError::ReservedOpcode(0xF), 1002);
}

/// CVE-2022-21676: plain bytes right after the upgrade.
#[test]
fn bytes_that_are_no_frame_are_protocol_errors() {
    refuse(b"test", FrameError::ReservedBits, 1002);
    refuse(b"GET / HTTP/1.1\r\n\r\n", FrameError::ReservedBits, 1002);
    refuse(b"\r\n", FrameError::ReservedOpcode(0xD), 1002);
    refuse(&[0; 8], FrameError::Unmasked, 1002);
}

#[test]
fn control_frames_are_short_and_whole() {
    refuse(&frame(PING, b""), FrameError::FragmentedControl, 1002);
    refuse(&frame(CLOSE, b""), FrameError::FragmentedControl, 1002);
    for len in [126, 70_000] {
        let payload = vec![0; len];
        refuse(
            &frame(FIN | PING, &payload),
            FrameError::ControlTooLong,
            1002,
        );
        refuse(
            &frame(FIN | CLOSE, &payload),
            FrameError::ControlTooLong,
            1002,
        );
    }
}

/// CVE-2016-10542: a length is refused by the header, long before there is a payload.
#[test]
fn a_message_is_too_long_as_soon_as_it_says_so() {
    let announced = |len: u64| [&[FIN | BINARY, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat();
    let too_long = |len| FrameError::MessageTooLong {
        len,
        len_max: LIMITS.message_len_max,
    };
    let largest = u64::MAX / 2;

    refuse(&announced(70_001), too_long(70_001), 1009);
    refuse(&announced(largest), too_long(largest), 1009);
    refuse(&announced(largest + 1), FrameError::LengthSign, 1002);
    refuse(&announced(u64::MAX), FrameError::LengthSign, 1002);
}

#[test]
fn frames_out_of_order_are_protocol_errors() {
    let two = |first, second| [frame(first, b"a"), frame(second, b"")].concat();
    let unexpected = FrameError::UnexpectedContinuation;
    let interrupted = FrameError::InterruptedMessage;

    refuse(&frame(CONTINUATION, b"a"), unexpected, 1002);
    refuse(&frame(FIN | CONTINUATION, b""), unexpected, 1002);
    refuse(&two(TEXT, FIN | TEXT), interrupted, 1002);
    refuse(&two(TEXT, BINARY), interrupted, 1002);
    refuse(&two(BINARY, FIN | BINARY), interrupted, 1002);
}

#[test]
fn text_that_is_not_utf8_is_invalid_payload() {
    let fragments = |head, tail| [frame(TEXT, head), frame(FIN | CONTINUATION, tail)].concat();

    for text in [
        &b"\xff"[..],
        b"\xe2\x82",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        refuse(&frame(FIN | TEXT, text), FrameError::InvalidUtf8, 1007);
        refuse(&fragments(b"a", text), FrameError::InvalidUtf8, 1007);
        refuse(&fragments(text, b""), FrameError::InvalidUtf8, 1007);
    }
    refuse(&fragments(b"\xe2", b"\x82"), FrameError::InvalidUtf8, 1007);
}

#[test]
fn close_frames_carry_a_valid_code_and_a_reason_in_utf8() {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);

    refuse(&close(&[3]), FrameError::CloseWithoutCode, 1002);
    refuse(&close(b"\x03\xe8\xff"), FrameError::CloseReason, 1007);
    for code in [
        0,
        1,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        2999,
        5000,
        u16::MAX,
    ] {
        let error = FrameError::CloseCode(InvalidCloseCode(code));
        refuse(&close(&code.to_be_bytes()), error, 1002);
    }
}

/// CVE-2026-62389 and CVE-2026-48779: a message that never ends, in fragments of next to nothing.
#[test]
fn fragments_without_end_are_refused_even_if_they_are_empty() {
    for payload in [&b""[..], b"a"] {
        let bytes = [frame(TEXT, payload), frame(CONTINUATION, payload).repeat(4)].concat();
        let expected = FrameError::TooManyFragments { fragments_max: 4 };

        let (messages, error) = decode_in_pieces(&bytes, usize::MAX, &LIMITS);

        assert_eq!(messages, &[]);
        assert_eq!(error, Some(expected));
        assert_eq!(expected.close_code(), CloseCode::POLICY_VIOLATION);
    }
}

#[test]
fn fragments_count_together_towards_the_longest_message() {
    let half = LIMITS.message_len_max / 2;
    let fits = [
        frame(BINARY, &vec![0; half]),
        frame(FIN | CONTINUATION, &vec![0; half]),
    ]
    .concat();
    let exceeds = [
        frame(BINARY, &vec![0; half]),
        frame(FIN | CONTINUATION, &vec![0; half + 1]),
    ]
    .concat();

    let (messages, error) = decode_in_pieces(&fits, 1_000, &LIMITS);
    assert_eq!(messages.len(), 1);
    assert_eq!(error, None);
    let (messages, error) = decode_in_pieces(&exceeds, 1_000, &LIMITS);
    assert_eq!(messages, &[]);
    assert_eq!(
        error.map(|error| error.close_code()),
        Some(CloseCode::MESSAGE_TOO_BIG)
    );
}

/// Expects nothing but `error`, and that the client is told `code`, however `bytes` are cut.
#[track_caller]
fn refuse(bytes: &[u8], error: FrameError, code: u16) {
    for piece in [1, 2, 3, usize::MAX] {
        assert_eq!(
            decode_in_pieces(bytes, piece, &LIMITS),
            (Vec::new(), Some(error))
        );
    }
    assert_eq!(error.close_code().as_u16(), code);
}
