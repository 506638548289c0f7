use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::Timestamp;

/// The name of a fact with a current value, within its tenant: `message:{id}` and the like.
///
/// Text of 1 to 256 bytes without control characters.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text. It may hold a WhatsApp message id, so it does not belong in a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The longest key, in bytes.
    pub const LEN_MAX: usize = 256;
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return Err(InvalidKey::Length {
                len: text.len(),
                len_max: Self::LEN_MAX,
            });
        }
        match text.char_indices().find(|(_, char)| char.is_control()) {
            None => Ok(Self(text.into())),
            Some((offset, _)) => Err(InvalidKey::Control { offset }),
        }
    }
}

impl fmt::Debug for Key {
    /// Shows the kind of the key only: what follows may hold a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.split(':').next().unwrap_or_default();
        write!(f, "Key({kind}:..)")
    }
}

/// Why a text is no state key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// Empty or too long.
    #[error("key is {len} bytes, must be 1 to {len_max}")]
    Length {
        /// What it is.
        len: usize,
        /// What it may be.
        len_max: usize,
    },
    /// A control character, such as a line break.
    #[error("key has a control character at byte {offset}")]
    Control {
        /// Where.
        offset: usize,
    },
}

/// Which value of a key: grows with every change and never comes back, even after deletion.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(u64);

impl Version {
    /// A version as a journal counted it. Only journals make versions.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as a journal stores it.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What a change wants to find before it happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// Whatever is there is replaced.
    Anything,
    /// The key has no value, or one that has expired.
    Absent,
    /// The key has exactly this version, and it has not expired.
    Version(Version),
}

/// A new value for a key, or its deletion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Which key of the batch's tenant.
    pub key: Key,
    /// What must be there, or nothing of the batch happens.
    pub expect: Expect,
    /// The new value; `None` deletes the key.
    pub value: Option<Bytes>,
    /// From when on the value counts as absent; `None`: it stays.
    pub expires_at: Option<Timestamp>,
    /// The event of the batch, by its index, that the change belongs to: if that event is a
    /// duplicate, the change happened along with its first append and is skipped now. `None`: it
    /// belongs to the batch.
    pub event: Option<usize>,
}

/// What a key held when it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Value {
    /// The bytes of the last change.
    pub bytes: Bytes,
    /// What to expect in a change that replaces exactly this.
    pub version: Version,
    /// From when on it counts as absent.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_bounded_text() {
        assert!("message:wamid.1".parse::<Key>().is_ok());
        assert_eq!(
            "".parse::<Key>(),
            Err(InvalidKey::Length {
                len: 0,
                len_max: 256
            })
        );
        assert_eq!(
            "k".repeat(257).parse::<Key>(),
            Err(InvalidKey::Length {
                len: 257,
                len_max: 256
            })
        );
        assert_eq!(
            "a\nb".parse::<Key>(),
            Err(InvalidKey::Control { offset: 1 })
        );
    }

    #[test]
    fn debug_hides_what_a_key_names() {
        let key: Key = "message:wamid.4915112345".parse().unwrap();

        assert_eq!(format!("{key:?}"), "Key(message:..)");
    }
}
