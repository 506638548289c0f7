use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often something may happen: so many in a time, evenly, after a burst that may come at once.
///
/// As text `20/s`, `20/s burst 100`, `600/m burst 50`, or `off` for no limit. Without a burst it is
/// what the time brings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate(Option<Limited>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Limited {
    count: u32,
    per: Unit,
    burst: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be a count by s, m or h, with or without a burst, such as \"20/s\" or \"20/s burst 100\", \
     each up to {max}, or \"off\"",
    max = Rate::COUNT_MAX
)]
pub struct InvalidRate;

impl Rate {
    /// No limit.
    pub const OFF: Self = Self(None);
    /// The largest count, and the largest burst.
    pub const COUNT_MAX: u32 = 1_000_000;

    /// So many each second, after a burst; both at least one.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self(Some(Limited {
            count: bounded(count),
            per: Unit::Second,
            burst: bounded(burst),
        }))
    }

    /// So many each minute, after a burst; both at least one.
    pub const fn per_minute(count: u32, burst: u32) -> Self {
        Self(Some(Limited {
            count: bounded(count),
            per: Unit::Minute,
            burst: bounded(burst),
        }))
    }

    /// Whether nothing is limited.
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// What one costs; none if nothing is limited.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let limited = self.0?;
        Some(limited.per.duration() / limited.count)
    }

    /// How much may come at once.
    pub(crate) fn burst(&self) -> u32 {
        self.0.map_or(0, |limited| limited.burst)
    }
}

const fn bounded(count: u32) -> u32 {
    if count == 0 {
        1
    } else if count > Rate::COUNT_MAX {
        Rate::COUNT_MAX
    } else {
        count
    }
}

impl Unit {
    fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let rate = words.next().ok_or(InvalidRate)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("burst"), Some(burst), None) => Some(count_of(burst)?),
            _ => return Err(InvalidRate),
        };
        if rate == "off" && burst.is_none() {
            return Ok(Self::OFF);
        }
        let (count, unit) = rate.split_once('/').ok_or(InvalidRate)?;
        let count = count_of(count)?;
        let per = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(InvalidRate),
        };
        Ok(Self(Some(Limited {
            count,
            per,
            burst: burst.unwrap_or(count),
        })))
    }
}

fn count_of(text: &str) -> Result<u32, InvalidRate> {
    let count = text.parse().map_err(|_| InvalidRate)?;
    if bounded(count) == count {
        Ok(count)
    } else {
        Err(InvalidRate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(Limited { count, per, burst }) => {
                write!(f, "{count}/{} burst {burst}", per.letter())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it() {
        for (text, shown) in [
            ("20/s", "20/s burst 20"),
            ("20/s burst 100", "20/s burst 100"),
            (" 600/m  burst 50 ", "600/m burst 50"),
            ("1000000/h burst 1000000", "1000000/h burst 1000000"),
            ("off", "off"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown, "{text}");
        }
        assert_eq!("20/s burst 40".parse(), Ok(Rate::per_second(20, 40)));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "20",
            "20/d",
            "0/s",
            "-1/s",
            "1.5/s",
            "1000001/s",
            "20/s burst",
            "20/s burst 0",
            "20/s 100",
            "20/s burst 1 more",
            "off burst 1",
            "on",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text:?}");
        }
    }
}
