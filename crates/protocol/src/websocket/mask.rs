/// The four bytes with which a client masks one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mask(pub(super) [u8; 4]);

impl Mask {
    /// Unmasks `bytes`, the first of which is number `offset` of the payload.
    pub(super) fn apply(self, bytes: &mut [u8], offset: u64) {
        let mut key = self.0;
        key.rotate_left((offset % 4) as usize);
        let wide = u64::from_ne_bytes([
            key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
        ]);

        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_in_pieces_unmasks_like_the_whole() {
        let mask = Mask([1, 2, 4, 8]);
        let masked: Vec<u8> = (0..100).collect();
        let whole: Vec<u8> = masked
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ mask.0[i % 4])
            .collect();

        for cut in 0..masked.len() {
            let mut bytes = masked.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            mask.apply(head, 0);
            mask.apply(tail, cut as u64);

            assert_eq!(bytes, whole, "cut at {cut}");
        }
    }
}
