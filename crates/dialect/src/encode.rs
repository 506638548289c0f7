//! From JSON text to MessagePack, as notepack.io writes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Why an event cannot be told to Node servers: its JSON has a number that no computer's number is, or
/// half of a character.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("event has a number out of range or text that is not Unicode")]
pub struct Unencodable;

/// Appends what `json` says.
pub(crate) fn json(text: &str, bytes: &mut Vec<u8>) -> Result<(), Unencodable> {
    let value: Value = serde_json::from_str(text).map_err(|_| Unencodable)?;
    value.write(bytes);
    Ok(())
}

pub(crate) fn string(text: &str, bytes: &mut Vec<u8>) {
    let len = text.len();
    match u8::try_from(len) {
        Ok(len @ ..32) => bytes.push(0xa0 | len),
        Ok(len) => bytes.extend([0xd9, len]),
        Err(_) => long(len, 0xda, bytes),
    }
    bytes.extend(text.as_bytes());
}

pub(crate) fn list(len: usize, bytes: &mut Vec<u8>) {
    match u8::try_from(len) {
        Ok(len @ ..16) => bytes.push(0x90 | len),
        _ => long(len, 0xdc, bytes),
    }
}

pub(crate) fn map(len: usize, bytes: &mut Vec<u8>) {
    match u8::try_from(len) {
        Ok(len @ ..16) => bytes.push(0x80 | len),
        _ => long(len, 0xde, bytes),
    }
}

pub(crate) fn unsigned(number: u64, bytes: &mut Vec<u8>) {
    if let Ok(number) = u8::try_from(number) {
        match number {
            ..128 => bytes.push(number),
            _ => bytes.extend([0xcc, number]),
        }
    } else if let Ok(number) = u16::try_from(number) {
        bytes.push(0xcd);
        bytes.extend(number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        bytes.push(0xce);
        bytes.extend(number.to_be_bytes());
    } else {
        bytes.push(0xcf);
        bytes.extend(number.to_be_bytes());
    }
}

fn signed(number: i64, bytes: &mut Vec<u8>) {
    if let Ok(number) = u64::try_from(number) {
        unsigned(number, bytes);
    } else if let Ok(number) = i8::try_from(number) {
        match number {
            -32.. => bytes.push(number.cast_unsigned()),
            _ => bytes.extend([0xd0, number.cast_unsigned()]),
        }
    } else if let Ok(number) = i16::try_from(number) {
        bytes.push(0xd1);
        bytes.extend(number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        bytes.push(0xd2);
        bytes.extend(number.to_be_bytes());
    } else {
        bytes.push(0xd3);
        bytes.extend(number.to_be_bytes());
    }
}

/// A length of 2 or 4 bytes behind one of two types that follow each other.
fn long(len: usize, short: u8, bytes: &mut Vec<u8>) {
    if let Ok(len) = u16::try_from(len) {
        bytes.push(short);
        bytes.extend(len.to_be_bytes());
    } else {
        bytes.push(short + 1);
        // No payload is that long.
        bytes.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// JSON that keeps the order of its members.
enum Value {
    Null,
    Flag(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Value {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Null => bytes.push(0xc0),
            Self::Flag(flag) => bytes.push(0xc2 + u8::from(*flag)),
            Self::Signed(number) => signed(*number, bytes),
            Self::Unsigned(number) => unsigned(*number, bytes),
            Self::Float(number) => float(*number, bytes),
            Self::Text(text) => string(text, bytes),
            Self::List(values) => {
                list(values.len(), bytes);
                for value in values {
                    value.write(bytes);
                }
            }
            Self::Map(members) => {
                if let [(name, Self::Text(base64))] = &**members
                    && name == "$binary"
                    && let Ok(binary) = STANDARD.decode(base64)
                {
                    match u8::try_from(binary.len()) {
                        Ok(len) => bytes.extend([0xc4, len]),
                        Err(_) => long(binary.len(), 0xc5, bytes),
                    }
                    bytes.extend(binary);
                    return;
                }
                map(members.len(), bytes);
                for (name, value) in members {
                    string(name, bytes);
                    value.write(bytes);
                }
            }
        }
    }
}

/// JavaScript knows one kind of number, so whole ones are integers.
fn float(number: f64, bytes: &mut Vec<u8>) {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and within what an integer holds"
        )]
        return signed(number as i64, bytes);
    }
    bytes.push(0xcb);
    bytes.extend(number.to_be_bytes());
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_smallest_form_and_whole_ones_are_integers() {
        for (text, expected) in [
            ("127", &[0x7f][..]),
            ("128", &[0xcc, 128]),
            ("256", &[0xcd, 1, 0]),
            ("65536", &[0xce, 0, 1, 0, 0]),
            ("1099511627776", &[0xcf, 0, 0, 1, 0, 0, 0, 0, 0]),
            ("-1", &[0xff]),
            ("-33", &[0xd0, 0xdf]),
            ("-129", &[0xd1, 0xff, 0x7f]),
            ("5.0", &[5]),
            ("1.5", &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
            (r#"{"$binary":"AQID"}"#, &[0xc4, 3, 1, 2, 3]),
        ] {
            let mut bytes = Vec::new();
            json(text, &mut bytes).unwrap();

            assert_eq!(bytes, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_a_computer_and_no_unicode_is_refused() {
        for text in ["1e999", r#""\ud800""#] {
            assert_eq!(json(text, &mut Vec::new()), Err(Unencodable), "{text}");
        }
    }
}
