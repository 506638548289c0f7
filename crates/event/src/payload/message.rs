//! Messages, and what becomes of them.

use serde_json::Value;

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// The status of a message changed.
    pub struct MessageStatusUpdate {
        /// The message.
        pub message_id: Id,
        /// The new status.
        pub status: MessageStatus,
        /// Whom the message is with.
        pub contact_id: Id,
        /// The account that the message goes through.
        pub whatsapp_account_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A message came in.
    pub struct MessageReceived {
        /// The message.
        pub message: ReceivedMessage,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A message that came in.
    pub struct ReceivedMessage {
        /// The message's id.
        pub id: Id,
        /// Who sent it.
        pub contact_id: Id,
        /// The account that it came to.
        pub whatsapp_account_id: Id,
        /// Inbound.
        pub direction: ReceivedDirection,
        /// What it holds.
        pub r#type: MessageType,
        /// What WhatsApp calls it, finer than `type`. Ours.
        pub kind: Option<Value>,
        /// The text, or the caption.
        pub content: Option<String>,
        /// Where the image, video, audio or document is.
        pub media_url: Option<String>,
        /// When it was written.
        pub created_at: Option<WireTime>,
    }

    /// A message went out.
    pub struct MessageSent {
        /// The message.
        pub message: SentMessage,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A message that went out.
    pub struct SentMessage {
        /// The message's id.
        pub id: Id,
        /// Whom it goes to.
        pub contact_id: Id,
        /// The account that it goes through.
        pub whatsapp_account_id: Id,
        /// Outbound.
        pub direction: SentDirection,
        /// What it holds.
        pub r#type: MessageType,
        /// What WhatsApp calls it, finer than `type`. Ours.
        pub kind: Option<Value>,
        /// The text, or the caption.
        pub content: Option<String>,
        /// Where the image, video, audio or document is. Ours: the contract has it of what came in.
        pub media_url: Option<Value>,
        /// How far it got.
        pub status: MessageStatus,
        /// When it was written. Ours: the contract has it of what came in.
        pub created_at: Option<Value>,
        /// When it was sent.
        pub sent_at: Option<WireTime>,
    }

    /// A message reached the recipient's device.
    pub struct MessageDelivered {
        /// The message.
        pub message_id: Id,
        /// Whom the message is with.
        pub contact_id: Option<Id>,
        /// The account that the message goes through.
        pub whatsapp_account_id: Option<Id>,
        /// When it was delivered.
        pub delivered_at: Option<WireTime>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A message was read by the recipient.
    pub struct MessageRead {
        /// The message.
        pub message_id: Id,
        /// Whom the message is with.
        pub contact_id: Option<Id>,
        /// The account that the message goes through.
        pub whatsapp_account_id: Option<Id>,
        /// When it was read.
        pub read_at: Option<WireTime>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A message could not be sent.
    pub struct MessageFailed {
        /// The message.
        pub message_id: Id,
        /// Whom the message is with.
        pub contact_id: Option<Id>,
        /// The account that the message goes through.
        pub whatsapp_account_id: Option<Id>,
        /// Why.
        pub error: Option<String>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }
}

super::choice! {
    /// Which way a message went that was received.
    pub enum ReceivedDirection but never "Outbound" {
        /// From the contact.
        Inbound = "Inbound",
    }

    /// Which way a message went that was sent.
    pub enum SentDirection but never "Inbound" {
        /// To the contact.
        Outbound = "Outbound",
    }

    /// What a message holds.
    pub enum MessageType {
        /// Text, and whatever has no type of its own.
        Text = "Text",
        /// An image or a sticker.
        Image = "Image",
        /// A video.
        Video = "Video",
        /// A recording or a voice message.
        Audio = "Audio",
        /// A file.
        Document = "Document",
    }

    /// How far a message got.
    pub enum MessageStatus {
        /// It waits to be sent.
        Queued = "Queued",
        /// WhatsApp has it.
        Sent = "Sent",
        /// The recipient's device has it.
        Delivered = "Delivered",
        /// The recipient has seen it.
        Read = "Read",
        /// It could not be sent.
        Failed = "Failed",
    }
}
