//! What all ports share: the way to Redis, and what is known of each partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use redis::{Cmd, Value};
use switchboard_event::{Epoch, Timestamp};
use switchboard_journal::{Partition, Partitions, ReadError};
use switchboard_metrics::{Counter, Histogram, Tally};
use tokio::sync::Semaphore;

use crate::RedisConfig;
use crate::error::{Failure, OpenError};
use crate::keys::Place;
use crate::reply::{self, Answer, Meta, epoch_text};
use crate::router::Router;
use crate::script::{FOUND, MAKE, Script};
use crate::shard::{Shard, random};

/// Everything of a journal on Redis but its tasks, which hold it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: RedisConfig,
    pub(crate) router: Router,
    pub(crate) partitions: Partitions,
    pub(crate) shards: Vec<Arc<Shard>>,
    /// Where it says which journal this is.
    pub(crate) identity: Place,
    /// Room for what is on its way, in units of [`ROOM_UNIT`] bytes.
    pub(crate) room: Arc<Semaphore>,
    is_closed: AtomicBool,
    /// The latest time that anybody told.
    now: AtomicI64,
    /// How many bytes each partition may hold, so that all together hold what they may.
    pub(crate) level: AtomicU64,
    pub(crate) sessions: Vec<AtomicU64>,
    pub(crate) appended: Counter,
    pub(crate) commits: Histogram,
    /// What was read of Redis, and how many records that brought.
    pub(crate) reads: Tally,
    pub(crate) records_read: Counter,
}

impl Core {
    pub(crate) fn new(config: RedisConfig, router: Router) -> Self {
        let partitions = Partitions::new(config.partitions);
        let shard = |partition: Partition| {
            let place = Place::partition(&config.prefix, partition.index());
            Arc::new(Shard::new(partition, place))
        };
        Self {
            shards: partitions.all().map(shard).collect(),
            identity: Place::identity(&config.prefix),
            room: Arc::new(Semaphore::new(ROOM_MAX)),
            is_closed: AtomicBool::default(),
            now: AtomicI64::default(),
            level: AtomicU64::new(config.retention_bytes),
            sessions: partitions.all().map(|_| AtomicU64::default()).collect(),
            appended: Counter::default(),
            commits: Histogram::default(),
            reads: Tally::of(READS),
            records_read: Counter::default(),
            partitions,
            config,
            router,
        }
    }

    /// The partition's shard, if there is such a partition and we are open.
    pub(crate) fn shard(&self, partition: Partition) -> Result<&Arc<Shard>, ReadError> {
        let shard = self.shards.get(usize::from(partition.index()));
        let shard = shard.ok_or(ReadError::WrongPartition { partition })?;
        if self.is_closed() {
            return Err(ReadError::Closed);
        }
        Ok(shard)
    }

    /// Runs a script that proves what this process knows of the partition. One that has no history
    /// begins one first.
    pub(crate) async fn ask(
        &self,
        shard: &Shard,
        script: &Script,
        names: &[&str],
        fill: impl Fn(&mut Cmd),
    ) -> Result<(&'static str, Meta, Vec<Value>), Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let mut call = shard.call(script, names)?;
            fill(&mut call);
            let answer = self.router.run(&shard.place, script, &call).await?;
            if let Some(answer) = self.understand(shard, answer).await? {
                return Ok(answer);
            }
        }
        Err(Failure::Away("the partition keeps no history".to_owned()))
    }

    /// Reads an answer, and takes note of it; `None` if the call is to be made again.
    pub(crate) async fn understand(
        &self,
        shard: &Shard,
        answer: Value,
    ) -> Result<Option<(&'static str, Meta, Vec<Value>)>, Failure> {
        match reply::answer(answer)? {
            Answer::None => {
                self.begin(shard).await?;
                Ok(None)
            }
            Answer::Some(word, meta, rest) => {
                shard.observe(&meta);
                Ok(Some((word, meta, rest)))
            }
        }
    }

    /// Finds the journal, or makes it, with all of its partitions.
    pub(crate) async fn found(&self) -> Result<(), OpenError> {
        let unreachable = |failure: Failure| OpenError::Unreachable {
            reason: failure.reason(),
        };
        let Identity {
            epoch,
            partitions,
            format,
            is_made,
        } = self.identity().await.map_err(unreachable)?;
        if format != FORMAT {
            return Err(OpenError::Format { format });
        }
        let expected = self.partitions.count().get();
        if partitions != expected {
            let found = partitions;
            return Err(OpenError::Partitions { found, expected });
        }
        for shard in &self.shards {
            let begun = self.make(shard, epoch, is_made).await;
            let found = begun.map_err(unreachable)?;
            if found != expected {
                return Err(OpenError::Partitions { found, expected });
            }
        }
        self.set_made().await.map_err(unreachable)
    }

    /// Begins a history where there is none. While the journal is being made, all partitions share
    /// its epoch; a partition that lost everything later gets one of its own.
    async fn begin(&self, shard: &Shard) -> Result<(), Failure> {
        let Identity { epoch, is_made, .. } = self.identity().await?;
        if !is_made {
            // The whole server lost its memory: everything is made anew.
            for shard in &self.shards {
                self.make(shard, epoch, false).await?;
            }
            return self.set_made().await;
        }
        self.make(shard, epoch, true).await.map(|_| ())
    }

    async fn identity(&self) -> Result<Identity, Failure> {
        let mut call = FOUND.call(&[self.identity.key("journal")]);
        call.arg(epoch_text(Epoch::new(random()?)))
            .arg(self.partitions.count().get())
            .arg(FORMAT);
        let answer = self.router.run(&self.identity, &FOUND, &call).await?;
        Identity::parse(answer).ok_or_else(|| Failure::strange("who it is"))
    }

    async fn set_made(&self) -> Result<(), Failure> {
        let mut set = redis::cmd("HSET");
        set.arg(self.identity.key("journal")).arg("made").arg("yes");
        self.router.send(&self.identity, &set).await.map(|_| ())
    }

    /// Makes a partition unless it is there, and answers how many it says that there are.
    async fn make(&self, shard: &Shard, epoch: Epoch, is_made: bool) -> Result<u16, Failure> {
        let epoch = if is_made {
            Epoch::new(random()?)
        } else {
            epoch
        };
        let names = ["meta", "log", "ids", "rooms", "await"];
        let keys: Vec<String> = names.iter().map(|name| shard.place.key(name)).collect();
        let mut call = MAKE.call(&keys);
        call.arg(epoch_text(epoch))
            .arg(self.partitions.count().get())
            .arg(&random()?.to_be_bytes()[..]);
        let answer = self.router.run(&shard.place, &MAKE, &call).await?;
        let parse = || {
            let found = reply::list(answer)?;
            u16::try_from(reply::number(found.get(1)?)?).ok()
        };
        parse().ok_or_else(|| Failure::strange("a new partition"))
    }

    /// Takes note of the time that a caller tells.
    pub(crate) fn tell(&self, now: Timestamp) {
        self.now.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// The latest time that anybody told; 0 before.
    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Records that were appended then or earlier are old at `now`.
    pub(crate) fn old(&self, now: i64) -> i64 {
        let age = i64::try_from(self.config.retention_age.as_millis()).unwrap_or(i64::MAX);
        now.saturating_sub(age)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn set_closed(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Refuses once we are closed.
    pub(crate) fn open(&self) -> Result<(), Failure> {
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        Ok(())
    }
}

/// Which journal this is.
struct Identity {
    epoch: Epoch,
    partitions: u16,
    format: String,
    /// Whether all of its partitions were made once.
    is_made: bool,
}

impl Identity {
    fn parse(answer: Value) -> Option<Self> {
        let [epoch, partitions, format, made] = reply::list(answer)?.try_into().ok()?;
        let epoch = u64::from_str_radix(&reply::text(&epoch)?, 16).ok()?;
        Some(Self {
            epoch: Epoch::new(epoch),
            partitions: reply::number(&partitions)?.try_into().ok()?,
            format: reply::text(&format)?,
            is_made: reply::text(&made)? == "yes",
        })
    }
}

/// What an append takes of the room at least; so there are at most 16,384.
pub(crate) const ROOM_UNIT: usize = 4_096;
/// How much may be on its way to Redis: 64 MiB.
pub(crate) const ROOM_MAX: usize = 16_384;
const READS: [&str; 6] = ["page", "recent", "tail", "values", "receipts", "leases"];
const FORMAT: &str = "1";
const ATTEMPTS_MAX: usize = 3;
