//! Meta's WhatsApp Cloud API: what a webhook's body says, as drafts.
//!
//! Pure, and total: whatever the body holds, it makes drafts and reasons, and never fails. Reading
//! order: the envelope here, then `message` with `content`, then `status`.

mod content;
mod message;
mod party;
mod status;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::to_raw_value;
use switchboard_event::{Draft, EventId, Id, TenantId, Timestamp};

use crate::derived::{Identity, event_id};
use crate::node::Node;
use crate::source::{Ignored, Mapped};

/// Which account a body's phone number is, for the tenant of the endpoint.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Whose events these are. Never taken from a body.
    pub tenant: TenantId,
    /// The WhatsApp account of each `phone_number_id`. None: the phone number's id is the account's.
    pub by_phone_number: Option<BTreeMap<String, Id>>,
}

/// Makes drafts of a webhook's body, which is known to be authentic.
///
/// `received_at` stands in for times that the body lacks or garbles.
pub fn map(accounts: &Accounts, body: &Value, received_at: Timestamp) -> Mapped {
    let mut mapped = Mapped::default();
    let body = Node::new(body);
    if body.text("object").as_deref() != Some("whatsapp_business_account") {
        mapped.ignore(Ignored::Malformed, 1);
        return mapped;
    }
    for entry in body.items("entry") {
        for change in entry.items("changes") {
            match change.text("field").as_deref() {
                Some("messages") => {
                    map_value(accounts, change.at("value"), received_at, &mut mapped);
                }
                Some("calls") => mapped.ignore(Ignored::Call, 1),
                Some(_) => mapped.ignore(Ignored::UnknownField, 1),
                None => mapped.ignore(Ignored::Malformed, 1),
            }
        }
    }
    mapped
}

/// One `value` of the field `messages`: everything in it belongs to one phone number.
fn map_value(accounts: &Accounts, value: Node<'_>, received_at: Timestamp, mapped: &mut Mapped) {
    let phone_number_id = value.at("metadata").text("phone_number_id");
    let account = match &phone_number_id {
        Some(id) => accounts.account(id).ok_or(Ignored::UnknownAccount),
        None => Err(Ignored::Malformed),
    };
    let account = match account {
        Ok(account) => account,
        Err(reason) => {
            let count = value.items("messages").count() + value.items("statuses").count();
            mapped.ignore(reason, count.max(1) as u64);
            return;
        }
    };

    mapped.heard.extend(account.parse().ok());
    let context = Context {
        tenant: &accounts.tenant,
        account,
        phone_number_id: phone_number_id.as_deref().unwrap_or_default(),
        value,
        received_at,
    };
    for message in value.items("messages") {
        mapped.push(message::map(&context, message));
    }
    for status in value.items("statuses") {
        mapped.push(status::map(&context, status));
    }
    let errors = value.items("errors").count();
    if errors > 0 {
        mapped.ignore(Ignored::Error, errors as u64);
    }
}

impl Accounts {
    fn account<'a>(&'a self, phone_number_id: &'a str) -> Option<&'a str> {
        match &self.by_phone_number {
            Some(listed) => listed.get(phone_number_id).map(Id::as_str),
            None => Some(phone_number_id),
        }
    }
}

/// What the items of one `value` share.
struct Context<'a> {
    tenant: &'a TenantId,
    account: &'a str,
    phone_number_id: &'a str,
    value: Node<'a>,
    received_at: Timestamp,
}

impl Context<'_> {
    /// The time of an item, in unix seconds as text, or else the time when it came.
    fn at(&self, item: Node<'_>) -> Timestamp {
        item.text("timestamp")
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
            .map_or(self.received_at, |seconds| {
                Timestamp::from_millis(seconds * 1000)
            })
    }

    /// A draft whose id is what happened, so that a second telling of it makes no second event.
    fn draft(&self, happened: Happened<'_>, data: &impl Serialize) -> Result<Draft, Ignored> {
        Ok(Draft {
            id: Some(self.id(happened)?),
            ..Draft::new(
                happened.event,
                to_raw_value(data).map_err(|_| Ignored::Malformed)?,
            )
        })
    }

    /// The id of what happened.
    fn id(&self, happened: Happened<'_>) -> Result<EventId, Ignored> {
        let id = event_id(
            self.tenant,
            Identity {
                source: SOURCE,
                account: self.phone_number_id,
                message: happened.message,
                event: happened.event,
                status: happened.status,
                participant: happened.participant,
            },
        );
        id.parse().map_err(|_| Ignored::Malformed)
    }
}

/// What happened to which message: the parts of an event's identity that an item decides.
#[derive(Clone, Copy)]
struct Happened<'a> {
    message: &'a str,
    event: &'static str,
    status: &'a str,
    participant: &'a str,
}

fn owned(text: Option<Cow<'_, str>>) -> Option<String> {
    text.map(Cow::into_owned)
}

const SOURCE: &str = "meta";
/// The last second of the year 9999: what a time of four-digit years can say.
const SECONDS_MAX: i64 = 253_402_300_799;
