//! Reading JSON that is right by its grammar and wrong in what it says: half of a surrogate pair, or
//! a number that is out of range.
//!
//! Both are legal JSON, and names on WhatsApp are cut in the middle of an emoji. A gateway sends what
//! it has again, unchanged, for days: one such name must not cost the whole body, nor its own message.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Reads a body: half a surrogate pair, and bytes that are no UTF-8, become U+FFFD; a number out of
/// range becomes null. The error is that of what is no JSON even then.
pub(crate) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(body)
        .or_else(|_| serde_json::from_str(&mended(&String::from_utf8_lossy(body))))
}

/// The same text with the parts replaced that are JSON and cannot be read.
pub(crate) fn mended(json: &str) -> Cow<'_, str> {
    Mender {
        json,
        mended: String::new(),
        copied: 0,
    }
    .run()
}

struct Mender<'a> {
    json: &'a str,
    mended: String,
    /// Where what is not in `mended` yet begins.
    copied: usize,
}

impl<'a> Mender<'a> {
    fn run(mut self) -> Cow<'a, str> {
        let mut place = 0;
        while let Some(byte) = self.json.as_bytes().get(place) {
            place = match byte {
                b'"' => self.mend_string(place + 1),
                b'-' | b'0'..=b'9' => self.mend_number(place),
                _ => place + 1,
            };
        }
        if self.copied == 0 {
            return Cow::Borrowed(self.json);
        }
        self.mended.push_str(&self.json[self.copied..]);
        Cow::Owned(self.mended)
    }

    /// Goes behind the closing quote of the string whose text begins at `place`.
    fn mend_string(&mut self, mut place: usize) -> usize {
        while let Some(byte) = self.json.as_bytes().get(place) {
            place = match byte {
                b'"' => return place + 1,
                b'\\' => self.mend_escape(place),
                _ => place + 1,
            };
        }
        place
    }

    /// Goes behind the escape at `place`; behind both if two make a pair.
    fn mend_escape(&mut self, place: usize) -> usize {
        let next = place + ESCAPE_LEN;
        match self.unit_at(place) {
            None => place + 2,
            Some(0xd800..=0xdbff) if matches!(self.unit_at(next), Some(0xdc00..=0xdfff)) => {
                next + ESCAPE_LEN
            }
            Some(0xd800..=0xdfff) => self.replace(place..next, r"\ufffd"),
            Some(_) => next,
        }
    }

    /// The UTF-16 code unit that is escaped at `place`.
    fn unit_at(&self, place: usize) -> Option<u16> {
        let digits = self
            .json
            .get(place..place + ESCAPE_LEN)?
            .strip_prefix(r"\u")?;
        u16::from_str_radix(digits, 16).ok()
    }

    /// Goes behind the number that begins at `place`.
    fn mend_number(&mut self, place: usize) -> usize {
        let is_of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let bytes = self.json.as_bytes()[place..].iter();
        let end = place + bytes.take_while(|byte| is_of_number(byte)).count();
        let number = &self.json[place..end];
        let is_json = serde_json::from_str::<IgnoredAny>(number).is_ok();
        if is_json && serde_json::from_str::<f64>(number).is_err() {
            return self.replace(place..end, "null");
        }
        end
    }

    fn replace(&mut self, place: Range<usize>, replacement: &str) -> usize {
        self.mended.push_str(&self.json[self.copied..place.start]);
        self.mended.push_str(replacement);
        self.copied = place.end;
        place.end
    }
}

/// The length of `\u` and four digits.
const ESCAPE_LEN: usize = 6;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_legal_and_unreadable_is_replaced_and_the_rest_stays() {
        let check = |json: &str, expected: &str| assert_eq!(mended(json), expected);

        check(r#""Ana \ud83d""#, r#""Ana \ufffd""#);
        check(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        check(r#""\ude00\uD83D""#, r#""\ufffd\ufffd""#);
        check(
            r#""\ud83d\ud83d\ude00\u00e1""#,
            r#""\ufffd\ud83d\ude00\u00e1""#,
        );
        check(r#""\\ud83d \"\\\ud83d""#, r#""\\ud83d \"\\\ufffd""#);
        check(r#"{"\ud83d":[1e999,-1E999]}"#, r#"{"\ufffd":[null,null]}"#);
        check(r#"[1e308,0e999,"1e999",12]"#, r#"[1e308,0e999,"1e999",12]"#);
        check("1e-999", "1e-999");
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for json in [
            r"[1-2e999]",
            r#""\ud8"#,
            r#""\u+d83"#,
            r#""\"#,
            r#"{"a":"#,
            "\"\\\u{e9}\u{e9}\u{e9}\"",
            "-",
        ] {
            assert!(read(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            read(b"[\"a\xed\xa0\xbdb\"]").unwrap()[0]
                .as_str()
                .unwrap()
                .chars()
                .next(),
            Some('a')
        );
        assert_eq!(
            read(br#"["\ud83d", 1e999]"#).unwrap(),
            json!(["\u{fffd}", null])
        );
    }
}
