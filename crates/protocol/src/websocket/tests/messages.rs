use super::*;

#[test]
fn every_kind_of_message_is_read_however_it_is_cut() {
    check(&frame(FIN | TEXT, b"hello"), &[text("hello")]);
    check(&frame(FIN | TEXT, b""), &[text("")]);
    check(&frame(FIN | BINARY, &[0, 255]), &[binary(&[0, 255])]);
    check(&frame(FIN | BINARY, b""), &[binary(b"")]);
    check(&frame(FIN | PING, b""), &[ping(b"")]);
    check(&frame(FIN | PING, &[7; 125]), &[ping(&[7; 125])]);
    check(&frame(FIN | PONG, b"x"), &[pong(b"x")]);
    check(&frame(FIN | CLOSE, b""), &[Message::Close(None)]);
    check(&frame(FIN | CLOSE, &[0x03, 0xE8]), &[close(1000, "")]);
    check(&frame(FIN | CLOSE, b"\x0f\xa0bye"), &[close(4000, "bye")]);
    check(
        &[
            frame(FIN | TEXT, b"a"),
            frame(FIN | TEXT, b"b"),
            frame(FIN | PING, b"c"),
        ]
        .concat(),
        &[text("a"), text("b"), ping(b"c")],
    );
    for len in [125, 126, 127, 300] {
        check(
            &frame(FIN | BINARY, &vec![9; len]),
            &[binary(&vec![9; len])],
        );
    }
}

#[test]
fn a_message_of_every_length_class_is_read() {
    for len in [0xFFFF, 0x1_0000, LIMITS.message_len_max] {
        let seen = decode_in_pieces(&frame(FIN | BINARY, &vec![9; len]), 4_096, &LIMITS);

        assert_eq!(seen, (vec![binary(&vec![9; len])], None), "{len}");
    }
}

#[test]
fn fragments_make_one_message_and_control_frames_may_come_between_them() {
    check(
        &[
            frame(TEXT, b"a"),
            frame(FIN | PING, b"p"),
            frame(CONTINUATION, b""),
            frame(FIN | PONG, b""),
            frame(FIN | CONTINUATION, b"b"),
            frame(FIN | BINARY, b"c"),
        ]
        .concat(),
        &[ping(b"p"), pong(b""), text("ab"), binary(b"c")],
    );
    check(
        &[
            frame(BINARY, b""),
            frame(CONTINUATION, b""),
            frame(FIN | CONTINUATION, b""),
        ]
        .concat(),
        &[binary(b"")],
    );
    check(
        &[frame(TEXT, b"a"), frame(FIN | CLOSE, b"\x03\xe9")].concat(),
        &[close(1001, "")],
    );
}

#[test]
fn a_character_may_be_cut_between_two_fragments() {
    check(
        &[frame(TEXT, b"\xe2\x82"), frame(FIN | CONTINUATION, b"\xac")].concat(),
        &[text("\u{20ac}")],
    );
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_accepted_as_other_servers_do() {
    check(&[FIN | TEXT, 0xFE, 0, 1, 0, 0, 0, 0, b'a'], &[text("a")]);
    check(
        &[FIN | TEXT, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'a'],
        &[text("a")],
    );
}
