//! The connections of WhatsApp accounts.

use serde_json::Value;

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// A QR code to pair an account with. Heard only by those who may pair it.
    pub struct WhatsappQrGenerated {
        /// The account to pair.
        pub account_id: Id,
        /// The code as an image, a data URL or its base64.
        pub qr_code: Option<String>,
        /// When the code stops working.
        pub expires_at: Option<WireTime>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// An account is connected and can send.
    pub struct WhatsappReady {
        /// The account.
        pub account_id: Id,
        /// Who the account is on WhatsApp.
        pub account_info: Option<AccountSummary>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// Who an account is on WhatsApp.
    pub struct AccountSummary {
        /// The phone number.
        pub phone_number: Option<String>,
        /// The name that contacts see.
        pub display_name: Option<String>,
    }

    /// The state of an account's connection changed.
    pub struct WhatsappConnectionStatus {
        /// The account.
        pub account_id: Id,
        /// The new state.
        pub status: ConnectionStatus,
        /// The state as a sentence.
        pub message: Option<String>,
        /// The state as its source tells it, finer than `status`. Ours.
        pub detail: Option<Value>,
        /// Why. Ours.
        pub reason: Option<Value>,
        /// Why, as the source numbers it. Ours.
        pub reason_code: Option<Value>,
        /// How well the account fares. Ours.
        pub health: Option<Value>,
        /// Since when it is so. Ours.
        pub since: Option<Value>,
        /// Whether it changes by itself. Ours.
        pub will_retry: Option<Value>,
        /// What somebody has to do about it. Ours.
        pub action: Option<Value>,
        /// Whether nothing was heard of the account for long. Ours.
        pub stale: Option<Value>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// An account was disconnected, and does not come back by itself.
    pub struct WhatsappDisconnected {
        /// The account.
        pub account_id: Id,
        /// Why.
        pub reason: Option<String>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }
}

super::choice! {
    /// The state of an account's connection.
    pub enum ConnectionStatus {
        /// It can send and receive.
        Connected = "Connected",
        /// It is on its way, or waits to be paired.
        Connecting = "Connecting",
        /// It is off.
        Disconnected = "Disconnected",
        /// It cannot be connected.
        Failed = "Failed",
        /// It was lost, and is coming back.
        Reconnecting = "Reconnecting",
    }
}
