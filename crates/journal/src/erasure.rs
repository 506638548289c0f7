use bytes::Bytes;
use switchboard_event::receipt::ReceiptKey;
use switchboard_event::{Event, Order, Room, snapshot};

use crate::KindRetention;

/// What an erasure took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Erased {
    /// Records whose payloads are gone. Their positions stay.
    pub records: u64,
    /// Values beside the log that named the room or came from those records.
    pub values: u64,
}

/// Where a room may be named beside the log.
///
/// Only in what tells of messages, receipts and what screens show: a revocation may name a room
/// too, and stays.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// How the key of a room's own value ends.
    ending: String,
    /// The room as a value names it, which is JSON.
    quoted: Vec<u8>,
}

impl Traces {
    pub(crate) fn of(room: &Room) -> Self {
        Self {
            ending: format!(":{}", room.name()),
            quoted: serde_json::to_vec(room.name()).expect("a string has a JSON text"),
        }
    }

    /// Whether this value is a trace of the room.
    pub(crate) fn are_in(&self, key: &str, value: &[u8]) -> bool {
        let may_be = Self::PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        let is_named = || {
            value
                .windows(self.quoted.len())
                .any(|part| part == self.quoted)
        };
        may_be && (key.ends_with(&self.ending) || is_named())
    }

    /// What the keys begin with that are looked at.
    pub(crate) const PREFIXES: [&str; 3] = ["message:", "receipt:", "snapshot:"];
}

/// A value beside the log that goes along with an event.
pub(crate) struct Companion {
    pub(crate) key: String,
    /// It goes only while it is this; `None`: whatever it is.
    pub(crate) value: Option<Bytes>,
}

/// The values that are an event's own: its receipt, and what screens show of it.
pub(crate) fn companions(event: &Event) -> Vec<Companion> {
    let shown = snapshot::changes(event).into_iter().filter_map(|change| {
        Some(Companion {
            key: change.key.as_str().to_owned(),
            value: Some(change.value?),
        })
    });
    let receipt = Companion {
        key: ReceiptKey::new(event.id()).as_str().to_owned(),
        value: None,
    };
    shown.chain([receipt]).collect()
}

/// Whether a rule for kinds is about this name. Orders end rights: they are kept as long as any.
pub(crate) fn is_of_kind(rule: &KindRetention, name: &str) -> bool {
    rule.kind.covers(name) && !Order::NAMES.contains(&name)
}
