use switchboard_event::{Epoch, EventId, Offset, TenantId};

use crate::{Key, Partition};

/// Why a batch was not appended. Nothing of it happened, except where noted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// The state is not what a change expected. Read it again and decide anew.
    #[error("a state key is not as expected")]
    Conflict {
        /// The first such key. Not in the message: keys do not belong in a log.
        key: Key,
    },
    /// The id of event `index` was used for an event with other content.
    #[error("event {index} has the id of another event")]
    IdReused {
        /// Which event of the batch.
        index: usize,
        /// Its id. Not in the message: ids of webhooks do not belong in a log.
        id: EventId,
    },
    /// The partition is not one of the tenant's: the caller's mistake.
    #[error("partition {partition} is not that of tenant {tenant}")]
    WrongPartition {
        /// Where it should have gone.
        partition: Partition,
        /// Whose batch it is.
        tenant: TenantId,
    },
    /// The storage failed, or a value that the batch expects something of is damaged. Nothing was
    /// promised, but after a crash the batch may turn out to have happened: try again with the
    /// same ids.
    #[error("journal unavailable: {reason}")]
    Unavailable {
        /// What failed, without any payload.
        reason: String,
    },
    /// Too much is waiting. Try again a little later.
    #[error("journal overloaded")]
    Overloaded,
    /// The journal was closed.
    #[error("journal closed")]
    Closed,
}

/// Why an erasure is not complete. What it took is gone; asked again, it goes on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EraseError {
    /// This journal cannot erase.
    #[error("this journal cannot erase")]
    Unsupported,
    /// The storage failed. Try again.
    #[error("erasure incomplete: {reason}")]
    Unavailable {
        /// What failed, without any payload.
        reason: String,
    },
    /// Too much is waiting. Try again a little later.
    #[error("journal overloaded")]
    Overloaded,
    /// The journal was closed.
    #[error("journal closed")]
    Closed,
}

/// Why something could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// Retention took what comes next: the reader has a gap and must start over.
    #[error("history begins at offset {oldest}")]
    Trimmed {
        /// The first offset that can still be read.
        oldest: Offset,
    },
    /// The position belongs to another history: the reader must start over.
    #[error("the journal is of epoch {epoch}")]
    OtherEpoch {
        /// The journal's own.
        epoch: Epoch,
    },
    /// The position lies beyond what was ever written.
    #[error("history ends at offset {head}")]
    Ahead {
        /// The last offset there is.
        head: Offset,
    },
    /// More rooms or keys than one read may name.
    #[error("{count} rooms or keys at once, the limit is {count_max}")]
    TooMany {
        /// How many there were.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// The journal has no such partition: the caller's mistake.
    #[error("partition {partition} does not exist")]
    WrongPartition {
        /// What was asked for.
        partition: Partition,
    },
    /// What is stored is not what was written. An operator must look.
    #[error("journal damaged: {reason}")]
    Damaged {
        /// Which record or table, without any payload.
        reason: String,
    },
    /// The storage failed. Try again later.
    #[error("journal unavailable: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// The journal was closed.
    #[error("journal closed")]
    Closed,
}

/// Why a session was not written or taken over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// A later connection of the same client owns it: this one has nothing more to say.
    #[error("a later connection owns the session")]
    Superseded,
    /// More rooms than [`StoredSession::ROOMS_MAX`](crate::StoredSession::ROOMS_MAX). Nothing
    /// was written.
    #[error("session has {count} rooms, the limit is {count_max}")]
    TooManyRooms {
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// What is stored is not what was written. An operator must look; the client starts over.
    #[error("session damaged: {reason}")]
    Damaged {
        /// What is wrong with it, without any payload.
        reason: String,
    },
    /// The storage failed. As with appends it may have happened nevertheless: try again.
    #[error("sessions unavailable: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// Too much is waiting. Try again a little later.
    #[error("sessions overloaded")]
    Overloaded,
    /// The store was closed.
    #[error("sessions closed")]
    Closed,
}

/// Why leases were not written or read. Nothing of the call happened, except where noted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeaseError {
    /// More than [`LEASES_MAX`](crate::LEASES_MAX) at once.
    #[error("{count} leases at once, the limit is {count_max}")]
    TooMany {
        /// How many there were.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// A value is longer than [`Lease::VALUE_LEN_MAX`](crate::Lease::VALUE_LEN_MAX).
    #[error("value of a lease is {len} bytes, the limit is {len_max}")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        len_max: usize,
    },
    /// The storage failed. As with appends it may have happened nevertheless: try again.
    #[error("leases unavailable: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// Too much is waiting. Try again a little later.
    #[error("leases overloaded")]
    Overloaded,
    /// The store was closed.
    #[error("leases closed")]
    Closed,
}

/// Why a tail has no more records.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TailError {
    /// Offsets are not dense. Going on would lose something in silence.
    #[error("offset {found} follows where {expected} should")]
    Hole {
        /// The offset that should have come.
        expected: Offset,
        /// The one that came.
        found: Offset,
    },
    /// Reading failed. After [`ReadError::Unavailable`] the tail may be asked again and goes on
    /// where it was; everything else is its end.
    #[error(transparent)]
    Read(#[from] ReadError),
}
