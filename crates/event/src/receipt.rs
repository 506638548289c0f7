//! Who got an event, where its producer asked to be told.
//!
//! A receipt is a value under a state key beside the event. It grows by what every node knows of its
//! own clients, in any order and however often, until it is closed; then it never changes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::Event;
use crate::id::{EventId, UserId};
use crate::payload::{EventReceipt, ReceiptCounts};
use crate::room::RoomKind;
use crate::time::{Timestamp, WireTime};

/// How long a receipt waits for those who hear its event: 1 s to 1 h, whole milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "Wish")]
pub struct ReceiptTimeout(Duration);

/// A time that no receipt waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("timeoutMs is {millis}, allowed are {} to {}", ReceiptTimeout::MIN.as_millis(), ReceiptTimeout::MAX.as_millis())]
pub struct InvalidReceiptTimeout {
    /// How long it was, in milliseconds.
    millis: u128,
}

/// A receipt's wish in a draft.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    timeout_ms: u64,
}

impl ReceiptTimeout {
    /// Waits that long.
    pub fn new(timeout: Duration) -> Result<Self, InvalidReceiptTimeout> {
        if (Self::MIN..=Self::MAX).contains(&timeout) {
            return Ok(Self(timeout));
        }
        Err(InvalidReceiptTimeout {
            millis: timeout.as_millis(),
        })
    }

    /// The time.
    pub fn as_duration(self) -> Duration {
        self.0
    }

    /// The shortest.
    pub const MIN: Duration = Duration::from_secs(1);
    /// The longest.
    pub const MAX: Duration = Duration::from_hours(1);
}

impl TryFrom<Wish> for ReceiptTimeout {
    type Error = InvalidReceiptTimeout;

    fn try_from(Wish { timeout_ms }: Wish) -> Result<Self, InvalidReceiptTimeout> {
        Self::new(Duration::from_millis(timeout_ms))
    }
}

/// The state key of an event's receipt, within its tenant: `receipt:{event id}`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ReceiptKey(String);

impl ReceiptKey {
    /// The key of the receipt of that event.
    pub fn new(event: &EventId) -> Self {
        Self(format!("receipt:{event}"))
    }

    /// The key as the journal takes it, 9 to 136 bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far an event got with one user. Only ever grows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// The audience names the user, who had no connection that could hear it.
    Offline,
    /// It was sent to at least one of the user's connections.
    Sent,
    /// At least one of the user's clients has answered it.
    Acknowledged,
}

impl Reached {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Sent => "sent",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// The value under a [`ReceiptKey`].
///
/// As bytes it is JSON with a version: fields that a newer version adds are ignored by an older
/// one, which a version that must not be misread prevents by its number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptState {
    version: u32,
    event: Box<str>,
    at: Timestamp,
    deadline: Timestamp,
    users: BTreeMap<UserId, Reached>,
    #[serde(default, skip_serializing_if = "is_false")]
    truncated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
}

/// Bytes that are no receipt, or one of a newer version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReceipt {
    /// They cannot be read.
    #[error("receipt cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version wrote them.
    #[error("receipt has version {version}, known is {VERSION}")]
    Version {
        /// Which one.
        version: u32,
    },
}

/// A receipt as it is told to producers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    /// The event.
    pub event_id: EventId,
    /// The event's name.
    pub event: Box<str>,
    /// `open`, or `closed`: nothing changes any more.
    pub state: &'static str,
    /// How far it got with each user.
    pub users: BTreeMap<UserId, Reached>,
    /// How many users there are of each kind.
    pub counts: ReceiptCounts,
    /// Whether there are users, and all of them have acknowledged.
    pub complete: bool,
    /// Whether there are more users than a receipt can hold, or a node had space for.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// Until when acknowledgements count.
    pub deadline: Timestamp,
    /// When it was closed; absent if nobody was there to do so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

impl ReceiptState {
    /// The receipt of an event that nobody was sent yet; none if its producer did not ask.
    ///
    /// Whom the audience names by `user:{id}` is offline so far.
    pub fn of(event: &Event) -> Option<Self> {
        let audience = event.audience();
        let named = audience.rooms.iter().filter(|room| {
            matches!(room.kind(), RoomKind::User) && !audience.except.contains(room)
        });
        let users = named.filter_map(|room| Some((room.id().parse().ok()?, Reached::Offline)));
        Some(Self {
            version: VERSION,
            event: event.name().into(),
            at: event.at(),
            deadline: event.receipt_by()?,
            users: users.collect(),
            truncated: false,
            closed_at: None,
        })
    }

    /// Takes in how far the event got with a user; whether that is news.
    ///
    /// What comes in twice or late changes nothing, and neither does anything once it is closed.
    pub fn reach(&mut self, user: &UserId, reached: Reached) -> bool {
        if self.is_closed() {
            return false;
        }
        if let Some(before) = self.users.get_mut(user) {
            let is_news = *before < reached;
            *before = reached.max(*before);
            return is_news;
        }
        if self.users.len() >= USERS_MAX {
            return self.truncate();
        }
        self.users.insert(user.clone(), reached);
        true
    }

    /// Takes in an answer that came to a node which did not send the event; whether that is news. It
    /// counts if another one did, and is else made up.
    pub fn confirm(&mut self, user: &UserId) -> bool {
        let is_sent = self.users.get(user) == Some(&Reached::Sent);
        is_sent && self.reach(user, Reached::Acknowledged)
    }

    /// Notes that there are more users than could be taken in; whether that is news.
    pub fn truncate(&mut self) -> bool {
        let is_news = !self.truncated && !self.is_closed();
        self.truncated |= is_news;
        is_news
    }

    /// Closes it, if it is time for that; whether it was closed now.
    ///
    /// It is time when everybody has acknowledged, and else at the deadline; in both cases
    /// [`RECEIPT_SETTLE`] later, so that all nodes have written down whom they know.
    pub fn close(&mut self, now: Timestamp) -> bool {
        let is_due = !self.is_closed()
            && (is_over(self.deadline, now) || (self.is_complete() && is_over(self.at, now)));
        if is_due {
            self.closed_at = Some(now);
        }
        is_due
    }

    /// Whether nothing changes any more.
    pub fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Whether there are users, and all of them have acknowledged.
    pub fn is_complete(&self) -> bool {
        let is_done = |reached: &Reached| *reached == Reached::Acknowledged;
        !self.truncated && !self.users.is_empty() && self.users.values().all(is_done)
    }

    /// Until when acknowledgements count.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// What a producer is told of it. A receipt whose time is over is closed, also if no node was
    /// there to close it.
    pub fn view(&self, event: EventId, now: Timestamp) -> ReceiptView {
        let is_closed = self.is_closed() || is_over(self.deadline, now);
        ReceiptView {
            event_id: event,
            event: self.event.clone(),
            state: if is_closed { "closed" } else { "open" },
            users: self.users.clone(),
            counts: self.counts(),
            complete: self.is_complete(),
            truncated: self.truncated,
            deadline: self.deadline,
            closed_at: self.closed_at,
        }
    }

    /// What the team is told when it is closed.
    pub fn payload(&self, event: &EventId) -> EventReceipt {
        let user = |(user, reached): (&UserId, &Reached)| {
            let reached = Value::from(reached.as_str());
            (user.as_str().to_owned(), reached)
        };
        EventReceipt {
            event_id: (event.as_str().parse()).expect("ids of events and others have one rule"),
            event: self.event.as_ref().into(),
            users: self.users.iter().map(user).collect::<Map<_, _>>(),
            counts: self.counts(),
            complete: self.is_complete(),
            truncated: self.truncated.then_some(true),
            timestamp: self.closed_at.map(WireTime::from),
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidReceipt> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(InvalidReceipt::Version { version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The receipt as the journal keeps it.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("text and numbers are always JSON")
            .into()
    }

    fn counts(&self) -> ReceiptCounts {
        let count = |which| self.users.values().filter(|one| **one == which).count() as u64;
        ReceiptCounts {
            sent: count(Reached::Sent),
            acknowledged: count(Reached::Acknowledged),
            offline: count(Reached::Offline),
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether what ended at `end` has settled.
fn is_over(end: Timestamp, now: Timestamp) -> bool {
    end.checked_add(RECEIPT_SETTLE)
        .is_some_and(|end| end <= now)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The most users of one receipt: some 150 KB, written again whenever it changes.
pub const USERS_MAX: usize = 5_000;

/// How long after an event, and after the deadline of its receipt, nodes have to write down whom
/// they know of.
pub const RECEIPT_SETTLE: Duration = Duration::from_secs(1);

const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
