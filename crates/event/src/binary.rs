//! Binary values in payloads: `{"$binary": "<base64>"}`, which clients get as attachments.
//!
//! The marker is an object with this one member, its name written without escapes. It lies in the
//! journal as it came; what goes to clients is made of it by [`split`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::rejected::{Rejected, excerpt};

/// The most binary values of one event: more than the stock client's parser takes end its connection.
pub const BINARIES_MAX: usize = 10;

/// The most bytes of one binary value. Larger media go by reference, as `mediaUrl`.
pub const BINARY_LEN_MAX: usize = 1 << 20;

/// A payload as Socket.IO sends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Split {
    /// The payload with `{"_placeholder":true,"num":0}` and so on instead of binary values.
    pub data: Vec<u8>,
    /// The binary values, in the order of their numbers.
    pub attachments: Vec<Bytes>,
}

/// What is wrong with a binary value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBinary {
    /// `$binary` beside other members, or not as text.
    #[error("`$binary` must be the one member of its object, and base64")]
    Shape,
    /// What stands there is no base64.
    #[error("`$binary` is not base64 with padding")]
    Base64,
    /// The value is longer than [`BINARY_LEN_MAX`].
    #[error("binary value is {len} bytes, the limit is {BINARY_LEN_MAX}")]
    TooLong {
        /// How long.
        len: usize,
    },
    /// There are more than [`BINARIES_MAX`].
    #[error("binary values are more than {BINARIES_MAX}")]
    TooMany,
    /// The payload is one binary value and no object.
    #[error("a payload is an object: `$binary` stands in one of its members")]
    Whole,
    /// A client would take an object with this member for a binary value.
    #[error("`_placeholder` cannot be sent along with binary values")]
    Placeholder,
}

/// The payload for clients, if it has binary values.
///
/// A payload that was accepted splits; of one that was not, what is no binary value stays as it is.
pub fn split(data: &[u8]) -> Option<Split> {
    let text = std::str::from_utf8(data).ok()?;
    if !text.contains(MARKER) {
        return None;
    }
    let found = Scan::new(text).run().ok()?.binaries;
    let mut attachments = Vec::with_capacity(found.len());
    let mut data = Vec::with_capacity(text.len() / 2);
    let mut rest = 0;
    for Binary { range, base64, .. } in found {
        let attachment = STANDARD.decode(&text[base64]).ok()?;
        data.extend_from_slice(&text.as_bytes()[rest..range.start]);
        let number = attachments.len();
        data.extend_from_slice(format!(r#"{{"_placeholder":true,"num":{number}}}"#).as_bytes());
        attachments.push(Bytes::from(attachment));
        rest = range.end;
    }
    data.extend_from_slice(&text.as_bytes()[rest..]);
    (!attachments.is_empty()).then_some(Split { data, attachments })
}

/// Checks the binary values of a payload, whose syntax and depth were checked before.
pub(crate) fn check(data: &str) -> Result<(), Rejected> {
    if !data.contains(MARKER) {
        return Ok(());
    }
    let Scanned {
        binaries,
        placeholder,
    } = Scan::new(data).run()?;
    if let (Some(path), false) = (placeholder, binaries.is_empty()) {
        return Err(rejected(path, InvalidBinary::Placeholder));
    }
    for (index, binary) in binaries.into_iter().enumerate() {
        let Binary {
            range,
            base64,
            path,
        } = binary;
        let check = || {
            if data[..range.start].trim().is_empty() {
                return Err(InvalidBinary::Whole);
            }
            if index >= BINARIES_MAX {
                return Err(InvalidBinary::TooMany);
            }
            // Longer than the limit for sure, so that nothing of that size is decoded.
            if base64.len() / 4 * 3 > BINARY_LEN_MAX + 2 {
                let len = base64.len() / 4 * 3;
                return Err(InvalidBinary::TooLong { len });
            }
            match STANDARD.decode(&data[base64]) {
                Err(_) => Err(InvalidBinary::Base64),
                Ok(value) if value.len() > BINARY_LEN_MAX => {
                    Err(InvalidBinary::TooLong { len: value.len() })
                }
                Ok(_) => Ok(()),
            }
        };
        check().map_err(|reason| rejected(path, reason))?;
    }
    Ok(())
}

fn rejected(field: Box<str>, reason: InvalidBinary) -> Rejected {
    Rejected::InvalidBinary { field, reason }
}

/// One binary value of a payload.
struct Binary {
    /// The whole object.
    range: Range<usize>,
    /// What is between the quotes.
    base64: Range<usize>,
    path: Box<str>,
}

struct Scanned {
    binaries: Vec<Binary>,
    /// Where an object has a member `_placeholder`.
    placeholder: Option<Box<str>>,
}

/// One pass over the text of a valid JSON value.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Step>,
    scanned: Scanned,
}

/// Where the scan is within an object or a list that is open.
enum Step {
    /// In an object, before the name of a member.
    Name,
    /// In the value of the member whose quoted name is there.
    Member(Range<usize>),
    /// In the element of a list.
    Element(usize),
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            open: Vec::new(),
            scanned: Scanned {
                binaries: Vec::new(),
                placeholder: None,
            },
        }
    }

    fn run(mut self) -> Result<Scanned, Rejected> {
        while let Some(byte) = self.byte() {
            match byte {
                b'{' => self.object()?,
                b'[' => self.enter(Step::Element(0)),
                b'}' | b']' => {
                    self.open.pop();
                    self.at += 1;
                }
                b',' => {
                    match self.open.last_mut() {
                        Some(Step::Element(index)) => *index += 1,
                        Some(step) => *step = Step::Name,
                        None => {}
                    }
                    self.at += 1;
                }
                b'"' => self.string()?,
                _ => self.at += 1,
            }
        }
        Ok(self.scanned)
    }

    fn enter(&mut self, step: Step) {
        self.open.push(step);
        self.at += 1;
    }

    /// An object that begins here: a binary value, or one to be entered.
    fn object(&mut self) -> Result<(), Rejected> {
        let start = self.at;
        let Some(base64) = self.binary() else {
            self.at = start;
            self.enter(Step::Name);
            return Ok(());
        };
        let binary = Binary {
            range: start..self.at,
            base64: base64.map_err(|reason| rejected(self.path(), reason))?,
            path: self.path(),
        };
        self.scanned.binaries.push(binary);
        Ok(())
    }

    /// Goes behind a binary value that begins here, if one does.
    fn binary(&mut self) -> Option<Result<Range<usize>, InvalidBinary>> {
        self.at += 1;
        self.skip_space();
        if !self.text[self.at..].starts_with(MARKER) {
            return None;
        }
        self.at += MARKER.len();
        self.skip_space();
        self.at += 1;
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Some(Err(InvalidBinary::Shape));
        }
        let base64 = self.at + 1..self.string_end() - 1;
        self.at = base64.end + 1;
        self.skip_space();
        if self.byte() != Some(b'}') {
            return Some(Err(InvalidBinary::Shape));
        }
        self.at += 1;
        Some(Ok(base64))
    }

    /// A string that begins here: a name, or a value.
    fn string(&mut self) -> Result<(), Rejected> {
        let range = self.at..self.string_end();
        self.at = range.end;
        if !matches!(self.open.last(), Some(Step::Name)) {
            return Ok(());
        }
        let name = &self.text[range.clone()];
        if name == MARKER {
            return Err(rejected(self.path(), InvalidBinary::Shape));
        }
        if self.scanned.placeholder.is_none()
            && serde_json::from_str::<Cow<'_, str>>(name).is_ok_and(|name| name == "_placeholder")
        {
            self.scanned.placeholder = Some(self.path());
        }
        if let Some(step) = self.open.last_mut() {
            *step = Step::Member(range);
        }
        Ok(())
    }

    /// Behind the closing quote of the string that begins here.
    fn string_end(&self) -> usize {
        let mut bytes = self.text.bytes().enumerate().skip(self.at + 1);
        while let Some((index, byte)) = bytes.next() {
            match byte {
                b'"' => return index + 1,
                b'\\' => {
                    bytes.next();
                }
                _ => {}
            }
        }
        self.text.len()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Where the scan is: `data.a[2].b`.
    fn path(&self) -> Box<str> {
        let mut path = String::from("data");
        for step in &self.open {
            match step {
                Step::Name => {}
                Step::Member(name) => {
                    let name = self.text[name.clone()].trim_matches('"');
                    path.push('.');
                    path.push_str(&excerpt(name));
                }
                Step::Element(index) => {
                    // Writing to a string cannot fail.
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        path.into()
    }
}

/// The name of the one member of a binary value, as it is written.
const MARKER: &str = "\"$binary\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_become_placeholders_in_their_order() {
        let split = split(br#"{"a":{"$binary":"AQID"},"b":[1,{ "$binary" : "/w==" }],"c":"x"}"#);

        let split = split.unwrap();
        assert_eq!(
            std::str::from_utf8(&split.data).unwrap(),
            r#"{"a":{"_placeholder":true,"num":0},"b":[1,{"_placeholder":true,"num":1}],"c":"x"}"#
        );
        assert_eq!(split.attachments, [vec![1, 2, 3], vec![255]]);
    }

    #[test]
    fn a_payload_that_is_one_binary_value_is_refused() {
        for data in [r#"{"$binary":"AQID"}"#, " {\n\"$binary\" : \"AQID\"} "] {
            let Err(Rejected::InvalidBinary { reason, .. }) = check(data) else {
                panic!("{data} passes");
            };
            assert_eq!(reason, InvalidBinary::Whole);
        }
    }

    #[test]
    fn what_only_looks_like_a_binary_value_passes_as_it_is() {
        for data in [
            r#"{"a":"{\"$binary\":\"AQID\"}"}"#,
            r#"{"a":"$binary"}"#,
            r#"{"a":["$binary"]}"#,
            r#"{"\u0024binary":"AQID"}"#,
        ] {
            assert_eq!(check(data), Ok(()), "{data}");
            assert_eq!(split(data.as_bytes()), None, "{data}");
        }
    }

    #[test]
    fn a_broken_one_is_refused_with_its_path() {
        let long = "A".repeat(BINARY_LEN_MAX / 3 * 4 + 8);
        let long = format!(r#"{{"a":{{"$binary":"{long}"}}}}"#);
        let many = [r#"{"$binary":""}"#; BINARIES_MAX + 1].join(",");
        let many = format!(r#"{{"all":[{many}]}}"#);
        for (data, field) in [
            (r#"{"a":{"$binary":"AQI"}}"#, "data.a"),
            (r#"{"a":{"$binary":"A QID"}}"#, "data.a"),
            (r#"{"a":{"b":[0,{"$binary":7}]}}"#, "data.a.b[1]"),
            (r#"{"a":{"$binary":"AQID","b":1}}"#, "data.a"),
            (r#"{"a":{"b":1,"$binary":"AQID"}}"#, "data.a"),
            (
                r#"{"a":{"$binary":"AQID"},"b":{"_placeholder":true,"num":3}}"#,
                "data.b",
            ),
            (
                r#"{"a":{"$binary":"AQID"},"b":{"\u005fplaceholder":true}}"#,
                "data.b",
            ),
            (&long, "data.a"),
            (&many, "data.all[10]"),
        ] {
            let rejected = check(data).unwrap_err();

            assert_eq!(rejected.field(), Some(field), "{rejected}");
        }
    }

    #[test]
    fn what_is_accepted_splits_and_what_is_whole_is_left_alone() {
        let longest = STANDARD.encode(vec![7; BINARY_LEN_MAX]);
        let data = format!(r#"{{"a":{{"$binary":"{longest}"}}}}"#);

        assert_eq!(check(&data), Ok(()));
        let split = split(data.as_bytes()).unwrap();
        assert_eq!(split.attachments[0].len(), BINARY_LEN_MAX);
        assert_eq!(check(r#"{"a":{"_placeholder":true}}"#), Ok(()));
    }
}
