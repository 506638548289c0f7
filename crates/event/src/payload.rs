//! The payloads of the contract, each described once.
//!
//! `payload!` makes of one description the Rust type, its serialization (camelCase), and its
//! [`Shape`](crate::shape::Shape), which is what incoming JSON is checked against and what other
//! languages' types are generated from. Fields that are not an `Option` are required: these are
//! the ids and the discriminators, and the objects that hold them.
//!
//! None of the types shows its content in `Debug`: message text must not reach a log.

mod campaign;
mod contact;
mod flow;
mod message;
mod receipt;
mod system;
mod whatsapp;

pub use campaign::{
    CampaignCompleted, CampaignCounts, CampaignFailed, CampaignPaused, CampaignProgress,
    CampaignResumed, CampaignStarted, CampaignStats, CampaignStatsUpdate, CampaignSummary,
};
pub use contact::{
    Contact, ContactCreated, ContactDeleted, ContactTyping, ContactUpdated, PresenceStatus,
    PresenceUpdate, PresenceViewing, TypingIndicator, TypingKind,
};
pub use flow::{FlowCompleted, FlowFailed, FlowResult, FlowResultStatus, FlowStarted};
pub use message::{
    MessageDelivered, MessageFailed, MessageRead, MessageReceived, MessageSent, MessageStatus,
    MessageStatusUpdate, MessageType, ReceivedDirection, ReceivedMessage, SentDirection,
    SentMessage,
};
pub use receipt::{EventReceipt, ReceiptCounts};
pub use system::{
    Activity, Notification, NotificationAction, NotificationType, Pong, SystemNotification,
    TeamActivity,
};
pub use whatsapp::{
    AccountSummary, ConnectionStatus, WhatsappConnectionStatus, WhatsappDisconnected,
    WhatsappQrGenerated, WhatsappReady,
};

/// Declares objects of payloads.
macro_rules! payload {
    ($(
        $(#[doc = $docs:literal])+
        pub struct $name:ident {$(
            $(#[doc = $field_docs:literal])+
            pub $field:ident: $type:ty,
        )+}
    )+) => {$(
        $(#[doc = $docs])+
        #[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {$(
            $(#[doc = $field_docs])+
            #[serde(skip_serializing_if = "crate::shape::Described::is_absent")]
            pub $field: $type,
        )+}

        impl crate::shape::Described for $name {
            const SHAPE: crate::shape::Shape = crate::shape::Shape::Object(&Self::OBJECT);
        }

        impl $name {
            /// The fields, for checking and for generated documentation.
            pub const OBJECT: crate::shape::ObjectShape = crate::shape::ObjectShape {
                name: stringify!($name),
                docs: concat!($($docs),+).trim_ascii(),
                fields: &[$(crate::shape::FieldShape {
                    name: {
                        const FIELD: &str = stringify!($field);
                        const NAME: [u8; crate::shape::wire_name_len(FIELD)] =
                            crate::shape::wire_name(FIELD);
                        match std::str::from_utf8(&NAME) {
                            Ok(name) => name,
                            Err(_) => panic!("names of fields are ASCII"),
                        }
                    },
                    docs: concat!($($field_docs),+).trim_ascii(),
                    required: <$type as crate::shape::Described>::REQUIRED,
                    shape: <$type as crate::shape::Described>::SHAPE,
                }),+],
            };
        }

        const _: () = assert!($name::OBJECT.fields.len() <= crate::shape::FIELDS_MAX);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

/// Declares discriminators: enums that keep what they do not know.
macro_rules! choice {
    ($(
        $(#[doc = $docs:literal])+
        pub enum $name:ident $(but never $contrary:literal)? {$(
            $(#[doc = $value_docs:literal])+
            $variant:ident = $value:literal,
        )+}
    )+) => {$(
        $(#[doc = $docs])+
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum $name {
            $($(#[doc = $value_docs])+ $variant,)+
            /// A value that this version does not know.
            Other(Box<str>),
        }

        impl $name {
            /// The known values, for checking and for generated documentation.
            pub const CHOICE: crate::shape::Choice = crate::shape::Choice {
                name: stringify!($name),
                docs: concat!($($docs),+).trim_ascii(),
                values: &[$($value),+],
                contrary: &[$($contrary)?],
            };

            /// The value on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $value,)+
                    Self::Other(value) => value,
                }
            }
        }

        impl crate::shape::Described for $name {
            const SHAPE: crate::shape::Shape = crate::shape::Shape::Choice(&Self::CHOICE);
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($value => Self::$variant,)+
                    _ => Self::Other(value.into()),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    )+};
}

use {choice, payload};
