//! Dates as JavaScript writes them into JSON.

use std::fmt::Write as _;

/// Writes `"2024-01-02T03:04:05.000Z"`, or null for what is no date of JavaScript.
pub(crate) fn write(millis: i64, json: &mut String) {
    if !(-MILLIS_MAX..=MILLIS_MAX).contains(&millis) {
        json.push_str("null");
        return;
    }
    let (days, of_day) = (millis.div_euclid(DAY_MILLIS), millis.rem_euclid(DAY_MILLIS));
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    // Years of other than four digits have a sign and six.
    let written = match year {
        0..=9_999 => write!(json, "\"{year:04}"),
        _ => write!(json, "\"{year:+07}"),
    };
    let rest = write!(
        json,
        "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z\""
    );
    // Writing to a string cannot fail.
    let _ = written.and(rest);
}

/// Year, month and day of so many days since 1970, in the Gregorian calendar of all times: eras of
/// 400 years, years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

const DAY_MILLIS: i64 = 86_400_000;
/// The furthest date of JavaScript, either way.
const MILLIS_MAX: i64 = 8_640_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_javascript() {
        for (millis, expected) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (1_704_164_645_678, "\"2024-01-02T03:04:05.678Z\""),
            (951_782_400_000, "\"2000-02-29T00:00:00.000Z\""),
            (-62_167_219_200_001, "\"-000001-12-31T23:59:59.999Z\""),
            (253_402_300_800_000, "\"+010000-01-01T00:00:00.000Z\""),
            (MILLIS_MAX, "\"+275760-09-13T00:00:00.000Z\""),
            (MILLIS_MAX + 1, "null"),
            (i64::MIN, "null"),
        ] {
            let mut json = String::new();
            write(millis, &mut json);

            assert_eq!(json, expected, "{millis}");
        }
    }
}
