//! An API key, as far as it is kept.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::{Choice, ConstantTimeEq};

use crate::hex::{decode_hex, encode_hex};
use crate::producer::Reach;
use crate::scope::Scopes;

/// One API key that is accepted.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The producer's name, for the log. Several keys may have it: while one is changed for another.
    pub name: String,
    /// What is kept of the key.
    pub hash: KeyHash,
    /// Whose events it may publish.
    pub reach: Reach,
    /// What it is for.
    pub scopes: Scopes,
}

/// SHA-256 of an API key: what is kept of it. Its equality takes the same time whatever differs.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; KEY_HASH_LEN]);

/// What an API key is called, such as `key_9f86d081884c7d65`: the beginning of its hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(u64);

impl KeyHash {
    /// What the key is called.
    pub fn id(&self) -> KeyId {
        let first = self.0.first_chunk();
        KeyId(first.map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    pub(crate) fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_ID_PREFIX}{:016x}", self.0)
    }
}

/// A text that names no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be `key_` and 16 hexadecimal digits")]
pub struct InvalidKeyId;

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(KEY_ID_PREFIX).ok_or(InvalidKeyId)?;
        let mut bytes = [0; 8];
        decode_hex(digits.as_bytes(), &mut bytes).ok_or(InvalidKeyId)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl KeyHash {
    /// What is kept of `key`.
    pub fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let mut hash = [0; KEY_HASH_LEN];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for KeyHash {}

/// For sets of hashes that are known. Not for the check of a key: its time tells of the bytes.
impl Ord for KeyHash {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for KeyHash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// 64 hexadecimal digits, as `sha256sum` prints them.
impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; KEY_HASH_LEN];
        decode_hex(text.as_bytes(), &mut hash).ok_or_else(|| InvalidKeyHash {
            len: text.chars().count(),
        })?;
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * KEY_HASH_LEN);
        encode_hex(&self.0, &mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A text that is no SHA-256. It is not shown: it may be the key itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {len} characters long, must be 64 hexadecimal digits: the SHA-256 of the key")]
pub struct InvalidKeyHash {
    len: usize,
}

const KEY_HASH_LEN: usize = 32;
const KEY_ID_PREFIX: &str = "key_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hash_is_what_sha256sum_prints() {
        let text = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

        assert_eq!(KeyHash::of("key"), text.parse().unwrap());
        assert_eq!(KeyHash::of("key").to_string(), text);
        assert_ne!(KeyHash::of("key"), KeyHash::of("other"));
        assert!("2c70".parse::<KeyHash>().is_err());
        assert!("zz".repeat(32).parse::<KeyHash>().is_err());
    }

    #[test]
    fn a_key_is_called_by_the_beginning_of_its_hash() {
        let id = KeyHash::of("key").id();

        assert_eq!(id.to_string(), "key_2c70e12b7a0646f9");
        assert_eq!("key_2c70e12b7a0646f9".parse(), Ok(id));
        for text in [
            "2c70e12b7a0646f9",
            "key_2c70",
            "key_",
            "key_zz70e12b7a0646f9",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(InvalidKeyId), "{text}");
        }
    }
}
