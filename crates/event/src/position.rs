//! Where an event is in the log.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// Which log: a log that was recreated has another epoch, and is never taken for the old one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of that number; the caller makes it random.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which record of a partition's log. The first one is 1, and none is left out.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(u64);

impl Offset {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// The offset of that number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The offset after this one.
    ///
    /// Saturates, which would take a record every nanosecond for 500 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a partition's log: everything up to and including `offset`.
///
/// As text `{epoch}-{offset}`: 16 hexadecimal digits, a hyphen, a decimal number. Not ordered:
/// positions of different epochs have no order.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// Which record of it.
    pub offset: Offset,
}

/// A text that is not a position.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("position is not 16 hexadecimal digits, a hyphen and a number")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Reads exactly what `Display` writes: one position has one text.
impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(InvalidPosition)?;
        let is_hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if epoch.len() != 16 || !epoch.bytes().all(is_hexadecimal) {
            return Err(InvalidPosition);
        }
        let is_canonical = offset == "0" || !offset.starts_with(['0', '+']);
        if !is_canonical {
            return Err(InvalidPosition);
        }
        Ok(Self {
            epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| InvalidPosition)?),
            offset: Offset(offset.parse().map_err(|_| InvalidPosition)?),
        })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_one_text() {
        let position = Position {
            epoch: Epoch::new(0xab),
            offset: Offset::new(42),
        };

        assert_eq!(position.to_string(), "00000000000000ab-42");
        assert_eq!("00000000000000ab-42".parse(), Ok(position));
        assert_eq!(
            "00000000000000ab-0".parse::<Position>().unwrap().offset,
            Offset::ZERO
        );
        let largest = "ffffffffffffffff-18446744073709551615";
        assert_eq!(largest.parse::<Position>().unwrap().to_string(), largest);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "-",
            "ab-42",
            "00000000000000ab",
            "00000000000000ab-",
            "00000000000000AB-42",
            "00000000000000ab-+42",
            "00000000000000ab-042",
            "00000000000000ab--1",
            "00000000000000ab-18446744073709551616",
            "00000000000000a\u{e9}-1",
            "00000000000000ab-4 ",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text:?}");
        }
    }

    #[test]
    fn offsets_are_dense() {
        assert_eq!(Offset::ZERO.next(), Offset::new(1));
        assert!(Offset::new(1) < Offset::new(1).next());
    }
}
