//! Reading drafts out of a body: one, or an array whose elements stand for themselves.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use switchboard_event::{Draft, EventId};

use crate::lenient::mended;

/// What the body of `POST /v1/events` holds: JSON whose drafts are not read yet.
#[derive(Debug)]
pub(crate) enum Submission<'a> {
    One(&'a RawValue),
    Many(Vec<&'a RawValue>),
    /// An array of more than [`DRAFTS_MAX`].
    TooMany,
}

impl<'a> Submission<'a> {
    /// Reads the outline of a body; the error says where it is not JSON.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        if body.trim_ascii_start().first() != Some(&b'[') {
            return serde_json::from_slice(body).map(Self::One);
        }
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let submission = deserializer.deserialize_seq(Elements)?;
        deserializer.end()?;
        Ok(submission)
    }

    /// How many drafts it holds that may be taken.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
            Self::TooMany => 0,
        }
    }
}

/// Collects no more elements than may be taken.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Submission<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of drafts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut drafts = Vec::new();
        while drafts.len() < DRAFTS_MAX {
            match elements.next_element()? {
                Some(draft) => drafts.push(draft),
                None => return Ok(Submission::Many(drafts)),
            }
        }
        let mut too_many = false;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            too_many = true;
        }
        Ok(if too_many {
            Submission::TooMany
        } else {
            Submission::Many(drafts)
        })
    }
}

/// Reads one draft; a refusal names the field.
pub fn read(json: &RawValue) -> Result<Draft, InvalidDraft> {
    serde_json::from_str(json.get()).map_err(|error| InvalidDraft::find(json, &error))
}

/// The id of what is no draft, if it has one, so that its producer can tell which it was.
pub(crate) fn id_of(json: &RawValue) -> Option<EventId> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        id: Option<EventId>,
    }
    serde_json::from_str::<OnlyId>(json.get()).ok()?.id
}

/// The event that what is no draft may have been meant for.
pub(crate) fn event_of(json: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct OnlyEvent {
        event: String,
    }
    let draft: OnlyEvent = serde_json::from_str(json.get()).ok()?;
    Some(draft.event)
}

/// Why JSON is no draft.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDraft {
    /// Not an object.
    #[error("an event is an object")]
    NotAnObject,
    /// A field that drafts do not have.
    #[error("an event has no field `{field}`")]
    UnknownField {
        /// Its name.
        field: String,
    },
    /// A field that every draft has.
    #[error("the event has no `{field}`")]
    MissingField {
        /// Its name.
        field: &'static str,
    },
    /// A field with a value that it cannot have.
    #[error("`{field}` is not valid: {reason}")]
    InvalidField {
        /// Its name.
        field: &'static str,
        /// What was expected.
        reason: String,
    },
    /// Anything else, such as a field that comes twice.
    #[error("not an event: {reason}")]
    Other {
        /// What was expected.
        reason: String,
    },
}

impl InvalidDraft {
    /// Finds the field that made `error`.
    fn find(json: &RawValue, error: &serde_json::Error) -> Self {
        let Some(object) = members_of(json) else {
            return Self::NotAnObject;
        };
        if let Some(field) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            let field = field.chars().take(FIELD_CHARS_MAX).collect();
            return Self::UnknownField { field };
        }
        if let Some(field) = REQUIRED
            .into_iter()
            .find(|field| !object.contains_key(*field))
        {
            return Self::MissingField { field };
        }
        FIELDS
            .into_iter()
            .find_map(|field| Self::of_field(&object, field))
            .unwrap_or_else(|| Self::Other {
                reason: error.to_string(),
            })
    }

    /// What is wrong with one field, read in a draft that is good otherwise.
    fn of_field(object: &Members, field: &'static str) -> Option<Self> {
        let value = object.get(field)?;
        let mut draft = format!(r#"{{"{field}":{value}"#);
        for other in REQUIRED.into_iter().filter(|other| *other != field) {
            draft.extend([",\"", other, "\":\"\""]);
        }
        draft.push('}');
        let error = serde_json::from_str::<Draft>(&draft).err()?;
        // The position is that of a text which the producer has never seen.
        let text = error.to_string();
        let reason = text
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        Some(Self::InvalidField { field, reason })
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject | Self::Other { .. } => "invalid_draft",
            Self::UnknownField { .. } => "unknown_field",
            Self::MissingField { .. } => "missing_field",
            Self::InvalidField { .. } => "invalid_field",
        }
    }

    /// The field that is wrong.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::NotAnObject | Self::Other { .. } => None,
            Self::UnknownField { field } => Some(field),
            Self::MissingField { field } | Self::InvalidField { field, .. } => Some(field),
        }
    }
}

/// The members of an object. Values are raw: one that cannot be read must not hide another.
type Members = BTreeMap<String, Box<RawValue>>;

fn members_of(json: &RawValue) -> Option<Members> {
    let json = json.get();
    // Only names are read, so only a name can be in need of mending.
    let members = serde_json::from_str(json).or_else(|_| serde_json::from_str(&mended(json)));
    members.ok()
}

/// The most drafts of one request.
pub const DRAFTS_MAX: usize = 1_000;
const FIELDS: [&str; 8] = [
    "id", "event", "data", "rooms", "addRooms", "except", "tenant", "receipt",
];
const REQUIRED: [&str; 2] = ["event", "data"];
/// How much of a field's name that we do not know goes into an answer.
const FIELD_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_refused_names_its_field() {
        check(r#""text""#, &InvalidDraft::NotAnObject);
        check(
            r#"{"event": "a", "data": {}, "room": []}"#,
            &InvalidDraft::UnknownField {
                field: "room".to_owned(),
            },
        );
        check(
            r#"{"data": {}}"#,
            &InvalidDraft::MissingField { field: "event" },
        );
        check(
            r#"{"event": "a"}"#,
            &InvalidDraft::MissingField { field: "data" },
        );
        check_field(r#"{"event": 1, "data": {}}"#, "event");
        check_field(r#"{"event": "a", "data": {}, "id": "a b"}"#, "id");
        check_field(r#"{"event": "a", "data": {}, "rooms": "r:1"}"#, "rooms");
        check_field(r#"{"event": "a", "data": {}, "addRooms": [1]}"#, "addRooms");
        check_field(r#"{"event": "a", "data": {}, "tenant": true}"#, "tenant");
        let receipt = r#"{"event": "a", "data": {}, "receipt": {"timeoutMs": 5}}"#;
        check_field(receipt, "receipt");
    }

    #[test]
    fn what_cannot_be_read_does_not_hide_what_is_wrong() {
        let unreadable = r#""data": {"a": 1e999, "b": "\ud83d"}"#;
        check(
            &format!(r#"{{"event": "a", {unreadable}, "room": []}}"#),
            &InvalidDraft::UnknownField {
                field: "room".to_owned(),
            },
        );
        check(
            &format!("{{{unreadable}}}"),
            &InvalidDraft::MissingField { field: "event" },
        );
        check_field(
            &format!(r#"{{"event": "a", {unreadable}, "tenant": true}}"#),
            "tenant",
        );
        check_field(&format!(r#"{{"event": "\ud83d", {unreadable}}}"#), "event");
        check_field(r#"{"event": "a", "data": {}, "id": 1e999}"#, "id");
        check(
            r#"{"event": "a", "data": {}, "\ud83d": 1}"#,
            &InvalidDraft::UnknownField {
                field: "\u{fffd}".to_owned(),
            },
        );
    }

    #[test]
    fn a_field_that_comes_twice_is_refused() {
        let json = raw(r#"{"event": "a", "event": "b", "data": {}}"#);

        assert_eq!(read(&json).unwrap_err().code(), "invalid_draft");
    }

    #[test]
    fn an_array_is_outlined_up_to_the_limit() {
        let fits = format!("[{}]", vec!["1"; DRAFTS_MAX].join(","));
        let beyond = format!(" [{}]", vec!["1"; DRAFTS_MAX + 1].join(","));

        assert!(
            matches!(Submission::parse(fits.as_bytes()), Ok(Submission::Many(all)) if all.len() == DRAFTS_MAX)
        );
        assert!(matches!(
            Submission::parse(beyond.as_bytes()),
            Ok(Submission::TooMany)
        ));
        assert!(matches!(Submission::parse(b"{}"), Ok(Submission::One(_))));
        assert!(matches!(Submission::parse(b"[]"), Ok(Submission::Many(all)) if all.is_empty()));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for body in ["", "[1,", "[1] 2", "{\"a\":}", "[1,\n x]", "\u{feff}{}"] {
            assert!(
                Submission::parse(body.as_bytes()).unwrap_err().line() > 0,
                "{body:?}"
            );
        }
        assert!(Submission::parse(b"{\"a\": \"\xff\"}").is_err());
    }

    #[track_caller]
    fn check(json: &str, expected: &InvalidDraft) {
        assert_eq!(read(&raw(json)).unwrap_err(), *expected);
    }

    #[track_caller]
    fn check_field(json: &str, expected: &str) {
        match read(&raw(json)).unwrap_err() {
            InvalidDraft::InvalidField { field, .. } => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }
}
