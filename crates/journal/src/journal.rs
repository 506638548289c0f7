use std::sync::Arc;

use async_trait::async_trait;
use switchboard_event::{Position, TenantId, Timestamp};

use crate::{
    AppendError, Appended, Batch, EraseError, Erased, Key, Page, Partition, Partitions, Query,
    ReadError, Record, Stats, TailError, TenantRoom, Value,
};

/// The log: the only way in, and the only way out.
///
/// Offsets of a partition start at 1 and are dense. What was answered stays, as long as the
/// retention lasts; `conformance` holds every implementation to what is said here.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// How many partitions there are. Never changes.
    fn partitions(&self) -> Partitions;

    /// Appends a batch, all of it or nothing, and returns once it is durable.
    ///
    /// Answers one [`Appended`] per event, in order. An event whose id the tenant has already
    /// used (in this partition, within the retention) is a duplicate: it keeps its first
    /// position and makes no record; with other content it is [`AppendError::IdReused`]. If the
    /// batch has events and all are duplicates, its changes are skipped, because they happened
    /// along with the events; so is each change that belongs to an event
    /// ([`Change::event`](crate::Change::event)) which is a duplicate.
    ///
    /// A caller that stops waiting does not undo the append: it has one outcome, which the same
    /// ids find again.
    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError>;

    /// Reads records by room, in order, each once.
    async fn read(&self, query: Query) -> Result<Page, ReadError>;

    /// The records of a partition that ask for a receipt until later than `since`, those first whose
    /// receipts end first; of more than [`AWAITING_MAX`], or
    /// more than [`Query::BYTES_MAX`] of payload, the others are left out.
    async fn awaiting(
        &self,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError>;

    /// The values of some keys as of one moment, in the order of `keys`, which are at most
    /// [`VALUES_MAX`]. What expired by `now` is absent.
    async fn values(
        &self,
        tenant: &TenantId,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, ReadError>;

    /// The position of the partition's last durable record; offset 0 while there is none.
    async fn head(&self, partition: Partition) -> Result<Position, ReadError>;

    /// Follows the partition from the record after `after` on.
    ///
    /// Mistakes, such as a position of another epoch, come out of the first [`Tail::next`].
    fn tail(&self, partition: Partition, after: Position) -> Box<dyn Tail>;

    /// Takes the payloads of all records to a room that were appended before the call, also of those
    /// that are for other rooms too, and the values beside the log that come from them or name the
    /// room (messages, receipts, what screens show; never a revocation).
    ///
    /// Each record becomes its [tombstone](switchboard_event::Event::tombstone): its position stays,
    /// reads skip it, tails return it, and a retry of its event is a duplicate. Once it is answered,
    /// nothing is served from memory, and the storage does not hold the bytes any more, as far as
    /// the implementation promises it. Erasing again is no mistake and takes what has come since.
    async fn erase(&self, _room: &TenantRoom) -> Result<Erased, EraseError> {
        Err(EraseError::Unsupported)
    }

    /// Whether appends work, as far as is known. Recovers by itself.
    fn health(&self) -> Health;

    /// What the journal has done and holds. Answered at once, from memory.
    fn stats(&self) -> Stats;

    /// Finishes what was queued, then refuses appends and reads; tails end once they have said
    /// what is in memory. Returns when that is so, also when called again.
    async fn close(&self);
}

/// Records of one partition in the order of their offsets, without a hole.
#[async_trait]
pub trait Tail: Send {
    /// Waits for the next records: at least one, at most [`TAIL_BATCH_MAX`].
    ///
    /// Only what is durable comes. Expired records and tombstones come too, to keep the offsets dense. Safe to
    /// cancel: what was not returned comes with the next call.
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, TailError>;
}

/// Whether a journal can append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// It can, as far as is known.
    Ready,
    /// The last attempt failed. The journal keeps trying by itself.
    Failing {
        /// What failed, without any payload.
        reason: String,
    },
}

/// The most records that a tail returns at once.
pub const TAIL_BATCH_MAX: usize = 256;
/// The most records of one [`Journal::awaiting`].
pub const AWAITING_MAX: usize = 4_096;
/// The most keys of one [`Journal::values`].
pub const VALUES_MAX: usize = 2_000;
