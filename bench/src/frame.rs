//! As much of RFC 6455 as a client of a trusted server needs.

/// One whole frame from a server.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    /// 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub(crate) opcode: u8,
    /// Never masked on this way.
    pub(crate) payload: &'a [u8],
    /// What the frame took of the input, its header included.
    pub(crate) len: usize,
}

/// The frame at the beginning of `input`; `None` while its end is missing.
///
/// Fragments are not understood: no server under test sends them.
pub(crate) fn first(input: &[u8]) -> Option<Frame<'_>> {
    let (&first, &second) = (input.first()?, input.get(1)?);
    let (payload_len, header_len) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => {
            let len = u64::from_be_bytes(input.get(2..10)?.try_into().ok()?);
            (usize::try_from(len).ok()?, 10)
        }
        len => (usize::from(len), 2),
    };
    let len = header_len + payload_len;
    let payload = input.get(header_len..len)?;
    Some(Frame {
        opcode: first & 0x0f,
        payload,
        len,
    })
}

/// A masked text frame.
///
/// The mask is fixed: it protects proxies from pages, and here is neither.
pub(crate) fn masked_text(text: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = Vec::with_capacity(text.len() + 8);
    frame.push(0x81);
    if let Ok(len @ 0..=125) = u8::try_from(text.len()) {
        frame.push(0x80 | len);
    } else {
        let len = u16::try_from(text.len()).expect("a client sends tokens and room names only");
        frame.push(0x80 | 0x7e);
        frame.extend_from_slice(&len.to_be_bytes());
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        text.iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_once_its_end_is_there() {
        let mut input = vec![0x81, 126, 0, 200];
        input.extend([b'x'; 200]);

        assert_eq!(first(&input[..150]), None);
        let frame = first(&input).expect("a whole frame");

        assert_eq!(
            (frame.opcode, frame.payload.len(), frame.len),
            (1, 200, 204)
        );
    }

    #[test]
    fn a_short_and_a_long_text_are_masked() {
        assert_eq!(masked_text(b"3")[..2], [0x81, 0x81]);
        assert_eq!(masked_text(&[b'x'; 300])[..4], [0x81, 0xfe, 1, 44]);
    }
}
