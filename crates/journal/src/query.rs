use std::sync::Arc;

use switchboard_event::{Event, Offset, Position, Room, TenantId, Timestamp};

use crate::Partition;

/// An event with its place in the journal. Never changes once it is durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// What happened.
    pub event: Event,
}

/// A room together with whose it is: nothing is looked up by a room's name alone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TenantRoom {
    /// Whose room; [`TenantId::everyone`] for the rooms of records for every tenant.
    pub tenant: TenantId,
    /// Which room.
    pub room: Room,
}

/// Asks for what a partition says to any of some rooms, within (`after`, `through`].
#[derive(Clone, Debug)]
pub struct Query {
    /// Where to look.
    pub partition: Partition,
    /// Whose records: those addressed to at least one of these. Name `team:*` of everyone here
    /// to hear it too. `except` is the caller's business: it is about who asks.
    pub rooms: Vec<TenantRoom>,
    /// What the caller already has; of another epoch, it is refused.
    pub after: Position,
    /// The last offset wanted, itself included. May lie beyond the head: then up to there.
    pub through: Offset,
    /// How many records at most; taken as within 1 and [`Query::RECORDS_MAX`].
    pub limit: usize,
    /// How many payload bytes at most, within [`Query::BYTES_MAX`]. One record always comes,
    /// whatever its size, so that a reader gets on.
    pub bytes_max: usize,
    /// Records that expired by then are skipped.
    pub now: Timestamp,
}

impl Query {
    /// The most rooms of one query.
    pub const ROOMS_MAX: usize = 10_000;
    /// The most records of one page.
    pub const RECORDS_MAX: usize = 1_000;
    /// The most payload bytes of one page.
    pub const BYTES_MAX: usize = 8 * 1024 * 1024;

    /// How many records a page of it has at most.
    pub fn records_max(&self) -> usize {
        self.limit.clamp(1, Self::RECORDS_MAX)
    }

    pub(crate) fn payload_max(&self) -> usize {
        self.bytes_max.min(Self::BYTES_MAX)
    }
}

/// The answer to a [`Query`]: records in order, each once.
#[derive(Clone, Debug)]
pub struct Page {
    /// What was found.
    pub records: Vec<Arc<Record>>,
    /// Ask again after this position, because a limit was reached. `None`: nothing more was
    /// there, up to `through` or the head, whichever is first.
    pub next: Option<Position>,
}
