use super::*;

#[test]
fn a_message_that_is_whole_in_the_input_is_borrowed_from_it() {
    let mut decoder = FrameDecoder::new();
    let mut bytes = [frame(FIN | TEXT, b"text"), frame(FIN | BINARY, b"bytes")].concat();
    let mut input = Input::from(&mut bytes[..]);

    let text = decoder.decode(&mut input, &LIMITS).unwrap();
    let binary = decoder.decode(&mut input, &LIMITS).unwrap();

    assert!(matches!(text, Some(Message::Text(Cow::Borrowed("text")))));
    assert!(matches!(
        binary,
        Some(Message::Binary(Cow::Borrowed(b"bytes")))
    ));
    assert!(!decoder.is_partial());
}

#[test]
fn memory_is_held_only_while_something_is_incomplete() {
    let mut decoder = FrameDecoder::new();
    let bytes = [
        frame(TEXT, b"ab"),
        frame(FIN | PING, b"p"),
        frame(FIN | CONTINUATION, b"c"),
    ];
    let mut bytes = bytes.concat();
    let last = bytes.len() - 1;

    for byte in &mut bytes[..last] {
        feed(&mut decoder, std::slice::from_mut(byte), &LIMITS).unwrap();
        assert!(decoder.is_partial());
    }
    let messages = feed(&mut decoder, &mut bytes[last..], &LIMITS).unwrap();

    assert_eq!(messages, &[text("abc")]);
    assert!(!decoder.is_partial());
    assert_eq!(size_of::<FrameDecoder>(), size_of::<usize>());
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    let mut decoder = FrameDecoder::new();
    let mut bytes = frame(FIN | BINARY, &vec![1; 60_000]);
    let (head, tail) = bytes.split_at_mut(8 + 1);

    feed(&mut decoder, &mut head[..8], &LIMITS).unwrap();
    assert!(decoder.partial.as_ref().unwrap().message.is_none());
    feed(&mut decoder, &mut head[8..], &LIMITS).unwrap();
    assert_eq!(held(&decoder), 1);
    let mut arrived = 1;
    for piece in tail.chunks_mut(100) {
        assert!(held(&decoder) <= 2 * arrived, "{arrived}");
        arrived += piece.len();
        feed(&mut decoder, piece, &LIMITS).unwrap();
    }
    assert!(!decoder.is_partial());
}

/// The room that a decoder has taken for the message in the making.
fn held(decoder: &FrameDecoder) -> usize {
    decoder
        .partial
        .as_ref()
        .unwrap()
        .message
        .as_ref()
        .unwrap()
        .bytes
        .capacity()
}
