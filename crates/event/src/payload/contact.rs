//! Contacts, and who is typing to them.

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
