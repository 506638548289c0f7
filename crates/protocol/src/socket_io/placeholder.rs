use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Checks that every placeholder in `json` stands for one of `attachments` attachments.
///
/// As in Node, an object is a placeholder if its `_placeholder` is `true`, two may stand for the
/// same attachment, and an attachment may have none. A number that is no index is an error.
pub(super) fn check(json: &str, attachments: usize) -> Result<(), InvalidPlaceholder> {
    match serde_json::from_str::<Scan>(json) {
        Ok(scan) if scan.indices_end <= attachments as u64 => Ok(()),
        Ok(_) | Err(_) => Err(InvalidPlaceholder),
    }
}

/// A placeholder that stands for nothing that could come.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct InvalidPlaceholder;

/// What matters of one JSON value and all that is in it.
struct Scan {
    value: Value,
    /// One more than the highest number of a placeholder.
    indices_end: u64,
}

impl Scan {
    fn of(value: Value) -> Self {
        Self {
            value,
            indices_end: 0,
        }
    }
}

enum Value {
    True,
    Index(u64),
    Other,
}

impl<'de> Deserialize<'de> for Scan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScanVisitor)
    }
}

struct ScanVisitor;

impl<'de> Visitor<'de> for ScanVisitor {
    type Value = Scan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which every placeholder has an index")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scan, E> {
        Ok(Scan::of(if value { Value::True } else { Value::Other }))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scan, E> {
        Ok(Scan::of(Value::Index(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scan, E> {
        Ok(Scan::of(Value::Other))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scan, E> {
        Ok(Scan::of(Value::Other))
    }

    fn visit_str<E>(self, _: &str) -> Result<Scan, E> {
        Ok(Scan::of(Value::Other))
    }

    fn visit_unit<E>(self) -> Result<Scan, E> {
        Ok(Scan::of(Value::Other))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scan, A::Error> {
        let mut scan = Scan::of(Value::Other);
        while let Some(element) = seq.next_element::<Scan>()? {
            scan.indices_end = scan.indices_end.max(element.indices_end);
        }
        Ok(scan)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scan, A::Error> {
        let mut scan = Scan::of(Value::Other);
        let mut is_placeholder = false;
        let mut index = None;
        while let Some((key, member)) = map.next_entry::<Key, Scan>()? {
            scan.indices_end = scan.indices_end.max(member.indices_end);
            match (key, member.value) {
                (Key::Placeholder, value) => is_placeholder = matches!(value, Value::True),
                (Key::Num, Value::Index(number)) => index = Some(number),
                (Key::Num, Value::True | Value::Other) => index = None,
                (Key::Other, _) => {}
            }
        }
        if is_placeholder {
            let index = index.ok_or_else(|| A::Error::custom("placeholder without an index"))?;
            scan.indices_end = scan.indices_end.max(index.saturating_add(1));
        }
        Ok(scan)
    }
}

enum Key {
    Placeholder,
    Num,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Num,
            _ => Key::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_that_node_resolves_are_accepted() {
        for (json, attachments) in [
            (r#"["a",{"_placeholder":true,"num":0}]"#, 1),
            (
                r#"["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#,
                2,
            ),
            (
                r#"["a",{"b":[{"num":0,"_placeholder":true,"more":{}}]}]"#,
                1,
            ),
            // The same attachment twice, and one that nothing stands for.
            (
                r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
                2,
            ),
            // No placeholders, though they look like it.
            (r#"["a",{"_placeholder":false,"num":9}]"#, 1),
            (r#"["a",{"_placeholder":"true","num":9}]"#, 1),
            (r#"["a",{"_placeholder":1,"num":"splice"}]"#, 1),
            (r#"["a",{"num":9}]"#, 1),
            // The last of two equal keys counts.
            (
                r#"["a",{"_placeholder":true,"_placeholder":false,"num":9}]"#,
                1,
            ),
            (r#"["a",{"_placeholder":true,"num":9,"num":0}]"#, 1),
            (r#"["a",1,-1,1.5,null,false,"text",[],{}]"#, 1),
        ] {
            assert_eq!(check(json, attachments), Ok(()), "{json}");
        }
    }

    /// CVE-2022-2421: a `num` that is no index reached methods of the array of attachments.
    #[test]
    fn a_placeholder_that_is_no_index_in_range_is_refused() {
        for num in [
            "1",
            "2",
            "10",
            "-1",
            "0.5",
            "1.0",
            "1e0",
            "18446744073709551615",
            "18446744073709551616",
            r#""0""#,
            r#""splice""#,
            r#""__proto__""#,
            r#""length""#,
            "null",
            "true",
            "[]",
            "[0]",
            "{}",
            r#"{"valueOf":0}"#,
        ] {
            for json in [
                format!(r#"["a",{{"_placeholder":true,"num":{num}}}]"#),
                format!(r#"["a",{{"num":{num},"_placeholder":true}}]"#),
                format!(r#"["a",{{"_pl\u0061ceholder":true,"n\u0075m":{num}}}]"#),
                format!(r#"["a",[{{"b":{{"_placeholder":true,"num":{num}}}}}]]"#),
                format!(r#"["a",{{"num":0,"_placeholder":true,"num":{num}}}]"#),
            ] {
                assert_eq!(check(&json, 1), Err(InvalidPlaceholder), "{json}");
            }
        }
        assert_eq!(
            check(r#"["a",{"_placeholder":true}]"#, 1),
            Err(InvalidPlaceholder)
        );
    }
}
