//! The time. Everything else takes it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use switchboard_event::Timestamp;

/// The time now, in UTC. A clock before 1970 reads as 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
