//! One event of a catalogue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde_json::value::RawValue;

use crate::built_in::{BuiltIn, DefaultAudience};
use crate::check::{At, Check, Unknown};
use crate::draft::Draft;
use crate::json::Kind;
use crate::rejected::{Rejected, excerpt};
use crate::room::RoomKind;
use crate::shape::ObjectShape;
use crate::template::Template;

/// One event: what its payloads look like, who hears it, and what was counted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) payload: PayloadRule,
    pub(super) rule: Rule,
    /// Whether the rooms of this event are remembered as those of its message.
    pub(super) is_remembered: bool,
    pub(super) nature: Nature,
    /// Whether it may go to the teams of all tenants at once.
    may_reach_everyone: bool,
    unknown_fields: AtomicU64,
    unknown_values: AtomicU64,
}

/// Where an event comes from, and whether it stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nature {
    /// Producers publish it, and it is stored.
    Published,
    /// Producers publish it; it is passed on and never stored.
    Fleeting,
    /// Only the server itself makes it.
    MadeHere,
}

/// What payloads must look like.
#[derive(Debug)]
pub(super) enum PayloadRule {
    Shape(&'static ObjectShape),
    Schema(Option<Box<Validator>>),
}

/// Who hears an event.
#[derive(Debug)]
pub(super) enum Rule {
    /// These rooms.
    Rooms(Vec<Template>),
    /// The rooms of the message `messageId`, else those of these whose fields are there.
    Recalled(Vec<Template>),
    /// Exactly this room; the event expires.
    Sealed(Template),
    /// Nobody may publish it.
    Server,
}

impl Entry {
    pub(super) fn new(name: impl Into<Arc<str>>, payload: PayloadRule, rule: Rule) -> Self {
        Self {
            name: name.into(),
            may_reach_everyone: matches!(payload, PayloadRule::Schema(_)),
            payload,
            rule,
            is_remembered: false,
            nature: Nature::Published,
            unknown_fields: AtomicU64::new(0),
            unknown_values: AtomicU64::new(0),
        }
    }

    pub(super) fn built_in(event: &'static BuiltIn) -> Self {
        let rule = match event.audience {
            DefaultAudience::Rooms(rooms)
            | DefaultAudience::Team(rooms)
            | DefaultAudience::Fleeting(rooms)
            | DefaultAudience::Made(rooms)
            | DefaultAudience::Remembered(rooms) => Rule::Rooms(templates(rooms)),
            DefaultAudience::Recalled(rooms) => Rule::Recalled(templates(rooms)),
            DefaultAudience::Sealed(room) => Rule::Sealed(template(room)),
            DefaultAudience::Server => Rule::Server,
        };
        Self {
            is_remembered: matches!(event.audience, DefaultAudience::Remembered(_)),
            nature: match event.audience {
                DefaultAudience::Fleeting(_) => Nature::Fleeting,
                DefaultAudience::Made(_) => Nature::MadeHere,
                _ => Nature::Published,
            },
            may_reach_everyone: matches!(event.audience, DefaultAudience::Team(_)),
            ..Self::new(event.name, PayloadRule::Shape(event.payload), rule)
        }
    }

    /// What stands for events that nobody declared. Its name is none, and its drafts must say who
    /// hears them.
    pub(super) fn relayed() -> Self {
        Self::new("", PayloadRule::Schema(None), Rule::Rooms(Vec::new()))
    }

    /// The name of its events; `event`, if it stands for those that nobody declared.
    pub(super) fn name_or(&self, event: &str) -> Arc<str> {
        if self.name.is_empty() {
            event.into()
        } else {
            self.name.clone()
        }
    }

    /// Leaves a draft the audience that it must have, where there is one.
    pub(super) fn take_sealed(&self, draft: &mut Draft) {
        if let Rule::Sealed(_) = self.rule {
            draft.rooms = None;
            draft.add_rooms.clear();
        }
    }

    /// Whether it goes to `team:{tenant}` and may do so for all tenants at once.
    pub(super) fn is_for_everyone(&self) -> bool {
        let Rule::Rooms(templates) = &self.rule else {
            return false;
        };
        self.may_reach_everyone
            && templates
                .iter()
                .any(|template| *template.kind() == RoomKind::Team)
    }

    /// Checks a payload, and counts what it holds beyond the contract.
    pub(super) fn check(&self, data: &RawValue, strict: bool) -> Result<(), Rejected> {
        match &self.payload {
            PayloadRule::Shape(shape) => self.count(Check::payload(data, shape, strict)?),
            PayloadRule::Schema(schema) => {
                check_object(data)?;
                if let Some(schema) = schema {
                    check_schema(data, schema)?;
                }
            }
        }
        Ok(())
    }

    fn count(&self, unknown: Unknown) {
        if unknown != Unknown::default() {
            self.unknown_fields
                .fetch_add(unknown.fields, Ordering::Relaxed);
            self.unknown_values
                .fetch_add(unknown.values, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub(super) fn unknown(&self) -> Unknown {
        Unknown {
            fields: self.unknown_fields.load(Ordering::Relaxed),
            values: self.unknown_values.load(Ordering::Relaxed),
        }
    }
}

fn templates(texts: &[&str]) -> Vec<Template> {
    texts.iter().map(|text| template(text)).collect()
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("the templates of the table are right: a test reads them all")
}

/// What holds for every payload.
pub(super) fn check_object(data: &RawValue) -> Result<(), Rejected> {
    match Kind::of(data) {
        Kind::Object => Ok(()),
        kind => Err(At::DATA.wrong(kind, "an object")),
    }
}

fn check_schema(data: &RawValue, schema: &Validator) -> Result<(), Rejected> {
    let value = serde_json::from_str(data.get()).map_err(|_| Rejected::InvalidData {
        field: At::DATA.path(),
        expected: "numbers in range and text in Unicode",
        found: "a number out of range or a lone surrogate",
    })?;
    schema.validate(&value).map_err(|error| Rejected::Schema {
        field: path_of(&error),
        reason: reason_of(&error),
    })
}

/// The path in the form of all others, such as `data.items[0].id`.
fn path_of(error: &ValidationError<'_>) -> Box<str> {
    let mut path = String::from("data");
    for segment in error.instance_path() {
        match segment {
            LocationSegment::Property(name) => {
                path.push('.');
                path.push_str(&excerpt(&name));
            }
            LocationSegment::Index(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
    path.into()
}

/// What the schema says, with the value left out: it may be message text.
fn reason_of(error: &ValidationError<'_>) -> Box<str> {
    const LEN_MAX: usize = 300;
    let mut reason = error.masked().to_string();
    reason.truncate(reason.floor_char_boundary(LEN_MAX));
    reason.into()
}
