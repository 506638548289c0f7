//! What an event says of the status of a message.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::Id;
use crate::json::{Kind, text_of};
use crate::machine::message::Progress;
use crate::message::{MessageFact, MessageKey};
use crate::payload::MessageStatus;

/// The status in a payload that was checked; none if the event is not about one, or in a word that
/// the contract does not have.
pub(super) fn of(event: &str, data: &RawValue) -> Option<MessageFact> {
    let progress = match event {
        "message:sent" | "message:status:update" => None,
        "message:delivered" => Some(Progress::Delivered),
        "message:read" => Some(Progress::Read),
        "message:failed" => Some(Progress::Failed),
        _ => return None,
    };
    let payload: Payload<'_> = serde_json::from_str(data.get()).ok()?;
    let nested = payload.message.unwrap_or_default();
    let status = payload.status.or(nested.status).and_then(text);
    let status = match progress {
        Some(progress) => progress,
        None => Progress::of(&MessageStatus::from(status?))?,
    };
    let message = payload.message_id.or(nested.id).and_then(id)?;
    let participant = payload.participant_id.and_then(text).unwrap_or_default();
    Some(MessageFact {
        message: MessageKey::new(&message),
        participant: participant.into(),
        status,
        campaign: payload.campaign_id.or(nested.campaign_id).and_then(id),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    message: Option<Nested<'a>>,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    participant_id: Option<&'a RawValue>,
    #[serde(borrow)]
    campaign_id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nested<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    campaign_id: Option<&'a RawValue>,
}

fn text(value: &RawValue) -> Option<String> {
    let text = (Kind::of(value) == Kind::Text).then(|| text_of(value))??;
    Some(text.into_owned())
}

/// An id as payloads have it: text, or an integer as its text.
fn id(value: &RawValue) -> Option<Id> {
    match Kind::of(value) {
        Kind::Text => text(value)?.parse().ok(),
        Kind::Number => value.get().parse().ok(),
        _ => None,
    }
}
