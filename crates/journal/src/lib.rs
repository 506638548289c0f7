//! The journal: what happened, in order, what is so now, and who may come back to it.
//!
//! # Layout
//!
//! - [`journal`](Journal): the port and its promises; [`Tail`], [`Health`], [`Stats`].
//! - [`sessions`](Sessions): the port for what clients come back to.
//! - `partition`, `batch`, `state`, `query`, `session`, `error`: the words of the ports.
//! - `decide`: whether a batch may happen, and as what; one place for every journal.
//! - `ring`, `tail`, `page`: the newest records in memory, and how they are followed and read.
//! - [`memory`], [`disk`]: the journals of one process.
//! - `conformance` (a feature): the suite that every journal passes.

mod batch;
#[cfg(feature = "conformance")]
pub mod conformance;
mod decide;
pub mod disk;
mod error;
mod journal;
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
pub use disk::{DiskConfig, DiskJournal, OpenError};
pub use error::{AppendError, ReadError, SessionError, TailError};
pub use journal::{Health, Journal, TAIL_BATCH_MAX, Tail, VALUES_MAX};
pub use memory::{MemoryConfig, MemoryJournal};
pub use partition::{Partition, Partitions};
pub use query::{Page, Query, Record, TenantRoom};
pub use session::{Claimed, Generation, InvalidSessionKey, SessionKey, StoredRoom, StoredSession};
pub use sessions::Sessions;
pub use state::{Change, Expect, InvalidKey, Key, Value, Version};
pub use stats::Stats;
