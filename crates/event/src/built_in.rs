//! The events of the contract: name, payload, and who hears them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{
    CampaignCompleted, CampaignFailed, CampaignPaused, CampaignProgress, CampaignResumed,
    CampaignStarted, CampaignStatsUpdate, ContactCreated, ContactDeleted, ContactTyping,
    ContactUpdated, EventReceipt, FlowCompleted, FlowFailed, FlowStarted, MessageDelivered,
    MessageFailed, MessageRead, MessageReceived, MessageSent, MessageStatusUpdate, Pong,
    PresenceUpdate, PresenceViewing, SystemNotification, TeamActivity, TypingIndicator,
    WhatsappConnectionStatus, WhatsappDisconnected, WhatsappQrGenerated, WhatsappReady,
};
use crate::shape::ObjectShape;

/// A payload that belongs to one event.
pub trait Payload: Serialize + DeserializeOwned {
    /// The event's name.
    const EVENT: &'static str;
}

/// An event of the contract.
#[derive(Debug)]
pub struct BuiltIn {
    /// The name.
    pub name: &'static str,
    /// The payload.
    pub payload: &'static ObjectShape,
    /// Who hears it, unless the settings or the draft say otherwise.
    pub audience: DefaultAudience,
}

impl BuiltIn {
    /// Whether producers may publish it.
    pub fn is_producible(&self) -> bool {
        !matches!(
            self.audience,
            DefaultAudience::Server | DefaultAudience::Made(_)
        )
    }
}

/// Who hears an event, as templates of room names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DefaultAudience {
    /// These rooms.
    Rooms(&'static [&'static str]),
    /// These rooms; a key for all tenants may send it to the team of every tenant at once.
    Team(&'static [&'static str]),
    /// These rooms; they are remembered as those of the message `message.id`.
    Remembered(&'static [&'static str]),
    /// The rooms of the message `messageId`; if that is unknown, those of these rooms whose field
    /// is there.
    Recalled(&'static [&'static str]),
    /// Exactly this room, whatever the settings and the draft say. The event expires.
    Sealed(&'static str),
    /// These rooms, for a moment: the event is passed on and never stored, and what it says ends by
    /// itself.
    Fleeting(&'static [&'static str]),
    /// These rooms; the server makes this event itself, and producers cannot publish it.
    Made(&'static [&'static str]),
    /// The server makes this event itself, for whom it chooses; producers cannot publish it.
    Server,
}

macro_rules! built_in {
    ($($name:literal: $payload:ident => $audience:ident $(($rooms:expr))?,)+) => {
        $(impl Payload for $payload {
            const EVENT: &'static str = $name;
        })+

        /// Every event of the contract that goes from server to client.
        pub const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
            name: $name,
            payload: &$payload::OBJECT,
            audience: DefaultAudience::$audience $(($rooms))?,
        }),+];
    };
}

built_in! {
    "whatsapp:qr:generated": WhatsappQrGenerated => Sealed("whatsapp:{accountId}:link"),
    "whatsapp:ready": WhatsappReady => Rooms(ACCOUNT),
    "whatsapp:connection:status": WhatsappConnectionStatus => Rooms(ACCOUNT),
    "whatsapp:disconnected": WhatsappDisconnected => Rooms(ACCOUNT),
    "message:status:update": MessageStatusUpdate => Rooms(CONVERSATION),
    "message:received": MessageReceived => Remembered(CONVERSATION_OF_MESSAGE),
    "message:sent": MessageSent => Remembered(CONVERSATION_OF_MESSAGE),
    "message:delivered": MessageDelivered => Recalled(CONVERSATION),
    "message:read": MessageRead => Recalled(CONVERSATION),
    "message:failed": MessageFailed => Recalled(CONVERSATION),
    "campaign:started": CampaignStarted => Rooms(CAMPAIGN),
    "campaign:progress": CampaignProgress => Rooms(CAMPAIGN),
    "campaign:completed": CampaignCompleted => Rooms(CAMPAIGN),
    "campaign:stats": CampaignStatsUpdate => Rooms(CAMPAIGN),
    "campaign:paused": CampaignPaused => Rooms(CAMPAIGN),
    "campaign:resumed": CampaignResumed => Rooms(CAMPAIGN),
    "campaign:failed": CampaignFailed => Rooms(CAMPAIGN),
    "contact:created": ContactCreated => Rooms(&["contact:{contact.id}", "contacts:{tenant}"]),
    "contact:updated": ContactUpdated => Rooms(CONTACT),
    "contact:deleted": ContactDeleted => Rooms(CONTACT),
    "contact:typing": ContactTyping => Fleeting(CONVERSATION),
    "typing:indicator": TypingIndicator => Server,
    "presence:viewing": PresenceViewing => Server,
    "presence:update": PresenceUpdate => Server,
    "flow:execution:started": FlowStarted => Rooms(FLOW),
    "flow:execution:completed": FlowCompleted => Rooms(FLOW),
    "flow:execution:failed": FlowFailed => Rooms(FLOW),
    "system:notification": SystemNotification => Team(TEAM),
    "team:activity": TeamActivity => Team(TEAM),
    "event:receipt": EventReceipt => Made(TEAM),
    "pong": Pong => Server,
}

const ACCOUNT: &[&str] = &["whatsapp:{accountId}"];
const CONVERSATION: &[&str] = &["whatsapp:{whatsappAccountId}", "contact:{contactId}"];
const CONVERSATION_OF_MESSAGE: &[&str] = &[
    "whatsapp:{message.whatsappAccountId}",
    "contact:{message.contactId}",
];
const CAMPAIGN: &[&str] = &["campaign:{campaignId}"];
const CONTACT: &[&str] = &["contact:{contactId}", "contacts:{tenant}"];
const FLOW: &[&str] = &["flow:{flowId}", "team:{tenant}"];
const TEAM: &[&str] = &["team:{tenant}"];
