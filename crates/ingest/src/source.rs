//! What every webhook source makes of a body: drafts that belong together, and what it left out.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_event::{Draft, EventId, Id, MessageFact, MessageKey};

/// What a source made of one body. Pure: the same body at the same time makes the same.
#[derive(Debug, Default)]
pub struct Mapped {
    /// In the order of the body.
    pub items: Vec<Item>,
    /// The accounts that something came from: they are alive.
    pub heard: BTreeSet<Id>,
    /// How many parts of the body made no event, by reason.
    pub ignored: BTreeMap<Ignored, u64>,
}

impl Mapped {
    pub(crate) fn push(&mut self, item: Result<Item, Ignored>) {
        match item {
            Ok(item) => self.items.push(item),
            Err(reason) => self.ignore(reason, 1),
        }
    }

    pub(crate) fn ignore(&mut self, reason: Ignored, count: u64) {
        *self.ignored.entry(reason).or_default() += count;
    }
}

/// The drafts of one fact: appended together, or not at all.
#[derive(Debug)]
pub struct Item {
    /// The fact, for a source that tells it again.
    pub fact: Option<Fact>,
    /// What it makes.
    pub drafts: Vec<Draft>,
}

/// What a source tells of a message. It is remembered with the message, for longer than the records
/// that it makes: sources tell the same again for days.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Which message.
    pub message: MessageKey,
    /// Which fact about it: the same however often and with whatever else it is told.
    pub id: EventId,
    /// How far the message got, if that is what it tells: it makes events only if that is news.
    pub status: Option<MessageFact>,
}

impl From<Draft> for Item {
    fn from(draft: Draft) -> Self {
        Self {
            fact: None,
            drafts: vec![draft],
        }
    }
}

/// Why a part of a webhook's body made no event. A bounded set: it labels a counter.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// A call, or the status of one.
    Call,
    /// A correction of an earlier message.
    Edit,
    /// An error of the account that belongs to no message.
    Error,
    /// Not shaped like anything that the source documents.
    Malformed,
    /// An emoji put on, or taken off, an earlier message.
    Reaction,
    /// An earlier message taken back.
    Revoke,
    /// A notice about the contact, such as a new phone number.
    System,
    /// An account that the endpoint does not list.
    UnknownAccount,
    /// A kind of update that is not mapped.
    UnknownField,
    /// A message status that is not mapped.
    UnknownStatus,
}

impl Ignored {
    /// Every reason, in the order of the enumeration.
    pub const ALL: [Self; 10] = [
        Self::Call,
        Self::Edit,
        Self::Error,
        Self::Malformed,
        Self::Reaction,
        Self::Revoke,
        Self::System,
        Self::UnknownAccount,
        Self::UnknownField,
        Self::UnknownStatus,
    ];

    /// The reason as a label of a metric or of a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Edit => "edit",
            Self::Error => "error",
            Self::Malformed => "malformed",
            Self::Reaction => "reaction",
            Self::Revoke => "revoke",
            Self::System => "system",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownField => "unknown_field",
            Self::UnknownStatus => "unknown_status",
        }
    }
}
