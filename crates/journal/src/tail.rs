use std::sync::Arc;

use async_trait::async_trait;
use switchboard_event::Position;
use tokio::sync::watch;

use crate::disk::Readers;
use crate::ring::{Look, Reach, Ring};
use crate::{Partition, ReadError, Record, TAIL_BATCH_MAX, Tail, TailError};

/// Follows one partition: from the ring while it covers what comes next, else from the storage.
pub(crate) struct RingTail {
    partition: Partition,
    ring: Arc<Ring>,
    reach: watch::Receiver<Reach>,
    /// Where records are that the ring no longer has; `None` if nowhere.
    older: Option<Arc<Readers>>,
    /// The last record returned. Changes only where a batch is returned: that makes `next` safe
    /// to cancel.
    after: Position,
}

impl RingTail {
    pub(crate) fn new(
        partition: Partition,
        after: Position,
        ring: Arc<Ring>,
        older: Option<Arc<Readers>>,
    ) -> Self {
        let reach = ring.watch();
        Self {
            partition,
            ring,
            reach,
            older,
            after,
        }
    }
}

/// Where a tail is that was at `after` and returns `records`, which follow it without a hole.
pub fn advanced(after: Position, records: &[Arc<Record>]) -> Result<Position, TailError> {
    records.iter().try_fold(after, |after, record| {
        let (expected, found) = (after.offset.next(), record.position.offset);
        if found == expected {
            Ok(record.position)
        } else {
            Err(TailError::Hole { expected, found })
        }
    })
}

#[async_trait]
impl Tail for RingTail {
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, TailError> {
        loop {
            // Seen before looking: what is published after the look wakes the wait below.
            let reach = *self.reach.borrow_and_update();
            match self.ring.look(self.after, TAIL_BATCH_MAX)? {
                Look::Records(records) => {
                    self.after = advanced(self.after, &records)?;
                    return Ok(records);
                }
                Look::CaughtUp if reach.closed => return Err(ReadError::Closed.into()),
                Look::CaughtUp => {
                    if self.reach.changed().await.is_err() {
                        return Err(ReadError::Closed.into());
                    }
                }
                Look::Older(head) => {
                    let Some(older) = &self.older else {
                        let oldest = self.ring.extent().floor.next();
                        return Err(ReadError::Trimmed { oldest }.into());
                    };
                    // The storage may be further than what was published: no tail is.
                    let records = older.records(self.partition, self.after, head).await?;
                    self.after = advanced(self.after, &records)?;
                    return Ok(records);
                }
            }
        }
    }
}

/// The tail of a partition that does not exist.
pub(crate) struct NoTail(pub(crate) Partition);

#[async_trait]
impl Tail for NoTail {
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, TailError> {
        Err(ReadError::WrongPartition { partition: self.0 }.into())
    }
}
