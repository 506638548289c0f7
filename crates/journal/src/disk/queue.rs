//! What waits for the writer: one bounded queue for everything that is written.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use switchboard_event::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::disk::StorageError;
use crate::disk::scrub::Scrubbed;
use crate::disk::session::Table;
use crate::{AppendError, Appended, Batch, EraseError, SessionError};

/// The callers' end. Never waits: what does not fit is refused.
#[derive(Debug)]
pub(super) struct Queue {
    /// `None` once closed: without a sender the writer ends when it has finished what is queued.
    sender: Mutex<Option<SyncSender<Job>>>,
    /// What the jobs may take up together.
    bytes: Arc<Semaphore>,
}

/// One thing to be written. Boxed, so that an empty queue is small.
pub(super) enum Job {
    Append(Box<Append>),
    Session(Box<dyn SessionJob>),
    /// Gets bytes of what was deleted out of the file, after what is written along with it.
    Scrub {
        /// How many unused pages are left to be given back; `None`: all there are.
        pages: Option<u64>,
        answer: oneshot::Sender<Result<Scrubbed, String>>,
    },
}

/// A batch on its way to the writer.
pub(super) struct Append {
    pub(super) batch: Batch,
    pub(super) now: Timestamp,
    pub(super) answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
    /// What the batch takes up of the queue's bytes, until it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// A write to the tables beside the log on its way to the writer, whatever it answers.
pub(super) trait SessionJob: Send {
    /// What it takes up in a queue, and about what it writes.
    fn bytes(&self) -> usize;
    /// The time, if the caller told it.
    fn now(&self) -> Option<Timestamp>;
    /// Whether it is answered only once it is on the disk.
    fn is_durable(&self) -> bool {
        true
    }
    /// Does it, inside of the group's transaction, and keeps the answer. An error is the whole
    /// group's.
    fn write(&mut self, table: &mut Table<'_>) -> Result<(), StorageError>;
    /// Answers once the group was committed, or says why it was not.
    fn answer(self: Box<Self>, committed: Result<(), &str>);
}

/// Why nothing was queued.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    Overloaded,
    Closed,
    /// The writer's thread is gone, which is not supposed to happen.
    Ended,
}

impl Queue {
    pub(super) fn new() -> (Self, Receiver<Job>) {
        let (sender, receiver) = sync_channel(QUEUE_JOBS_MAX);
        let queue = Self {
            sender: Mutex::new(Some(sender)),
            bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
        };
        (queue, receiver)
    }

    /// Room for so many bytes, until it is dropped.
    pub(super) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let bytes = u32::try_from(bytes).map_err(|_| Refused::Overloaded)?;
        let room = Arc::clone(&self.bytes).try_acquire_many_owned(bytes);
        room.map_err(|_| Refused::Overloaded)
    }

    pub(super) fn put(&self, job: Job) -> Result<(), Refused> {
        let sender = self.sender.lock();
        let Some(sender) = &*sender else {
            return Err(Refused::Closed);
        };
        sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Overloaded,
            TrySendError::Disconnected(_) => Refused::Ended,
        })
    }

    pub(super) fn close(&self) {
        self.sender.lock().take();
    }
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::Overloaded,
            Refused::Closed => Self::Closed,
            Refused::Ended => Self::Unavailable {
                reason: WRITER_ENDED.to_owned(),
            },
        }
    }
}

impl From<Refused> for EraseError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::Overloaded,
            Refused::Closed => Self::Closed,
            Refused::Ended => Self::Unavailable {
                reason: WRITER_ENDED.to_owned(),
            },
        }
    }
}

impl From<Refused> for SessionError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::Overloaded,
            Refused::Closed => Self::Closed,
            Refused::Ended => Self::Unavailable {
                reason: WRITER_ENDED.to_owned(),
            },
        }
    }
}

pub(super) const WRITER_ENDED: &str = "the journal's writer has ended";
/// How many jobs may wait for the writer: as many clients as a node holds may come back at once.
const QUEUE_JOBS_MAX: usize = 16_384;
/// How many bytes they may take up together.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
