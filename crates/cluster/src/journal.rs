use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use parking_lot::Mutex;
use switchboard_event::{Position, TenantId, Timestamp};
use switchboard_journal::{
    AppendError, Appended, Batch, Health, Journal, Key, Page, Partition, Partitions, Query,
    ReadError, Record, Stats, Tail, VALUES_MAX, Value,
};
use tokio::task::JoinSet;

use crate::core::{Core, ROOM_MAX};
use crate::dial::Dial;
use crate::error::{Failure, OpenError};
use crate::fleeting::Exchange;
use crate::router::Router;
use crate::shard::Feed;
use crate::tail::{NoTail, RedisTail};
use crate::{RedisConfig, check, feed, upkeep};

/// A journal on Redis, with the sessions, leases and fleeting events of all nodes that share it.
///
/// What is answered is as durable as Redis was configured to be; docs/journal.md says what that
/// means, and how a history that lost something is seen by everybody.
pub struct RedisJournal {
    pub(crate) core: Arc<Core>,
    pub(crate) exchange: Arc<Exchange>,
    /// Who follows partitions, keeps house and listens. Ends when it is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl RedisJournal {
    /// Connects to Redis, checks that it is fit for a journal, and finds or makes ours.
    pub async fn open(config: RedisConfig) -> Result<Self, OpenError> {
        let dial = Arc::new(Dial::new(&config)?);
        check::mode(&dial).await?;
        let router = Router::connect(Arc::clone(&dial)).await;
        let router = router.map_err(|failure| OpenError::Unreachable {
            reason: failure.reason(),
        })?;
        let core = Arc::new(Core::new(config, router));
        check::servers(&core, &dial).await?;
        core.found().await?;
        let exchange = Arc::new(Exchange::new(&core)?);
        let mut tasks = JoinSet::new();
        tasks.spawn(upkeep::probe(Arc::clone(&core)));
        tasks.spawn(upkeep::keep(Arc::clone(&core)));
        exchange.start(&core, &mut tasks);
        Ok(Self {
            core,
            exchange,
            tasks: Mutex::new(tasks),
        })
    }
}

#[async_trait]
impl Journal for RedisJournal {
    fn partitions(&self) -> Partitions {
        self.core.partitions
    }

    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        let (partition, tenant) = (batch.partition(), batch.tenant());
        if !self.core.partitions.allow(tenant, partition) {
            let tenant = tenant.clone();
            return Err(AppendError::WrongPartition { partition, tenant });
        }
        let room = self.core.room(batch.bytes())?;
        // A caller that goes away leaves the append to its one outcome.
        let append = tokio::spawn(Arc::clone(&self.core).append(batch, now, room));
        append.await.unwrap_or_else(|error| {
            let reason = error.to_string();
            Err(AppendError::Unavailable { reason })
        })
    }

    async fn read(&self, query: Query) -> Result<Page, ReadError> {
        let shard = self.core.shard(query.partition)?;
        self.core.page(shard, &query).await
    }

    async fn awaiting(
        &self,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let shard = self.core.shard(partition)?;
        self.core.awaiting(shard, since).await
    }

    async fn values(
        &self,
        tenant: &TenantId,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let (count, count_max) = (keys.len(), VALUES_MAX);
        if count > count_max {
            return Err(ReadError::TooMany { count, count_max });
        }
        let shard = self.core.shard(self.core.partitions.of(tenant))?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.core.values(shard, tenant, keys, now).await
    }

    async fn head(&self, partition: Partition) -> Result<Position, ReadError> {
        let shard = self.core.shard(partition)?;
        let meta = self.core.look(shard).await?;
        Ok(Position {
            epoch: meta.epoch,
            offset: meta.head,
        })
    }

    fn tail(&self, partition: Partition, after: Position) -> Box<dyn Tail> {
        let shard = self.core.shards.get(usize::from(partition.index()));
        let Some(shard) = shard else {
            return Box::new(NoTail(partition));
        };
        let mut is_followed = shard.is_followed.lock();
        if !*is_followed && !self.core.is_closed() {
            *is_followed = true;
            let following = feed::follow(Arc::clone(&self.core), Arc::clone(shard));
            self.tasks.lock().spawn(following);
        }
        drop(is_followed);
        let core = Arc::clone(&self.core);
        Box::new(RedisTail::new(core, Arc::clone(shard), after))
    }

    fn health(&self) -> Health {
        match self.core.router.trouble() {
            None => Health::Ready,
            Some(reason) => Health::Failing { reason },
        }
    }

    fn stats(&self) -> Stats {
        let sessions = self.core.sessions.iter();
        Stats {
            appended: self.core.appended.get(),
            bytes: self.core.shards.iter().map(|shard| shard.bytes()).sum(),
            sessions: sessions.map(|count| count.load(Ordering::Relaxed)).sum(),
            reads: self.core.reads.counts(),
            records_read: self.core.records_read.get(),
            commits: self.core.commits.snapshot(),
        }
    }

    async fn close(&self) {
        self.core.set_closed();
        self.exchange.close();
        let all = u32::try_from(ROOM_MAX).expect("16,384 is a number of permits");
        // What was begun is finished: each ends at the latest when Redis does not answer in time.
        if let Ok(all) = self.core.room.acquire_many(all).await {
            all.forget();
            self.core.room.close();
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        for shard in &self.core.shards {
            if *shard.is_followed.lock() && !is_over(shard) {
                let finished = feed::finish(&self.core, shard).await;
                if let Err(failure) = finished {
                    let reason = failure.reason();
                    tracing::warn!(partition = %shard.partition, %reason, "tails end early");
                }
            }
            match shard.ring() {
                Some(ring) => ring.close(),
                None => {
                    shard.feed.send_replace(Feed::Closed);
                }
            }
        }
        self.core.router.close();
    }
}

/// Whether tails have ended already.
fn is_over(shard: &crate::shard::Shard) -> bool {
    match &*shard.feed.borrow() {
        Feed::Waiting => false,
        Feed::Live(ring) => ring.is_closed(),
        Feed::Closed => true,
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Unreachable {
            reason: failure.reason(),
        }
    }
}

impl fmt::Debug for RedisJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisJournal")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
