//! Reading a body whose shape nobody promises: what is absent or of another type is simply not there.

use std::borrow::Cow;

use serde_json::Value;

/// A place in a JSON body that may hold anything, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(&'a Value);

impl<'a> Node<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self(value)
    }

    /// The member `key`; a node that holds nothing if there is none.
    pub(crate) fn at(self, key: &str) -> Self {
        Self(self.0.get(key).unwrap_or(&Value::Null))
    }

    /// The elements of the array `key`; none if it is no array.
    pub(crate) fn items(self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        let items = match self.0.get(key) {
            Some(Value::Array(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(Self)
    }

    /// The text `key`, if it is not empty. A number counts as its text, as ids sometimes are.
    pub(crate) fn text(self, key: &str) -> Option<Cow<'a, str>> {
        match self.0.get(key)? {
            Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    pub(crate) fn bool(self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    pub(crate) fn number(self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.is_object()
    }
}
