//! What lies under which name, and in which slot of a cluster.

/// Keys that share a hash tag, and so a slot.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    tag: String,
    pub(crate) slot: u16,
}

impl Place {
    /// The place of partition `index`: `{prefix:07}`.
    pub(crate) fn partition(prefix: &str, index: u16) -> Self {
        Self::new(format!("{prefix}:{index:02}"))
    }

    /// The place of what is there once.
    pub(crate) fn identity(prefix: &str) -> Self {
        Self::new(prefix.to_owned())
    }

    fn new(tag: String) -> Self {
        let slot = crc_16(tag.as_bytes()) % SLOTS;
        Self { tag, slot }
    }

    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.tag)
    }
}

/// CRC-16/XMODEM, which says the slot of a key.
fn crc_16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

/// Whether a prefix is safe in a key, a hash tag and an ACL pattern.
pub(crate) fn is_prefix(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=PREFIX_LEN_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

const SLOTS: u16 = 16_384;
const PREFIX_LEN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_one_that_redis_computes() {
        // The check value of the algorithm, and what CLUSTER KEYSLOT answers.
        assert_eq!(crc_16(b"123456789"), 0x31c3);
        assert_eq!(Place::new("foo".to_owned()).slot, 12_182);
    }

    #[test]
    fn all_keys_of_a_partition_share_a_tag() {
        let place = Place::partition("switchboard", 7);

        assert_eq!(place.key("log"), "{switchboard:07}:log");
        assert_eq!(place.key("meta"), "{switchboard:07}:meta");
    }

    #[test]
    fn a_prefix_cannot_end_its_hash_tag() {
        assert!(is_prefix("crm-1_a"));
        for text in ["", "a}", "{a", "A", "a*", &"a".repeat(33)] {
            assert!(!is_prefix(text), "{text:?}");
        }
    }
}
