//! Checks raw JSON against a shape.

use std::fmt;

use serde_json::value::RawValue;

use crate::id::Id;
use crate::json::{self, Kind, Stopped};
use crate::rejected::{Rejected, excerpt};
use crate::shape::{Choice, ObjectShape, Shape};

/// What a payload held beyond the contract.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Unknown {
    pub(crate) fields: u64,
    pub(crate) values: u64,
}

/// One walk over a payload. Reads everything that the shape knows, changes nothing.
pub(crate) struct Check {
    strict: bool,
    unknown: Unknown,
}

impl Check {
    /// Checks `data` against `shape`, and says what it holds beyond it; if `strict`, that is an
    /// error.
    pub(crate) fn payload(
        data: &RawValue,
        shape: &ObjectShape,
        strict: bool,
    ) -> Result<Unknown, Rejected> {
        let mut check = Self {
            strict,
            unknown: Unknown::default(),
        };
        let at = At::DATA;
        match Kind::of(data) {
            Kind::Object => check.object(data, shape, at)?,
            kind => return Err(at.wrong(kind, "an object")),
        }
        Ok(check.unknown)
    }

    /// The depth of this recursion is that of the shape, not that of the data.
    fn object(
        &mut self,
        object: &RawValue,
        shape: &ObjectShape,
        at: At<'_>,
    ) -> Result<(), Rejected> {
        // One bit for each field of the shape: FIELDS_MAX is 64.
        let (mut seen, mut present) = (0_u64, 0_u64);
        let walk = json::for_each_member(object.get(), |name, value| {
            let Some(index) = shape.fields.iter().position(|field| field.name == name) else {
                return self.unknown_field(at.field(&name));
            };
            let field = &shape.fields[index];
            let at = at.field(field.name);
            let bit = 1 << index;
            if seen & bit != 0 {
                return Err(Rejected::DuplicateField { field: at.path() });
            }
            seen |= bit;
            if Kind::of(value) == Kind::Null {
                return Ok(());
            }
            present |= bit;
            self.value(value, field.shape, at)
        });
        walk.map_err(|stopped| at.rejected(stopped))?;
        for (index, field) in shape.fields.iter().enumerate() {
            if field.required && present & (1 << index) == 0 {
                return Err(Rejected::MissingField {
                    field: at.field(field.name).path(),
                });
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &RawValue, shape: Shape, at: At<'_>) -> Result<(), Rejected> {
        let kind = Kind::of(value);
        match (shape, kind) {
            (Shape::Id, _) => at.id(value).map(|_| ()),
            (Shape::Object(shape), Kind::Object) => self.object(value, shape, at),
            (Shape::Choice(choice), Kind::Text) => self.choice(value, choice, at),
            (Shape::Text | Shape::Time, Kind::Text)
            | (Shape::Number, Kind::Number)
            | (Shape::Flag, Kind::Flag)
            | (Shape::Open, Kind::Object)
            | (Shape::Any, _) => Ok(()),
            (Shape::Count, Kind::Number) if json::is_count(value) => Ok(()),
            (Shape::Count, Kind::Number) => {
                Err(at.wrong_words("a number with sign or fraction", shape.as_str()))
            }
            _ => Err(at.wrong(kind, shape.as_str())),
        }
    }

    fn choice(&mut self, text: &RawValue, choice: &Choice, at: At<'_>) -> Result<(), Rejected> {
        let value = json::text_of(text);
        let is_value = |other: &&&str| value.as_deref() == Some(**other);
        if let (Some(contrary), Some(known)) =
            (choice.contrary.iter().find(is_value), choice.values.first())
        {
            return Err(at.wrong_words(contrary, known));
        }
        if value
            .as_deref()
            .is_some_and(|value| choice.values.contains(&value))
        {
            return Ok(());
        }
        if self.strict {
            let value = value
                .as_deref()
                .map_or_else(|| excerpt(text.get()), excerpt);
            return Err(Rejected::UnknownValue {
                field: at.path(),
                value,
            });
        }
        self.unknown.values += 1;
        Ok(())
    }

    fn unknown_field(&mut self, at: At<'_>) -> Result<(), Rejected> {
        if self.strict {
            return Err(Rejected::UnknownField { field: at.path() });
        }
        self.unknown.fields += 1;
        Ok(())
    }
}

/// Where in a draft a walk is. Costs nothing until an error needs it as text.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a Self>,
    name: &'a str,
}

impl<'a> At<'a> {
    /// The payload itself.
    pub(crate) const DATA: At<'static> = At {
        parent: None,
        name: "data",
    };

    /// A member of what is here.
    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            name,
        }
    }

    /// The path as text, such as `data.message.id`.
    pub(crate) fn path(self) -> Box<str> {
        self.to_string().into()
    }

    /// What is here, as an id.
    pub(crate) fn id(self, value: &RawValue) -> Result<Id, Rejected> {
        let expected = Shape::Id.as_str();
        let invalid = |reason| Rejected::InvalidId {
            field: self.path(),
            reason,
        };
        match Kind::of(value) {
            Kind::Text => {
                let text = json::text_of(value);
                let text =
                    text.ok_or_else(|| self.wrong_words("text with a lone surrogate", expected))?;
                text.parse().map_err(invalid)
            }
            Kind::Number if json::is_integer(value) => value.get().parse().map_err(invalid),
            Kind::Number => Err(self.wrong_words("a number with fraction or exponent", expected)),
            kind => Err(self.wrong(kind, expected)),
        }
    }

    /// Says that a value of `kind` is of the wrong type.
    pub(crate) fn wrong(self, kind: Kind, expected: &'static str) -> Rejected {
        self.wrong_words(kind.as_str(), expected)
    }

    fn wrong_words(self, found: &'static str, expected: &'static str) -> Rejected {
        Rejected::InvalidData {
            field: self.path(),
            expected,
            found,
        }
    }

    /// Why a walk over the members of what is here ended early.
    pub(crate) fn rejected(self, stopped: Stopped<Rejected>) -> Rejected {
        match stopped {
            Stopped::By(rejected) => rejected,
            Stopped::Name => self.wrong_words(
                "an object with a lone surrogate in a name",
                "an object with names in Unicode",
            ),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(&excerpt(self.name))
    }
}
