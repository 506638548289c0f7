use std::sync::Arc;

use async_trait::async_trait;
use switchboard_event::Position;
use switchboard_journal::implement::{Look, Ring, advanced};
use switchboard_journal::{Partition, ReadError, Record, TAIL_BATCH_MAX, Tail, TailError};
use tokio::sync::watch;

use crate::core::Core;
use crate::shard::{Feed, Shard};

/// Follows one partition: from memory while it covers what comes next, else from Redis.
pub(crate) struct RedisTail {
    core: Arc<Core>,
    shard: Arc<Shard>,
    feed: watch::Receiver<Feed>,
    /// The last record returned. Changes only where a batch is returned: that makes `next` safe
    /// to cancel.
    after: Position,
}

impl RedisTail {
    pub(crate) fn new(core: Arc<Core>, shard: Arc<Shard>, after: Position) -> Self {
        let feed = shard.feed.subscribe();
        Self {
            core,
            shard,
            feed,
            after,
        }
    }

    /// The newest records, once they are followed.
    async fn ring(&mut self) -> Result<Arc<Ring>, ReadError> {
        let feed = self
            .feed
            .wait_for(|feed| !matches!(feed, Feed::Waiting))
            .await;
        match feed.as_deref() {
            Ok(Feed::Live(ring)) => Ok(Arc::clone(ring)),
            _ => Err(ReadError::Closed),
        }
    }

    /// What the newest records have to say about what comes next.
    async fn look(&self, ring: &Ring) -> Result<Look, ReadError> {
        match ring.look(self.after, TAIL_BATCH_MAX) {
            // Who asked Redis for the head knows it before it was followed up to there.
            Err(ahead @ ReadError::Ahead { .. }) => {
                let meta = self.core.look(&self.shard).await?;
                let head = ring.extent().position(meta.head);
                let is_there = meta.epoch == head.epoch && self.after.offset <= head.offset;
                if is_there {
                    Ok(Look::CaughtUp)
                } else {
                    Err(ahead)
                }
            }
            other => other,
        }
    }
}

#[async_trait]
impl Tail for RedisTail {
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, TailError> {
        loop {
            let ring = self.ring().await?;
            let mut reach = ring.watch();
            // Seen before looking: what is published after the look wakes the wait below.
            let is_closed = reach.borrow_and_update().closed;
            match self.look(&ring).await? {
                Look::Records(records) => {
                    self.after = advanced(self.after, &records)?;
                    return Ok(records);
                }
                Look::CaughtUp if is_closed => return Err(ReadError::Closed.into()),
                Look::CaughtUp => tokio::select! {
                    _ = reach.changed() => {}
                    // Another history has begun, or none is followed any more.
                    _ = self.feed.changed() => {}
                },
                Look::Older(head) => {
                    if self.core.is_closed() {
                        return Err(ReadError::Closed.into());
                    }
                    let records = self.core.records(&self.shard, self.after, head).await?;
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
