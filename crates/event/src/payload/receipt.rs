//! Who got an event.

use serde_json::{Map, Value};

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// The receipt of an event was closed.
    pub struct EventReceipt {
        /// The event.
        pub event_id: Id,
        /// The event's name.
        pub event: String,
        /// How far it got with each user: `acknowledged`, `sent` or `offline`.
        pub users: Map<String, Value>,
        /// How many users there are of each kind.
        pub counts: ReceiptCounts,
        /// Whether there are users, and all of them have acknowledged.
        pub complete: bool,
        /// Whether there are more users than a receipt can hold.
        pub truncated: Option<bool>,
        /// When it was closed.
        pub timestamp: Option<WireTime>,
    }

    /// How many users an event reached how far.
    pub struct ReceiptCounts {
        /// It was sent to them, and they did not acknowledge it.
        pub sent: u64,
        /// They acknowledged it.
        pub acknowledged: u64,
        /// They are named by its audience, and had no connection.
        pub offline: u64,
    }
}
