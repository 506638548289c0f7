//! The journal: what happened, in order, what is so now, and who may come back to it.
//!
//! # Layout
//!
//! - [`journal`](Journal): the port and its promises; [`Tail`], [`Health`], [`Stats`].
//! - [`sessions`](Sessions): the port for what clients come back to.
//! - [`leases`](Leases): the port for what ends when its holder dies.
//! - [`fleeting`](Fleeting): the port for what is so for a moment, never stored.
//! - `partition`, `batch`, `state`, `query`, `session`, `lease`, `kind`, `error`: the words of the ports.
//! - `erasure`: what goes along with a record whose payload is to be gone.
//! - `decide`: whether a batch may happen, and as what; one place for every journal.
//! - `ring`, `tail`, `page`: the newest records in memory, and how they are followed and read.
//! - [`implement`]: the parts of these that journals in other crates are made from.
//! - `exchange`: fleeting events within one process.
//! - [`memory`], [`disk`]: the journals of one process; [`tools`]: what an operator does to one on disk.
//! - `conformance` (a feature): the suite that every journal passes.

mod batch;
#[cfg(feature = "conformance")]
pub mod conformance;
mod decide;
pub mod disk;
mod erasure;
mod error;
mod exchange;
mod fleeting;
pub mod implement;
mod journal;
mod kind;
mod lease;
mod leases;
pub mod memory;
mod page;
mod partition;
mod query;
mod ring;
mod session;
mod sessions;
mod state;
mod stats;
mod tail;

pub use batch::{Appended, Batch, InvalidBatch};
pub use disk::{DiskConfig, DiskJournal, OpenError, tools};
pub use erasure::Erased;
pub use error::{AppendError, EraseError, LeaseError, ReadError, SessionError, TailError};
pub use fleeting::{FLEETING_QUEUE_MAX, Fleeting, Heard, Listener};
pub use journal::{AWAITING_MAX, Health, Journal, TAIL_BATCH_MAX, Tail, VALUES_MAX};
pub use kind::{EventKind, InvalidEventKind, KindRetention};
pub use lease::{Holder, Lease, LeaseCursor, LeaseName};
pub use leases::{LEASES_MAX, Leases};
pub use memory::{MemoryConfig, MemoryJournal};
pub use partition::{Partition, Partitions};
pub use query::{Page, Query, Record, TenantRoom};
pub use session::{Claimed, Generation, InvalidSessionKey, SessionKey, StoredRoom, StoredSession};
pub use sessions::Sessions;
pub use state::{Change, Expect, InvalidKey, Key, Value, Version};
pub use stats::Stats;
