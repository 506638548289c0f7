use switchboard_event::{Event, Position, TenantId};

use crate::{Change, Partition};

/// Events and key changes of one tenant that happen together or not at all.
///
/// Bounded by construction, so that every queue of batches is bounded too.
#[derive(Clone, Debug)]
pub struct Batch {
    partition: Partition,
    tenant: TenantId,
    events: Vec<Event>,
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// A batch for `partition`, which is `Partitions::of(&tenant)`, or any for everyone.
    ///
    /// Expectations of `changes` are compared with what was there before the batch; of several
    /// changes of one key, the last one stays.
    pub fn new(
        partition: Partition,
        tenant: TenantId,
        events: Vec<Event>,
        changes: Vec<Change>,
    ) -> Result<Self, InvalidBatch> {
        if events.len() > Self::EVENTS_MAX {
            let (count, count_max) = (events.len(), Self::EVENTS_MAX);
            return Err(InvalidBatch::TooManyEvents { count, count_max });
        }
        if changes.len() > Self::CHANGES_MAX {
            let (count, count_max) = (changes.len(), Self::CHANGES_MAX);
            return Err(InvalidBatch::TooManyChanges { count, count_max });
        }
        if let Some(index) = events.iter().position(|event| *event.tenant() != tenant) {
            return Err(InvalidBatch::OtherTenant { index });
        }
        let is_dangling = |change: &Change| change.event.is_some_and(|index| index >= events.len());
        if let Some(index) = changes.iter().position(is_dangling) {
            return Err(InvalidBatch::NoSuchEvent { index });
        }
        if tenant.is_everyone() && !changes.is_empty() {
            return Err(InvalidBatch::StateOfEveryone);
        }
        let bytes = events.iter().map(event_bytes).sum::<usize>()
            + changes.iter().map(change_bytes).sum::<usize>();
        if bytes > Self::BYTES_MAX {
            return Err(InvalidBatch::TooLong {
                len: bytes,
                len_max: Self::BYTES_MAX,
            });
        }
        Ok(Self {
            partition,
            tenant,
            events,
            changes,
            bytes,
        })
    }

    /// Where it goes.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Its events, in the order in which they get their offsets.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Its key changes.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What it takes up in a queue, in bytes; an estimate that counts payloads exactly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the batch apart, once it was decided about.
    pub fn into_contents(self) -> (Vec<Event>, Vec<Change>) {
        (self.events, self.changes)
    }

    /// The most events of one batch.
    pub const EVENTS_MAX: usize = 1_000;
    /// The most key changes of one batch: two per event.
    pub const CHANGES_MAX: usize = 2_000;
    /// The most bytes of one batch.
    pub const BYTES_MAX: usize = 16 * 1024 * 1024;
}

/// Why events and changes are no batch. Every variant is the caller's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidBatch {
    /// More than [`Batch::EVENTS_MAX`].
    #[error("batch has {count} events, the limit is {count_max}")]
    TooManyEvents {
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// More than [`Batch::CHANGES_MAX`].
    #[error("batch has {count} key changes, the limit is {count_max}")]
    TooManyChanges {
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// More than [`Batch::BYTES_MAX`].
    #[error("batch is {len} bytes, the limit is {len_max}")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        len_max: usize,
    },
    /// An event belongs to somebody else.
    #[error("event {index} is not of the batch's tenant")]
    OtherTenant {
        /// Which event.
        index: usize,
    },
    /// A change belongs to an event that the batch does not have.
    #[error("key change {index} belongs to no event of the batch")]
    NoSuchEvent {
        /// Which change.
        index: usize,
    },
    /// State belongs to one tenant; what is for everyone has events only.
    #[error("a batch for every tenant cannot change state")]
    StateOfEveryone,
}

/// Where an event of an appended batch is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// The event's place; that of its first append if it is a duplicate.
    pub position: Position,
    /// Whether the journal had this event already.
    pub duplicate: bool,
}

/// What an event takes up: what is stored of it, and a flat sum for the row and its indexes.
pub fn event_bytes(event: &Event) -> usize {
    let audience = event.audience();
    let rooms = audience.rooms.iter().chain(&audience.except);
    EVENT_OVERHEAD
        + event.id().as_str().len()
        + event.name().len()
        + event.data().len()
        + rooms
            .map(|room| ROOM_OVERHEAD + room.name().len())
            .sum::<usize>()
}

fn change_bytes(change: &Change) -> usize {
    CHANGE_OVERHEAD + change.key.as_str().len() + change.value.as_ref().map_or(0, bytes::Bytes::len)
}

const EVENT_OVERHEAD: usize = 160;
const ROOM_OVERHEAD: usize = 24;
const CHANGE_OVERHEAD: usize = 64;
