use serde_json::value::RawValue;

/// How deep arrays and objects may lie in each other.
///
/// Below the limit of `serde_json` (127), so that whoever parses an accepted text, or one that was
/// wrapped a few times, never meets that limit.
pub(crate) const DEPTH_MAX: usize = 100;

/// Why a text is not taken as JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InvalidJson {
    Syntax,
    Depth,
}

/// Checks that `text` is one JSON value, in one pass and without building it.
pub(crate) fn check(text: &str) -> Result<&RawValue, InvalidJson> {
    let value: &RawValue = serde_json::from_str(text).map_err(|_| InvalidJson::Syntax)?;
    let mut depth = Depth::default();
    for byte in value.get().bytes() {
        depth.step(byte);
        if depth.open > DEPTH_MAX {
            return Err(InvalidJson::Depth);
        }
    }
    Ok(value)
}

/// The texts of the elements of an array that [`check`] has accepted.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    /// What is left between the brackets, beginning with an element.
    rest: &'a str,
}

impl<'a> Elements<'a> {
    /// The elements of `array`; `None` if it is not an array.
    pub(crate) fn of(array: &'a str) -> Option<Self> {
        let rest = array.strip_prefix('[')?.strip_suffix(']')?;
        Some(Self {
            rest: rest.trim_ascii(),
        })
    }

    /// The elements of a part of such an array, as [`as_str`](Self::as_str) gave it.
    pub(crate) fn in_array(rest: &'a str) -> Self {
        Self { rest }
    }

    /// What is left, as text: elements and the commas between them.
    pub(crate) fn as_str(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut depth = Depth::default();
        let end = self.rest.bytes().position(|byte| {
            depth.step(byte);
            byte == b',' && depth.open == 0 && depth.string == InString::Outside
        });
        let (element, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, ""),
        };
        self.rest = rest.trim_ascii_start();
        Some(element.trim_ascii_end())
    }
}

/// Where a byte lies in a valid text.
#[derive(Default)]
struct Depth {
    open: usize,
    string: InString,
}

#[derive(Default, PartialEq)]
enum InString {
    #[default]
    Outside,
    Inside,
    Escape,
}

impl Depth {
    fn step(&mut self, byte: u8) {
        match (&self.string, byte) {
            (InString::Outside, b'[' | b'{') => self.open += 1,
            (InString::Outside, b']' | b'}') => self.open -= 1,
            (InString::Inside, b'\\') => self.string = InString::Escape,
            (InString::Inside, b'"') => self.string = InString::Outside,
            (InString::Escape, _) | (InString::Outside, b'"') => self.string = InString::Inside,
            (InString::Inside | InString::Outside, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_whatever_is_in_them() {
        for (array, elements) in [
            ("[]", &[][..]),
            ("[ ]", &[]),
            ("[1]", &["1"]),
            (
                r#"["a,b",[1,2],{"c":[3,","]},"]"]"#,
                &[r#""a,b""#, "[1,2]", r#"{"c":[3,","]}"#, r#""]""#],
            ),
            (r#"["\"",",\\",2]"#, &[r#""\"""#, r#"",\\""#, "2"]),
            ("[ 1 ,\n2\t, 3 ]", &["1", "2", "3"]),
        ] {
            check(array).unwrap();

            assert_eq!(
                Elements::of(array).unwrap().collect::<Vec<_>>(),
                elements,
                "{array}"
            );
        }
    }

    #[test]
    fn depth_is_limited_and_brackets_in_strings_do_not_count() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let in_string = format!("[\"{}\"]", "[".repeat(1000));

        assert!(check(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(
            check(&nested(DEPTH_MAX + 1)).err(),
            Some(InvalidJson::Depth)
        );
        assert_eq!(check(&nested(500_000)).err(), Some(InvalidJson::Depth));
        assert_eq!(check(&"[".repeat(500_000)).err(), Some(InvalidJson::Syntax));
        assert!(check(&in_string).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(DEPTH_MAX)).is_ok());
    }
}
