use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::json::Elements;
use crate::redacted::Redacted;

/// The arguments of an event or an ack, as the JSON that came.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Arguments<'a>(Cow<'a, str>);

impl<'a> Arguments<'a> {
    /// Takes what is left of a checked array.
    pub(super) fn new(elements: &Elements<'a>) -> Self {
        Self(Cow::Borrowed(elements.as_str()))
    }

    /// The same arguments, for keeping.
    pub fn into_owned(self) -> Arguments<'static> {
        Arguments(Cow::Owned(self.0.into_owned()))
    }

    /// All of them as they came, with the commas between them: ready to be sent again.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as one value, by their places: a tuple such as `(String, u32)`, which
    /// must be all of them, or a `Vec` of any length.
    ///
    /// For what comes now and then: it copies the text.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&format!("[{}]", self.0))
    }

    /// Each of them. Walks the text anew each time it is called.
    pub fn iter(&self) -> impl Iterator<Item = &RawValue> {
        Elements::in_array(&self.0).map(|element| {
            serde_json::from_str(element).expect("elements of a checked array are JSON")
        })
    }
}

/// The text is the users': only its length shows.
impl fmt::Debug for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arguments")
            .field(&Redacted(self.0.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_by_their_places() {
        let arguments = |text: &'static str| Arguments(Cow::Borrowed(text));

        let two = arguments(r#""a",{"b":[1]}"#).parse::<(String, serde_json::Value)>();
        assert_eq!(two.unwrap().0, "a");
        assert_eq!(arguments("").parse::<()>().ok(), None);
        assert!(arguments("").parse::<Vec<u32>>().unwrap().is_empty());
        assert_eq!(arguments("1,2").parse::<Vec<u32>>().unwrap(), [1, 2]);
        assert!(arguments("1").parse::<(String,)>().is_err());
        assert!(arguments("1,2").parse::<(u32,)>().is_err());
    }
}
