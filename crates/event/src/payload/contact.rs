//! Contacts, who is typing to them, and who is there at all.

use serde_json::{Map, Value};

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// A contact is new.
    pub struct ContactCreated {
        /// The contact.
        pub contact: Contact,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A person that the CRM writes to.
    pub struct Contact {
        /// The contact's id.
        pub id: Id,
        /// The name.
        pub name: Option<String>,
        /// The phone number.
        pub phone: Option<String>,
        /// The mail address.
        pub email: Option<String>,
    }

    /// A contact was changed.
    pub struct ContactUpdated {
        /// The contact.
        pub contact_id: Id,
        /// The fields that changed, with their new values.
        pub updates: Option<Map<String, Value>>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A contact was deleted.
    pub struct ContactDeleted {
        /// The contact.
        pub contact_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A contact began or ceased to type to us. Fleeting: it is passed on and not stored, and ends
    /// by itself.
    pub struct ContactTyping {
        /// The contact.
        pub contact_id: Id,
        /// The account that they type to.
        pub whatsapp_account_id: Id,
        /// Whether they are typing now.
        pub is_typing: bool,
        /// What they do.
        pub kind: Option<TypingKind>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A colleague began or ceased to look at a contact.
    pub struct PresenceViewing {
        /// The contact.
        pub contact_id: Id,
        /// The colleague.
        pub user_id: Id,
        /// Whether the colleague is looking now.
        pub is_viewing: bool,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A colleague came, went, or looks at something else.
    pub struct PresenceUpdate {
        /// The colleague.
        pub user_id: Id,
        /// How they are now.
        pub status: PresenceStatus,
        /// When they were last there.
        pub last_seen_at: Option<WireTime>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A colleague began or ceased to type to a contact.
    pub struct TypingIndicator {
        /// The contact.
        pub contact_id: Id,
        /// The account that the answer goes through.
        pub whatsapp_account_id: Id,
        /// Whether the colleague is typing now.
        pub is_typing: bool,
        /// The colleague.
        pub user_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }
}

super::choice! {
    /// What a contact does who is typing.
    pub enum TypingKind {
        /// They write.
        Typing = "typing",
        /// They speak.
        Recording = "recording",
    }

    /// Whether a colleague is there.
    pub enum PresenceStatus {
        /// They are.
        Online = "online",
        /// They are, and look at something else.
        Away = "away",
        /// They are not.
        Offline = "offline",
    }
}
