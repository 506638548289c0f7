//! Paths to fields of payloads.

use std::fmt;

use serde_json::value::RawValue;

use crate::check::At;
use crate::id::Id;
use crate::json::{self, Kind};
use crate::rejected::Rejected;
use crate::shape::{ObjectShape, Shape};

/// The most steps of a path.
const STEPS_MAX: usize = 8;

/// A path to a field of a payload, such as `message.contactId`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FieldPath {
    steps: Box<[Box<str>]>,
}

impl FieldPath {
    /// Reads names with dots in between.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps: Box<[Box<str>]> = text.split('.').map(Box::from).collect();
        let is_path = steps.len() <= STEPS_MAX && steps.iter().all(|step| !step.is_empty());
        is_path.then_some(Self { steps })
    }

    /// The id at the end of the path; an error if there is none.
    pub(crate) fn id_in(&self, data: &RawValue) -> Result<Id, Rejected> {
        walk(data, &self.steps, At::DATA, &mut |value, at| at.id(value))
    }

    /// Whether payloads of that shape have the field, and whether it can be part of a room's name.
    pub(crate) fn names_id_of(&self, shape: &'static ObjectShape) -> bool {
        let mut shape = Shape::Object(shape);
        for step in &self.steps {
            shape = match shape {
                Shape::Object(object) => match object.field(step) {
                    Some(field) => field.shape,
                    None => return false,
                },
                // Nothing is known of what is inside.
                Shape::Open | Shape::Any => return true,
                _ => return false,
            };
        }
        matches!(
            shape,
            Shape::Id | Shape::Text | Shape::Count | Shape::Choice(_) | Shape::Any
        )
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join("."))
    }
}

/// The member of `object` called `name`, unless it is absent; twice is an error.
pub(crate) fn member<'a>(
    object: &'a RawValue,
    name: &str,
    at: At<'_>,
) -> Result<Option<&'a RawValue>, Rejected> {
    let mut found = None;
    let walk = json::for_each_member(object.get(), |member, value| {
        if member != name {
            return Ok(());
        }
        match found.replace(value) {
            Some(_) => Err(Rejected::DuplicateField {
                field: at.field(name).path(),
            }),
            None => Ok(()),
        }
    });
    walk.map_err(|stopped| at.rejected(stopped))?;
    Ok(found)
}

fn walk<T>(
    value: &RawValue,
    steps: &[Box<str>],
    at: At<'_>,
    read: &mut dyn FnMut(&RawValue, At<'_>) -> Result<T, Rejected>,
) -> Result<T, Rejected> {
    let Some((step, rest)) = steps.split_first() else {
        return read(value, at);
    };
    match Kind::of(value) {
        Kind::Object => {}
        kind => return Err(at.wrong(kind, "an object")),
    }
    let below = at.field(step);
    match member(value, step, at)? {
        Some(value) if Kind::of(value) != Kind::Null => walk(value, rest, below, read),
        _ => Err(Rejected::MissingField {
            field: below.path(),
        }),
    }
}
