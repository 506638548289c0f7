use std::borrow::Cow;
use std::fmt;

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
