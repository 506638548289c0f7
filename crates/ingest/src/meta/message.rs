//! One of `messages`: what a contact wrote, as `message:received`.

use serde::Serialize;
use switchboard_event::{Id, MessageKey};

use super::content::Content;
use super::party::{Party, Person};
use super::{Context, Happened};
use crate::derived::message_id;
use crate::node::Node;
use crate::source::{Fact, Ignored, Item};

/// Makes `message:received` of an incoming message.
pub(super) fn map(context: &Context<'_>, message: Node<'_>) -> Result<Item, Ignored> {
    let kind = message.text("type").ok_or(Ignored::Malformed)?;
    match kind.as_ref() {
        "edit" => return Err(Ignored::Edit),
        "reaction" => return Err(Ignored::Reaction),
        "revoke" => return Err(Ignored::Revoke),
        "system" => return Err(Ignored::System),
        _ => {}
    }
    let source_id = message.text("id").ok_or(Ignored::Malformed)?;
    let party = Party::sender(context, message)?;
    let about = message.at("context");

    let id = message_id(context.tenant, &source_id);
    let draft = context.draft(
        Happened {
            message: &source_id,
            event: "message:received",
            status: "",
            participant: "",
        },
        &Received {
            message: Message {
                id: &id,
                contact_id: &party.contact_id,
                whatsapp_account_id: context.account,
                direction: "Inbound",
                content: Content::of(&kind, message),
                media_url: None,
                created_at: context.at(message).to_string(),
                kind: &kind,
                from: &party.person,
                group_id: party.group_id.as_deref(),
                reply_to: about.text("id").map(|id| ReplyTo {
                    id: message_id(context.tenant, &id),
                }),
                forwarded: about
                    .bool("forwarded")
                    .or_else(|| about.bool("frequently_forwarded")),
            },
        },
    )?;
    let message: Id = id.parse().map_err(|_| Ignored::Malformed)?;
    Ok(Item {
        fact: draft.id.clone().map(|id| Fact {
            message: MessageKey::new(&message),
            id,
            status: None,
        }),
        drafts: vec![draft],
    })
}

#[derive(Serialize)]
struct Received<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: &'a str,
    contact_id: &'a str,
    whatsapp_account_id: &'a str,
    direction: &'static str,
    #[serde(flatten)]
    content: Content,
    /// Cloud media need a bearer token, and the address in the body is a secret of a few minutes.
    media_url: Option<&'static str>,
    created_at: String,
    kind: &'a str,
    from: &'a Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<ReplyTo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<bool>,
}

#[derive(Serialize)]
struct ReplyTo {
    id: String,
}
