//! From MessagePack to JSON text, as Node would send it to its clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::broadcast::{MESSAGE_LEN_MAX, Undecodable};
use crate::date;
use crate::msgpack::{Head, Reader};

/// How deep a value may be nested.
pub const DEPTH_MAX: usize = 64;

/// Reads one value as JSON.
pub(crate) fn json(reader: &mut Reader<'_>) -> Result<Box<RawValue>, Undecodable> {
    let mut text = String::new();
    if value(reader, &mut text, 0)? == Written::Nothing {
        // In a list it is null.
        text.push_str("null");
    }
    RawValue::from_string(text).map_err(|_| Undecodable::Text { expected: "JSON" })
}

/// Whether there is anything in JSON for a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Written {
    Value,
    Nothing,
}

fn value(reader: &mut Reader<'_>, text: &mut String, depth: usize) -> Result<Written, Undecodable> {
    if text.len() > MESSAGE_LEN_MAX {
        return Err(Undecodable::TooLong);
    }
    match reader.head()? {
        Head::Undefined => return Ok(Written::Nothing),
        Head::Nil => text.push_str("null"),
        Head::Flag(flag) => text.push_str(if flag { "true" } else { "false" }),
        Head::Signed(number) => text.push_str(&number.to_string()),
        Head::Unsigned(number) => text.push_str(&number.to_string()),
        Head::Float(number) => float(number, text),
        // JavaScript's text may hold halves of characters, which its encoders write down as they are.
        Head::Text(bytes) => string(&String::from_utf8_lossy(bytes), text)?,
        Head::Bytes(bytes) => {
            text.push_str("{\"$binary\":\"");
            STANDARD.encode_string(bytes, text);
            text.push_str("\"}");
        }
        Head::Date(millis) => date::write(millis, text),
        Head::List(len) => {
            text.push('[');
            list(reader, text, len, deeper(depth)?)?;
            text.push(']');
        }
        Head::Map(len) => {
            text.push('{');
            map(reader, text, len, deeper(depth)?)?;
            text.push('}');
        }
    }
    Ok(Written::Value)
}

fn list(
    reader: &mut Reader<'_>,
    text: &mut String,
    len: u32,
    depth: usize,
) -> Result<(), Undecodable> {
    for index in 0..len {
        if index > 0 {
            text.push(',');
        }
        if value(reader, text, depth)? == Written::Nothing {
            text.push_str("null");
        }
    }
    Ok(())
}

fn map(
    reader: &mut Reader<'_>,
    text: &mut String,
    len: u32,
    depth: usize,
) -> Result<(), Undecodable> {
    let start = text.len();
    for _ in 0..len {
        let before = text.len();
        if before > start {
            text.push(',');
        }
        match reader.head()? {
            Head::Text(name) => string(&String::from_utf8_lossy(name), text)?,
            Head::Unsigned(number) => string(&number.to_string(), text)?,
            Head::Signed(number) => string(&number.to_string(), text)?,
            _ => return Err(Undecodable::Value),
        }
        text.push(':');
        if value(reader, text, depth)? == Written::Nothing {
            text.truncate(before);
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, Undecodable> {
    if depth < DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(Undecodable::TooDeep)
    }
}

fn string(value: &str, text: &mut String) -> Result<(), Undecodable> {
    let quoted = serde_json::to_string(value);
    let quoted = quoted.map_err(|_| Undecodable::Text { expected: "text" })?;
    text.push_str(&quoted);
    Ok(())
}

/// A number as JavaScript writes it: whole ones without a fraction, and null for what is none.
fn float(number: f64, text: &mut String) {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    if !number.is_finite() {
        text.push_str("null");
    } else if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and within what an integer holds"
        )]
        text.push_str(&(number as i64).to_string());
    } else {
        text.push_str(
            &serde_json::Number::from_f64(number)
                .map_or_else(|| "null".to_owned(), |number| number.to_string()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_word_for_is_what_node_makes_of_it() {
        for (bytes, expected) in [
            // {a: undefined, b: [undefined], c: undefined}
            (
                &b"\x83\xa1a\xd4\x00\x00\xa1b\x91\xd4\x00\x00\xa1c\xd4\x00\x00"[..],
                r#"{"b":[null]}"#,
            ),
            (b"\xcb\x7f\xf8\0\0\0\0\0\0", "null"),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", "null"),
            (b"\xcb\x40\x14\0\0\0\0\0\0", "5"),
            (b"\xc4\x03\x01\x02\x03", r#"{"$binary":"AQID"}"#),
            (b"\xd6\xff\x65\x93\x7d\x25", r#""2024-01-02T03:04:05.000Z""#),
            (b"\x81\x07\xa1\"", r#"{"7":"\""}"#),
            (b"\xa3\xed\xa0\x80", "\"\u{fffd}\u{fffd}\u{fffd}\""),
        ] {
            let json = json(&mut Reader::new(bytes)).unwrap();

            assert_eq!(json.get(), expected);
        }
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x91; depth];
            bytes.push(0xc0);
            json(&mut Reader::new(&bytes)).map(|_| ())
        };

        assert_eq!(nested(DEPTH_MAX), Ok(()));
        assert_eq!(nested(DEPTH_MAX + 1), Err(Undecodable::TooDeep));
    }

    #[test]
    fn what_grows_too_long_is_refused() {
        // Each byte becomes six.
        let len = 2 << 20;
        let mut bytes = vec![0x92, 0xdb];
        bytes.extend(u32::try_from(len).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + len, 1);
        bytes.push(0xc0);

        let refused = json(&mut Reader::new(&bytes)).map(|_| ());

        assert_eq!(refused, Err(Undecodable::TooLong));
    }
}
