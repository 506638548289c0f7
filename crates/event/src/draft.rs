//! What a producer sends.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::built_in::Payload;
use crate::id::{EventId, text_or_integer};
use crate::receipt::ReceiptTimeout;

/// An event as its producer wrote it, before anything in it was checked.
///
/// A field that is not one of these is refused: a misspelt `addRooms` must not be a silent loss.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    /// The producer's own id of the event: a retry with the same id is the same event.
    #[serde(default)]
    pub id: Option<EventId>,
    /// The event's name.
    pub event: String,
    /// The payload: a JSON object, untouched.
    pub data: Box<RawValue>,
    /// The whole audience, in place of the event's default one.
    #[serde(default)]
    pub rooms: Option<Vec<String>>,
    /// Rooms beside the default audience.
    #[serde(default, deserialize_with = "list_or_null")]
    pub add_rooms: Vec<String>,
    /// Rooms whose members do not hear the event, whatever else they are in.
    #[serde(default, deserialize_with = "list_or_null")]
    pub except: Vec<String>,
    /// The tenant, text or an integer; needed from a key for all tenants, where `*` means every
    /// one.
    #[serde(default, deserialize_with = "text_integer_or_null")]
    pub tenant: Option<String>,
    /// Asks who got the event, `{"timeoutMs": n}`: its hearers are asked to acknowledge it.
    #[serde(default)]
    pub receipt: Option<ReceiptTimeout>,
}

impl Draft {
    /// A draft of that payload, for the event's default audience.
    ///
    /// Fails only where serde does, on a payload type of one's own.
    pub fn of<P: Payload>(payload: &P) -> Result<Self, serde_json::Error> {
        Ok(Self::new(
            P::EVENT,
            serde_json::value::to_raw_value(payload)?,
        ))
    }

    /// A draft for the event's default audience.
    pub fn new(event: impl Into<String>, data: Box<RawValue>) -> Self {
        Self {
            id: None,
            event: event.into(),
            data,
            rooms: None,
            add_rooms: Vec::new(),
            except: Vec::new(),
            tenant: None,
            receipt: None,
        }
    }
}

/// The payload and the rooms stay out of logs: they hold message text and phone numbers.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("event", &self.event)
            .field("data_len", &self.data.get().len())
            .finish_non_exhaustive()
    }
}

fn list_or_null<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn text_integer_or_null<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    #[derive(Deserialize)]
    struct Text(#[serde(deserialize_with = "text_or_integer")] String);

    let text = Option::<Text>::deserialize(deserializer)?;
    Ok(text.map(|Text(text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_read_from_json_and_its_data_is_untouched() {
        let json = r#"{"id": 7, "event": "a", "data": { "x" : 1.0 }, "addRooms": ["b:c"], "except": null, "tenant": 5}"#;

        let draft: Draft = serde_json::from_str(json).unwrap();

        assert_eq!(draft.id.unwrap().as_str(), "7");
        assert_eq!(draft.tenant.unwrap(), "5");
        assert_eq!(draft.data.get(), r#"{ "x" : 1.0 }"#);
        assert_eq!(
            (draft.rooms, draft.add_rooms),
            (None, vec!["b:c".to_owned()])
        );
    }

    #[test]
    fn an_unknown_or_missing_field_is_refused() {
        for json in [
            r#"{"event": "a", "data": {}, "room": []}"#,
            r#"{"event": "a"}"#,
            r#"{"event": "a", "data": {}, "tenant": 1.5}"#,
            r#"{"data": {}}"#,
            r#"{"event": "a", "data": {}, "data": {}}"#,
            r#"{"id": "a b", "event": "a", "data": {}}"#,
            r#"{"event": "a", "data": {}, "receipt": {"timeoutMs": 999}}"#,
            r#"{"event": "a", "data": {}, "receipt": {"timeoutMs": 3600001}}"#,
            r#"{"event": "a", "data": {}, "receipt": {"timeoutMs": 1000, "more": 1}}"#,
            r#"{"event": "a", "data": {}, "receipt": {}}"#,
        ] {
            assert!(serde_json::from_str::<Draft>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_printed_draft_shows_no_payload() {
        let data = RawValue::from_string(r#"{"content":"secret"}"#.to_owned()).unwrap();

        let printed = format!("{:?}", Draft::new("message:sent", data));

        assert!(!printed.contains("secret"), "{printed}");
    }
}
