use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_messages(
        bytes in vec(any::<u8>(), 0..300),
        cuts in vec(1_usize..40, 1..20),
    ) {
        check_cuts(&bytes, &cuts)?;
    }

    #[test]
    fn any_frames_in_any_pieces_give_the_same_messages(
        frames in vec(any_frame(), 0..12),
        cuts in vec(1_usize..40, 1..20),
    ) {
        check_cuts(&frames.concat(), &cuts)?;
    }

    #[test]
    fn a_message_in_any_fragments_comes_back_whole(
        fragments in vec(vec(any::<u8>(), 0..200), 1..4),
        mask in any::<[u8; 4]>(),
        cuts in vec(1_usize..300, 1..20),
    ) {
        let last = fragments.len() - 1;
        let bytes: Vec<u8> = fragments
            .iter()
            .enumerate()
            .flat_map(|(index, payload)| {
                let opcode = if index == 0 { BINARY } else { CONTINUATION };
                let fin = if index == last { FIN } else { 0 };
                masked_frame(fin | opcode, payload, mask)
            })
            .collect();

        let (messages, error) = decode_in_cuts(&bytes, &cuts, &LIMITS);

        let payload = fragments.concat();
        prop_assert_eq!(messages, &[binary(&payload)]);
        prop_assert_eq!(error, None);
    }
}

/// Frames that are right, and frames that are wrong in every way.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        9 => prop::sample::select(vec![
            FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG, TEXT, BINARY, CONTINUATION,
            FIN | CONTINUATION, FIN | CLOSE,
        ]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        vec(any::<u8>(), 0..140),
        "[a-z\u{20ac}]{0,40}".prop_map(Vec::from)
    ];
    (opcode, payload, any::<[u8; 4]>())
        .prop_map(|(first, payload, mask)| masked_frame(first, &payload, mask))
}

fn check_cuts(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let whole = decode_in_pieces(bytes, usize::MAX, &LIMITS);

    prop_assert_eq!(decode_in_cuts(bytes, cuts, &LIMITS), whole.clone());
    prop_assert_eq!(decode_in_pieces(bytes, 1, &LIMITS), whole);
    Ok(())
}
