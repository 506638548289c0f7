//! One of `statuses`: what became of a message of ours, as the named event and
//! `message:status:update`.

use serde::{Deserialize, Serialize};
use switchboard_event::machine::message::Progress;
use switchboard_event::{Id, MessageFact, MessageKey};

use super::party::{Party, Person};
use super::{Context, Happened, owned};
use crate::derived::message_id;
use crate::node::Node;
use crate::source::{Fact, Ignored, Item};

/// Makes the two events of a status, which stand or fall together.
pub(super) fn map(context: &Context<'_>, status: Node<'_>) -> Result<Item, Ignored> {
    if status.text("type").as_deref() == Some("call") {
        return Err(Ignored::Call);
    }
    let kind = status.text("status").ok_or(Ignored::Malformed)?;
    let progress = match kind.as_ref() {
        "sent" => Progress::Sent,
        "delivered" => Progress::Delivered,
        // A voice message that was heard was read: one event, whichever of the two comes first.
        "read" | "played" => Progress::Read,
        "failed" => Progress::Failed,
        _ => return Err(Ignored::UnknownStatus),
    };
    let source_id = status.text("id").ok_or(Ignored::Malformed)?;
    let party = Party::recipient(context, status)?;

    let callback_data = owned(status.text("biz_opaque_callback_data"));
    let known = Known {
        campaign_id: callback_data.as_deref().and_then(campaign),
        message_id: message_id(context.tenant, &source_id),
        at: context.at(status).to_string(),
        callback_data,
        failure: (progress == Progress::Failed).then(|| Failure::of(status)),
        party,
    };
    let happened = |event| Happened {
        message: &source_id,
        event,
        status: progress.as_str(),
        participant: known.party.participant(),
    };
    let named = match progress {
        // A webhook says of no message that it waits.
        Progress::Queued | Progress::Sent => {
            context.draft(happened("message:sent"), &known.sent(context))
        }
        Progress::Delivered => {
            let time = Time::Delivered(&known.at);
            context.draft(happened("message:delivered"), &known.named(context, time))
        }
        Progress::Read => {
            let time = Time::Read(&known.at);
            context.draft(happened("message:read"), &known.named(context, time))
        }
        Progress::Failed => {
            let time = Time::Failed(&known.at);
            context.draft(happened("message:failed"), &known.named(context, time))
        }
    }?;
    let update = context.draft(
        happened("message:status:update"),
        &known.update(context, progress),
    )?;
    let fact = known.fact(
        context,
        status,
        &happened("message:status:update"),
        progress,
    )?;
    Ok(Item {
        fact: Some(fact),
        drafts: vec![named, update],
    })
}

/// The campaign that the CRM named when it sent the message: `campaign:{id}`, or `campaignId` in an
/// object.
fn campaign(callback_data: &str) -> Option<Id> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Labelled {
        campaign_id: Id,
    }
    match callback_data.strip_prefix("campaign:") {
        Some(id) => id.parse().ok(),
        None => Some(
            serde_json::from_str::<Labelled>(callback_data)
                .ok()?
                .campaign_id,
        ),
    }
}

/// What a status says, whichever event it goes into.
struct Known {
    message_id: String,
    at: String,
    /// What the CRM attached when it sent the message: its own id of it, usually.
    callback_data: Option<String>,
    campaign_id: Option<Id>,
    failure: Option<Failure>,
    party: Party,
}

impl Known {
    /// A status does not tell what was sent: the type is the contract's only one, without content.
    fn sent<'a>(&'a self, context: &'a Context<'_>) -> Sent<'a> {
        Sent {
            message: SentMessage {
                id: &self.message_id,
                contact_id: &self.party.contact_id,
                whatsapp_account_id: context.account,
                direction: "Outbound",
                r#type: "Text",
                content: None,
                status: Progress::Sent.as_str(),
                sent_at: &self.at,
                to: &self.party.person,
                group_id: self.party.group_id.as_deref(),
                callback_data: self.callback_data.as_deref(),
                campaign_id: self.campaign_id.as_ref(),
            },
        }
    }

    /// `message:delivered`, `message:read` or `message:failed`, by the name of its time.
    fn named<'a>(&'a self, context: &'a Context<'_>, time: Time<'a>) -> Named<'a> {
        Named {
            message_id: &self.message_id,
            time,
            subject: self.subject(context),
        }
    }

    /// The same status at another time is told anew: after a failure it is a retry.
    fn fact(
        &self,
        context: &Context<'_>,
        status: Node<'_>,
        happened: &Happened<'_>,
        progress: Progress,
    ) -> Result<Fact, Ignored> {
        let time = status.text("timestamp").unwrap_or_default();
        let told = format!("{}@{time}", progress.as_str());
        let id = context.id(Happened {
            status: &told,
            ..*happened
        })?;
        let message: Id = self.message_id.parse().map_err(|_| Ignored::Malformed)?;
        let message = MessageKey::new(&message);
        Ok(Fact {
            message: message.clone(),
            id,
            status: Some(MessageFact {
                message,
                participant: self.party.participant().into(),
                status: progress,
                campaign: self.campaign_id.clone(),
            }),
        })
    }

    fn update<'a>(&'a self, context: &'a Context<'_>, progress: Progress) -> Update<'a> {
        Update {
            message_id: &self.message_id,
            status: progress.as_str(),
            at: &self.at,
            subject: self.subject(context),
        }
    }

    fn subject<'a>(&'a self, context: &'a Context<'_>) -> Subject<'a> {
        Subject {
            contact_id: &self.party.contact_id,
            whatsapp_account_id: context.account,
            participant_id: self.party.person.id.as_deref(),
            callback_data: self.callback_data.as_deref(),
            campaign_id: self.campaign_id.as_ref(),
            failure: self.failure.as_ref(),
        }
    }
}

#[derive(Serialize)]
struct Sent<'a> {
    message: SentMessage<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentMessage<'a> {
    id: &'a str,
    contact_id: &'a str,
    whatsapp_account_id: &'a str,
    direction: &'static str,
    r#type: &'static str,
    content: Option<&'a str>,
    status: &'static str,
    sent_at: &'a str,
    to: &'a Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<&'a Id>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a> {
    message_id: &'a str,
    #[serde(flatten)]
    time: Time<'a>,
    #[serde(flatten)]
    subject: Subject<'a>,
}

/// When it happened: what happened is the name of the field.
#[derive(Serialize)]
enum Time<'a> {
    #[serde(rename = "deliveredAt")]
    Delivered(&'a str),
    #[serde(rename = "readAt")]
    Read(&'a str),
    #[serde(rename = "failedAt")]
    Failed(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    message_id: &'a str,
    status: &'static str,
    at: &'a str,
    #[serde(flatten)]
    subject: Subject<'a>,
}

/// Whose message it is, and why it failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    contact_id: &'a str,
    whatsapp_account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<&'a Id>,
    #[serde(flatten)]
    failure: Option<&'a Failure>,
}

/// The first error of a status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
}

impl Failure {
    /// The details say most, then the message, then the title.
    fn of(status: Node<'_>) -> Self {
        let Some(error) = status.items("errors").next() else {
            return Self {
                error: "The message could not be sent".to_owned(),
                error_code: None,
            };
        };
        let text = error
            .at("error_data")
            .text("details")
            .or_else(|| error.text("message"))
            .or_else(|| error.text("title"));
        Self {
            error: text.map_or_else(|| "The message could not be sent".to_owned(), Into::into),
            error_code: owned(error.text("code")),
        }
    }
}
