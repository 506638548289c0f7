//! Times, as numbers inside and as ISO 8601 on the wire.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970 in UTC, up to the end of the year 9999.
///
/// As text ISO 8601 in UTC with milliseconds: `2025-11-05T10:00:00.000Z`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

/// A text that is not a time of RFC 3339 between 1970 and 9999.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("time is not of the form `2025-11-05T10:00:00Z`")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The first one, 1970-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(0);

    /// The last one, 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// That many milliseconds after the beginning of 1970; what is outside of [`MIN`](Self::MIN)
    /// to [`MAX`](Self::MAX) becomes the nearer of the two.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds since the beginning of 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This much later, unless that is after [`MAX`](Self::MAX).
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let millis = i64::try_from(duration.as_millis()).ok()?;
        let sum = self.0.checked_add(millis)?;
        (sum <= Self::MAX.0).then_some(Self(sum))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = Duration::from_millis(self.0.unsigned_abs());
        humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).fmt(f)
    }
}

/// Reads RFC 3339, with any offset from UTC and any fraction down to nanoseconds.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let (local, offset_minutes) = split_offset(text).ok_or(InvalidTimestamp)?;
        let local = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| InvalidTimestamp)?;
        let since = local
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| InvalidTimestamp)?;
        let millis = i64::try_from(since.as_millis()).map_err(|_| InvalidTimestamp)?;
        let millis = millis - offset_minutes * 60_000;
        if !(Self::MIN.0..=Self::MAX.0).contains(&millis) {
            return Err(InvalidTimestamp);
        }
        Ok(Self(millis))
    }
}

/// Splits `Z` or `+hh:mm` off, in minutes.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, 0));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let [sign, h1, h0, b':', m1, m0] = *offset.as_bytes() else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    let hours = digit(h1)? * 10 + digit(h0)?;
    let minutes = digit(m1)? * 10 + digit(m0)?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some((local, hours * 60 + minutes)),
        b'-' => Some((local, -(hours * 60 + minutes))),
        _ => None,
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A time in a payload, as its producer wrote it: it passes unchanged, whatever it says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WireTime(Box<str>);

impl WireTime {
    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Timestamp> for WireTime {
    fn from(time: Timestamp) -> Self {
        Self(time.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
        let time = Timestamp::from_millis(1_762_336_800_000);
        assert_eq!(time.to_string(), "2025-11-05T10:00:00.000Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn times_of_rfc_3339_are_read() {
        for text in [
            "2025-11-05T10:00:00Z",
            "2025-11-05T10:00:00.000Z",
            "2025-11-05T10:00:00.000000000z",
            "2025-11-05T12:30:00+02:30",
            "2025-11-04T22:00:00.000-12:00",
        ] {
            assert_eq!(
                text.parse(),
                Ok(Timestamp::from_millis(1_762_336_800_000)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "Z",
            "now",
            "2025-11-05",
            "2025-11-05T10:00:00",
            "2025-13-05T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2025-11-05T10:00:00+24:00",
            "2025-11-05T10:00:00*01:00",
            "\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn sums_stay_within_what_can_be_written() {
        let one = Duration::from_millis(1);
        assert_eq!(
            Timestamp::MIN.checked_add(one),
            Some(Timestamp::from_millis(1))
        );
        assert_eq!(Timestamp::MAX.checked_add(one), None);
        assert_eq!(Timestamp::MIN.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::MIN);
    }
}
