//! The times of a payload: `timestamp` is filled in, `expiresAt` is read.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::check::At;
use crate::field::member;
use crate::json::{self, Kind};
use crate::rejected::Rejected;
use crate::shape::Shape;
use crate::time::Timestamp;

/// How long a code lives that does not say so itself. WhatsApp's first one lives that long, later
/// ones shorter.
pub(super) const CODE_LIFETIME: Duration = Duration::from_mins(1);

/// How long a code lives at most, whatever its payload says. WhatsApp's live for seconds; one that a
/// wrong clock or unit lets live for years would be replayed to whoever may pair the account.
pub(super) const CODE_LIFETIME_MAX: Duration = Duration::from_mins(10);

/// Puts the time into a payload whose `timestamp` is absent or null. No other byte changes.
pub(super) fn fill_timestamp(data: Box<RawValue>, at: Timestamp) -> Result<Bytes, Rejected> {
    let value = member(&data, "timestamp", At::DATA)?;
    let range = match value.map(|value| (value, Kind::of(value))) {
        Some((_, Kind::Text)) => None,
        Some((value, Kind::Null)) => Some(json::range_of(value, data.get())),
        Some((_, kind)) => {
            return Err(At::DATA
                .field("timestamp")
                .wrong(kind, Shape::Time.as_str()));
        }
        None => Some(data.get().len() - 1..data.get().len() - 1),
    };
    let is_absent = value.is_none();
    let mut text = String::from(Box::<str>::from(data));
    if let Some(range) = range {
        let stamp = match is_absent {
            false => format!("\"{at}\""),
            true if is_empty(&text) => format!("\"timestamp\":\"{at}\""),
            true => format!(",\"timestamp\":\"{at}\""),
        };
        text.replace_range(range, &stamp);
    }
    Ok(Bytes::from(text))
}

/// Whether an object has no members.
fn is_empty(object: &str) -> bool {
    object[1..object.len() - 1].trim_ascii().is_empty()
}

/// When a code stops working: what its payload says, but not more than [`CODE_LIFETIME_MAX`] from
/// now, and [`CODE_LIFETIME`] if it says nothing.
pub(super) fn expiry(data: &RawValue, at: Timestamp) -> Result<Timestamp, Rejected> {
    let value = member(data, "expiresAt", At::DATA)?.filter(|value| Kind::of(value) != Kind::Null);
    let after = |lifetime| at.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let Some(value) = value else {
        return Ok(after(CODE_LIFETIME));
    };
    let time: Option<Timestamp> = json::text_of(value).and_then(|text| text.parse().ok());
    let time = time.ok_or_else(|| Rejected::InvalidData {
        field: At::DATA.field("expiresAt").path(),
        expected: "a time of RFC 3339",
        found: "another text",
    })?;
    Ok(time.min(after(CODE_LIFETIME_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_timestamp_is_filled_in_and_nothing_else_changes() {
        check("{}", r#"{"timestamp":"1970-01-01T00:00:00.000Z"}"#);
        check("{ }", r#"{ "timestamp":"1970-01-01T00:00:00.000Z"}"#);
        check(
            r#"{"a" : "}" }"#,
            r#"{"a" : "}" ,"timestamp":"1970-01-01T00:00:00.000Z"}"#,
        );
        check(
            r#"{"timestamp": null, "a":1}"#,
            r#"{"timestamp": "1970-01-01T00:00:00.000Z", "a":1}"#,
        );
        check(
            r#"{"a":{"timestamp":null}}"#,
            r#"{"a":{"timestamp":null},"timestamp":"1970-01-01T00:00:00.000Z"}"#,
        );
        check(
            r#"{"\u0074imestamp":null}"#,
            r#"{"\u0074imestamp":"1970-01-01T00:00:00.000Z"}"#,
        );
        check(r#"{"timestamp":"whenever"}"#, r#"{"timestamp":"whenever"}"#);
    }

    #[track_caller]
    fn check(sent: &str, expected: &str) {
        let data = RawValue::from_string(sent.to_owned()).unwrap();
        let filled = fill_timestamp(data, Timestamp::MIN).unwrap();
        assert_eq!(std::str::from_utf8(&filled).unwrap(), expected);
    }
}
