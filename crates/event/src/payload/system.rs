//! What concerns a whole team, and the answer to a ping.

use serde_json::{Map, Value};

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// Something that everybody should know.
    pub struct SystemNotification {
        /// The notification.
        pub notification: Notification,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A notification.
    pub struct Notification {
        /// How serious it is.
        pub r#type: NotificationType,
        /// The headline.
        pub title: Option<String>,
        /// The text.
        pub message: Option<String>,
        /// What one can do about it.
        pub action: Option<NotificationAction>,
    }

    /// What one can do about a notification.
    pub struct NotificationAction {
        /// The text of the button.
        pub label: Option<String>,
        /// Where the button leads.
        pub url: Option<String>,
    }

    /// A colleague did something.
    pub struct TeamActivity {
        /// What was done.
        pub activity: Activity,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// What a colleague did.
    pub struct Activity {
        /// The colleague.
        pub user_id: Id,
        /// The colleague's name.
        pub user_name: Option<String>,
        /// What was done, such as `created_campaign`.
        pub action: Option<String>,
        /// What it was done to.
        pub resource: Option<String>,
        /// Whatever else there is to say.
        pub metadata: Option<Map<String, Value>>,
    }

    /// The answer to a client's `ping`.
    pub struct Pong {
        /// The server's time, in milliseconds since 1970.
        pub timestamp: u64,
    }
}

super::choice! {
    /// How serious a notification is.
    pub enum NotificationType {
        /// Good to know.
        Info = "info",
        /// Better looked at.
        Warning = "warning",
        /// Something is wrong.
        Error = "error",
        /// Something went well.
        Success = "success",
    }
}
