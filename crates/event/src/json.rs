//! Raw JSON, read without building values: bytes that pass must pass as they are.
//!
//! `RawValue` vouches for the syntax, so the first byte of a value says what it is.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Null,
    Flag,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    pub(crate) fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Flag,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }

    /// The kind in the words of an error message.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// The text of a string without its quotes and escapes; none if it is not Unicode, as a lone
/// surrogate is not.
pub(crate) fn text_of(string: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = string.get();
    if quoted.contains('\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    let unquoted = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(Cow::Borrowed(unquoted))
}

/// Whether a number is written as an integer: as digits, without fraction and exponent.
pub(crate) fn is_integer(number: &RawValue) -> bool {
    let text = number.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a number is whole and from 0 on, however it is written: to JSON 500, 500.0 and 5e2 are one
/// number.
pub(crate) fn is_count(number: &RawValue) -> bool {
    const END: f64 = 18_446_744_073_709_551_616.0; // 2^64
    let text = number.get();
    text.parse::<u64>().is_ok()
        || text
            .parse::<f64>()
            .is_ok_and(|number| number.fract() == 0.0 && (0.0..END).contains(&number))
}

/// How deep lists and objects are nested in `json`: 0 for a scalar, 1 for `{}`.
pub(crate) fn depth(json: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Goes behind the closing quote of a string whose opening quote was read.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            // What follows is escaped, be it a quote; the digits of `\u` are harmless.
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Where in `json` the text of `value` is, which was borrowed from it.
pub(crate) fn range_of(value: &RawValue, json: &str) -> Range<usize> {
    let start = value.get().as_ptr().addr() - json.as_ptr().addr();
    start..start + value.get().len()
}

/// Why a walk over an object's members ended early.
pub(crate) enum Stopped<E> {
    /// By what was called for a member.
    By(E),
    /// A member's name is not Unicode.
    Name,
}

/// Calls `visit` with the name and the value of each member of `object`, in order.
pub(crate) fn for_each_member<'a, E>(
    object: &'a str,
    visit: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut error = None;
    let members = Members {
        visit,
        error: &mut error,
    };
    let result = serde_json::Deserializer::from_str(object).deserialize_map(members);
    match (result, error) {
        (_, Some(error)) => Err(Stopped::By(error)),
        (Err(_), None) => Err(Stopped::Name),
        (Ok(()), None) => Ok(()),
    }
}

struct Members<'e, F, E> {
    visit: F,
    error: &'e mut Option<E>,
}

impl<'de, F, E> Visitor<'de> for Members<'_, F, E>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), E>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value = map.next_value()?;
            if let Err(error) = (self.visit)(name, value) {
                *self.error = Some(error);
                return Err(de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Reads a name, borrowed unless it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order_with_their_bytes() {
        let json = r#" {"a": 1.0, "\u0062" :{ "c":[ ] }, "a":"x\n" } "#.trim();
        let mut seen = Vec::new();

        let walk = for_each_member(json, |name, value| {
            assert_eq!(&json[range_of(value, json)], value.get());
            seen.push((name.into_owned(), value.get()));
            Ok::<_, ()>(())
        });

        assert!(walk.is_ok());
        let expected = [("a", "1.0"), ("b", r#"{ "c":[ ] }"#), ("a", r#""x\n""#)];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn depth_counts_what_is_open_and_not_what_is_quoted() {
        let cases = [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{}],"b":[]}"#, 3),
            (r#"{"[[\"[[":"]]{{\\"}"#, 1),
        ];
        for (json, expected) in cases {
            assert_eq!(depth(json), expected, "{json}");
        }
    }

    #[test]
    fn a_whole_number_is_a_count_however_it_is_written() {
        let is_count = |text: &str| is_count(&RawValue::from_string(text.to_owned()).unwrap());
        for count in [
            "0",
            "-0",
            "500",
            "500.0",
            "5e2",
            "5.0E+2",
            "18446744073709551615",
        ] {
            assert!(is_count(count), "{count}");
        }
        for other in ["-1", "0.5", "-1.0", "18446744073709551616", "1e20", "1e999"] {
            assert!(!is_count(other), "{other}");
        }
    }

    #[test]
    fn texts_are_read_without_their_escapes() {
        let read = |json: &str| {
            let value = RawValue::from_string(json.to_owned()).unwrap();
            text_of(&value).map(Cow::into_owned)
        };
        assert_eq!(read(r#""a""#).unwrap(), "a");
        assert_eq!(read(r#""\u0061\"""#).unwrap(), "a\"");
        assert_eq!(read(r#""\ud800""#), None);
        assert_eq!(read("1"), None);
    }
}
