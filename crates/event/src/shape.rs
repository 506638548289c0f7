//! What payloads look like: one description, for checking them and for describing them to others.

use serde_json::{Map, Value};

use crate::id::Id;
use crate::time::WireTime;

/// What a value in a payload must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// An [`Id`]: text or an integer.
    Id,
    /// Text.
    Text,
    /// Text that tells a time in ISO 8601. It passes as it was written.
    Time,
    /// Any number.
    Number,
    /// A number from 0 on without fraction.
    Count,
    /// `true` or `false`.
    Flag,
    /// Text that is one of the known values, or a newer one.
    Choice(&'static Choice),
    /// An object with known fields, and maybe more.
    Object(&'static ObjectShape),
    /// An object about whose fields nothing is known.
    Open,
    /// Anything: a field that is ours and not the contract's. Strictness knows its name, and nobody
    /// is bound to its type.
    Any,
}

impl Shape {
    /// The shape in the words of an error message.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Id => "an id: text or an integer",
            Self::Text | Self::Choice(_) => "text",
            Self::Time => "a time as text",
            Self::Number => "a number",
            Self::Count => "a whole number from 0 on",
            Self::Flag => "a boolean",
            Self::Object(_) | Self::Open => "an object",
            Self::Any => "anything",
        }
    }
}

/// An object with known fields.
#[derive(Debug, Eq, PartialEq)]
pub struct ObjectShape {
    /// The name of its Rust type, and of its type in what is generated.
    pub name: &'static str,
    /// What it is.
    pub docs: &'static str,
    /// Its known fields, at most [`FIELDS_MAX`].
    pub fields: &'static [FieldShape],
}

/// The most known fields of one object.
pub const FIELDS_MAX: usize = 64;

impl ObjectShape {
    /// The field of that name on the wire.
    pub fn field(&self, name: &str) -> Option<&'static FieldShape> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A known field of an object.
#[derive(Debug, Eq, PartialEq)]
pub struct FieldShape {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is.
    pub docs: &'static str,
    /// Whether it must be there: ids and discriminators, and objects that hold such.
    pub required: bool,
    /// What it must be if it is there and not null.
    pub shape: Shape,
}

/// The known values of a discriminator. Others pass, and are counted.
#[derive(Debug, Eq, PartialEq)]
pub struct Choice {
    /// The name of its Rust type, and of its type in what is generated.
    pub name: &'static str,
    /// What it tells apart.
    pub docs: &'static str,
    /// The known values.
    pub values: &'static [&'static str],
    /// Values that contradict the event that the discriminator is in. They are refused.
    pub contrary: &'static [&'static str],
}

/// A Rust type that knows what it looks like on the wire.
pub trait Described {
    /// What it looks like.
    const SHAPE: Shape;

    /// Whether a field of this type must be there.
    const REQUIRED: bool = true;

    /// Whether a field with this value is left out.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T: Described> Described for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const REQUIRED: bool = false;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! scalars {
    ($($type:ty: $shape:ident,)+) => {$(
        impl Described for $type {
            const SHAPE: Shape = Shape::$shape;
        }
    )+};
}

scalars! {
    Id: Id,
    String: Text,
    WireTime: Time,
    f64: Number,
    u64: Count,
    bool: Flag,
    Map<String, Value>: Open,
    Value: Any,
}

/// The length of [`wire_name`].
pub(crate) const fn wire_name_len(field: &str) -> usize {
    let (bytes, mut index) = (field.as_bytes(), raw_prefix_len(field));
    let mut len = 0;
    while index < bytes.len() {
        if bytes[index] != b'_' {
            len += 1;
        }
        index += 1;
    }
    len
}

/// The name on the wire of a Rust field: `account_id` is `accountId`, and `r#type` is `type`.
pub(crate) const fn wire_name<const LEN: usize>(field: &str) -> [u8; LEN] {
    let (bytes, mut index) = (field.as_bytes(), raw_prefix_len(field));
    let (mut name, mut len) = ([0; LEN], 0);
    while index < bytes.len() {
        if bytes[index] == b'_' {
            index += 1;
            name[len] = bytes[index].to_ascii_uppercase();
        } else {
            name[len] = bytes[index];
        }
        len += 1;
        index += 1;
    }
    name
}

const fn raw_prefix_len(field: &str) -> usize {
    if let [b'r', b'#', ..] = field.as_bytes() {
        2
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_in_camel_case() {
        assert_eq!(
            &wire_name::<17>("whatsapp_account_id"),
            b"whatsappAccountId"
        );
        assert_eq!(wire_name_len("whatsapp_account_id"), 17);
        assert_eq!(&wire_name::<4>("r#type"), b"type");
        assert_eq!(wire_name_len("r#type"), 4);
    }
}
