//! Acks, refusals and their codes.

use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use switchboard_access::Unavailable;
use switchboard_engine::{AckId, SocketHandle};
use switchboard_event::binary::{self, BINARIES_MAX, Split};
use switchboard_event::{InvalidRoom, Position, Room};
use switchboard_hub::{Crowded, Denied};
use switchboard_journal::{ReadError, SessionError};

use crate::limits::Excess;
use crate::requests::Asked;
use crate::session::Ended;
use crate::snapshot::Snapshot;
use crate::unauthorized::Unauthorized;

/// Why a client's event had no effect. One function, [`code`](Self::code), turns it into what goes
/// over the wire.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such event")]
    UnknownEvent,
    #[error("argument {argument} is not {expected}")]
    Argument {
        argument: usize,
        expected: &'static str,
    },
    #[error("{0}")]
    Room(#[from] InvalidRoom),
    #[error("room {0:?} cannot be left")]
    AlwaysJoined(Box<str>),
    #[error("argument {argument} has no position in `after`")]
    Position { argument: usize },
    #[error("the session is not in room {:?}", .0.name())]
    NotSubscribed(Room),
    #[error("another replay of this session is under way")]
    Busy,
    #[error("no right to this room")]
    Denied(#[from] Denied),
    #[error("the room was taken from the user")]
    Taken(Room),
    #[error("{0}")]
    Token(#[from] Unauthorized),
    #[error("the token is of another user")]
    OtherUser,
    #[error("too much changed meanwhile")]
    Unsettled,
    #[error("{0}")]
    Ended(#[from] Ended),
    #[error("a session is in at most {rooms_max} rooms")]
    TooManyRooms { rooms_max: usize },
    #[error("a session types to and looks at no more than {} contacts at once", .0.count_max)]
    TooManyIndicators(#[from] Crowded),
    #[error("{0}")]
    History(#[from] ReadError),
    #[error("{0}")]
    Session(#[from] SessionError),
    #[error("{0}")]
    Limited(#[from] Excess),
    #[error("{0}")]
    Access(#[from] Unavailable),
}

/// The answer to a subscription.
#[derive(Debug, Serialize)]
pub(crate) struct Subscribed {
    ok: bool,
    room: Box<str>,
    position: String,
    /// What was asked for is longer than one answer: subscribe again after this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    snapshot: Snapshot,
}

/// The answer to a replay.
#[derive(Debug, Serialize)]
pub(crate) struct Replayed {
    ok: bool,
    /// Everything up to there was sent.
    position: String,
    /// There is more: ask again after this position, which is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Replayed {
    /// What was asked for was sent up to `next`, or up to `through` if that was all.
    pub(crate) fn new(through: Position, next: Option<Position>) -> Self {
        Self {
            ok: true,
            position: next.unwrap_or(through).to_string(),
            next: next.map(|position| position.to_string()),
        }
    }
}

impl Subscribed {
    pub(crate) fn new(
        room: &str,
        position: Position,
        next: Option<Position>,
        snapshot: Snapshot,
    ) -> Self {
        Self {
            ok: true,
            room: room.into(),
            position: position.to_string(),
            next: next.map(|position| position.to_string()),
            snapshot,
        }
    }
}

impl Subscribed {
    /// The same answer with what a screen must show at once.
    pub(crate) fn with(mut self, snapshot: serde_json::Map<String, serde_json::Value>) -> Self {
        let raw = |value| to_raw_value(&value).expect("JSON is JSON");
        let more = snapshot.into_iter();
        self.snapshot
            .extend(more.map(|(name, value)| (name, raw(value))));
        self
    }
}

impl Refused {
    /// The stable code, listed in docs/wire.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::Argument { .. } => "invalid_argument",
            Self::Room(_) | Self::AlwaysJoined(_) => "invalid_room",
            Self::Position { .. } => "position_malformed",
            Self::NotSubscribed(_) => "not_subscribed",
            Self::Busy => "busy",
            Self::Denied(_) | Self::Taken(_) => "forbidden",
            Self::Token(reason) => reason.code(),
            Self::OtherUser => "other_user",
            Self::TooManyRooms { .. } => "too_many_rooms",
            Self::TooManyIndicators(_) => "too_many_indicators",
            Self::History(error) => match error {
                ReadError::Trimmed { .. } => "position_too_old",
                ReadError::OtherEpoch { .. } => "position_other_epoch",
                ReadError::Ahead { .. } => "position_ahead",
                ReadError::TooMany { .. } | ReadError::WrongPartition { .. } => "invalid_argument",
                ReadError::Damaged { .. } | ReadError::Unavailable { .. } | ReadError::Closed => {
                    "unavailable"
                }
            },
            Self::Session(SessionError::Superseded) => "superseded",
            Self::Session(_) | Self::Access(_) | Self::Unsettled | Self::Ended(_) => "unavailable",
            Self::Limited(_) => "rate_limited",
        }
    }

    /// When trying again makes sense, if it does.
    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Limited(excess) => Some(excess.wait.millis()),
            Self::Access(Unavailable { retry_after }) => {
                Some(u64::try_from(retry_after.as_millis()).unwrap_or(RETRY_AFTER_MS))
            }
            _ => matches!(self.code(), "unavailable" | "busy").then_some(RETRY_AFTER_MS),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let message = match self {
            // What failed inside is for the log.
            Self::History(_) | Self::Session(_) | Self::Access(_) | Self::Unsettled
                if self.retry_after_ms().is_some() =>
            {
                "try again later".to_owned()
            }
            // Nor is how a token failed that says nothing.
            Self::Token(reason) => reason.message(),
            _ => self.to_string(),
        };
        let mut error = json!({ "code": self.code(), "message": message });
        if let Some(retry_after_ms) = self.retry_after_ms() {
            error["retryAfterMs"] = retry_after_ms.into();
        }
        error
    }
}

/// Answers `event`: by its ack, or else, if it was refused, by a `session:error`. The answer to a
/// request is remembered.
pub(crate) fn answer<T: Serialize>(
    handle: &SocketHandle,
    event: &str,
    asked: impl Into<Asked>,
    outcome: Result<T, Refused>,
) {
    let Asked { ack, request } = asked.into();
    let passes = matches!(&outcome, Err(refused) if refused.retry_after_ms().is_some());
    // What can be had later was not done, and is to be done when it is asked for again.
    let request = request.filter(|_| !passes);
    if ack.is_some() || request.is_some() {
        let text = match &outcome {
            Ok(value) => serde_json::to_string(value).expect("replies have text keys"),
            Err(refused) => json!({ "ok": false, "error": refused.to_json() }).to_string(),
        };
        if let Some(request) = request {
            request.answered(&text);
        }
        if let Some(ack) = ack {
            reply(handle, ack, &text);
            return;
        }
    }
    if let Err(refused) = outcome {
        let mut error = refused.to_json();
        error["event"] = excerpt(event).into();
        handle.emit("session:error", &[error.to_string().as_bytes()], Vec::new());
    }
}

/// Answers with JSON text. A snapshot holds payloads as they were published. If all of them together
/// have more binary values than a client takes, they stay as they are.
pub(crate) fn reply(handle: &SocketHandle, ack: AckId, text: &str) {
    let split = binary::split(text.as_bytes());
    match split.filter(|split| split.attachments.len() <= BINARIES_MAX) {
        Some(Split { data, attachments }) => handle.ack(ack, &[&data], attachments),
        None => handle.ack(ack, &[text.as_bytes()], Vec::new()),
    };
}

/// As much of a client's own word as it needs to recognise it.
fn excerpt(event: &str) -> &str {
    &event[..event.floor_char_boundary(EVENT_EXCERPT_LEN)]
}

const EVENT_EXCERPT_LEN: usize = 128;
/// How long a client waits before it asks again for what was unavailable.
const RETRY_AFTER_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_says_when_to_try_again_and_not_what_failed() {
        let refused = Refused::from(ReadError::Unavailable {
            reason: "disk I/O error".into(),
        });

        assert_eq!(
            refused.to_json(),
            json!({"code": "unavailable", "message": "try again later", "retryAfterMs": 1_000})
        );
    }

    #[test]
    fn a_room_outside_the_rights_is_forbidden_and_not_described() {
        let room = "contact:1".parse().unwrap();
        let refused = Refused::from(Denied::NotCovered(room));

        assert_eq!(
            refused.to_json(),
            json!({"code": "forbidden", "message": "no right to this room"})
        );
    }
}
