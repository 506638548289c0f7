//! The journal on one disk: SQLite, one writer thread, commits in groups.
//!
//! The exception in a pure crate: here are files, threads and elapsed time. docs/journal.md
//! tells the format and why it holds.

mod checkpoint;
mod counters;
mod erase;
mod error;
mod families;
mod flights;
mod insert;
mod kinds;
mod leases;
mod ledger;
mod mark;
mod merge;
mod place;
mod queue;
mod reader;
mod reserve;
mod retention;
mod row;
mod schema;
mod scrub;
mod session;
mod session_row;
mod sessions;
mod tombstone;
pub mod tools;
mod upgrade;
mod upkeep;
mod writer;

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use switchboard_event::{Epoch, FleetingEvent, Position, TenantId, Timestamp};
use tokio::sync::{oneshot, watch};
use tracing::warn;

use crate::exchange::Exchange;
use crate::ring::{Ring, RingLimits};
use crate::tail::{NoTail, RingTail};
use crate::{
    AppendError, Appended, Batch, EraseError, Erased, Fleeting, Health, Journal, Key,
    KindRetention, Listener, Page, Partition, Partitions, Query, ReadError, Record, Stats, Tail,
    TenantRoom, VALUES_MAX, Value,
};

use counters::Counters;
pub use error::OpenError;
use error::StorageError;
use families::{Families, Found};
use mark::Mark;
use place::Place;
use queue::{Append, Job, Queue, Refused, WRITER_ENDED};
pub(crate) use reader::Readers;
use writer::Writer;

/// Where a [`DiskJournal`] lies and what it keeps.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The directory. Made if missing, for the owner only.
    pub path: PathBuf,
    /// How many partitions. Default: 16. Fixed once the journal exists.
    pub partitions: NonZeroU16,
    /// How long records are kept. Default: 24 hours. More costs disk.
    pub retention_age: Duration,
    /// How many bytes of records are kept: what is stored of them, and a flat sum for row and
    /// indexes. Default: 1 GiB. The file is a little larger.
    pub retention_bytes: u64,
    /// Kinds of records whose payloads are kept for less time. Default: none. Each rule looks at
    /// every record once.
    pub retention_events: Vec<KindRetention>,
    /// A ceiling for the file, beyond which appends are refused as on a full disk. Default: none.
    pub size_max: Option<u64>,
    /// How many bytes of the disk are kept back, so that retention can make room when everything
    /// else is full. Default: 16 MiB. 0 for none: then a full disk needs an operator.
    pub reserve_bytes: u64,
    /// How many bytes of the newest records stay in memory, for all partitions together.
    /// Default: 64 MiB. More lets readers fall further behind before they read the disk.
    pub recent_bytes: usize,
    /// How many sessions are kept; beyond it the one that expires first goes. Default: 1,000,000.
    /// More costs disk: some 300 bytes each, and 25 for each room.
    pub sessions_max: NonZeroU32,
}

impl DiskConfig {
    /// The defaults, in this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            partitions: NonZeroU16::new(16).expect("16 is not 0"),
            retention_age: Duration::from_hours(24),
            retention_bytes: 1024 * 1024 * 1024,
            retention_events: Vec::new(),
            size_max: None,
            reserve_bytes: 16 * 1024 * 1024,
            recent_bytes: 64 * 1024 * 1024,
            sessions_max: NonZeroU32::new(1_000_000).expect("1,000,000 is not 0"),
        }
    }
}

/// A journal in a directory of this machine, with the sessions of its clients and the leases of its
/// process. What is written is answered once it is synced, but for leases.
pub struct DiskJournal {
    shared: Arc<Shared>,
    /// Where the writer thread takes its work from.
    queue: Queue,
    readers: Arc<Readers>,
    exchange: Exchange,
    /// Turns true, or loses its sender, when the writer thread has ended.
    ended: watch::Receiver<bool>,
}

/// What the writer thread and the callers both look at.
#[derive(Debug)]
struct Shared {
    partitions: Partitions,
    rings: Vec<Arc<Ring>>,
    health: Mutex<Health>,
    counters: Counters,
    families: Families,
}

impl Shared {
    fn ring(&self, partition: Partition) -> Result<&Arc<Ring>, ReadError> {
        let ring = self.rings.get(usize::from(partition.index()));
        ring.ok_or(ReadError::WrongPartition { partition })
    }
}

impl DiskJournal {
    /// Opens the journal, or makes an empty one, and starts its threads.
    ///
    /// Blocks on the disk; meant for the start of a program.
    pub fn open(config: &DiskConfig) -> Result<Self, OpenError> {
        let place = Place::take(&config.path)?;
        place.refuse_emptied()?;
        let partitions = Partitions::new(config.partitions);
        let fresh_epoch = fresh_epoch(config)?;
        let (mut connection, mut identity) =
            schema::open_writer(&place.file, partitions, fresh_epoch, config.size_max)?;
        let damaged = |error: StorageError| {
            let (path, reason) = (place.file.clone(), error.to_string());
            OpenError::Damaged { path, reason }
        };
        let ledger = ledger::Ledger::load(&connection).map_err(damaged)?;
        ledger.prove(&connection).map_err(damaged)?;
        let unmarked = |error| OpenError::io(&place.mark, &error);
        let (mut mark, noted) = Mark::open(&place.mark).map_err(unmarked)?;
        let reached = identity.reached(&ledger);
        if let Some(noted) = noted.filter(|noted| reached.lacks(*noted)) {
            // What was answered is gone, and its offsets will be given again.
            warn!(
                found = reached.commit,
                known = noted.commit,
                "journal lost history: new epoch"
            );
            identity = schema::renew_epoch(&mut connection, fresh_epoch)
                .map_err(|error| OpenError::sqlite(&place.file, &error))?;
        }
        mark.note(identity.reached(&ledger));
        let limits = RingLimits {
            records_max: RECENT_RECORDS_MAX,
            bytes_max: config.recent_bytes / usize::from(config.partitions.get()),
        };
        let ring = |partition| {
            let ledger::Extremes { floor, head } = ledger.partition(partition);
            Arc::new(Ring::new(identity.epoch, floor, head, limits))
        };
        let shared = Arc::new(Shared {
            partitions,
            rings: partitions.all().map(ring).collect(),
            health: Mutex::new(Health::Ready),
            counters: Counters::default(),
            families: Families::default(),
        });
        shared.counters.note(&ledger);
        let readers = Arc::new(Readers::new(place.file.clone(), identity.epoch));
        let (queue, ended) = Writer::start(
            connection,
            (identity, ledger, mark),
            Arc::clone(&shared),
            place,
            config,
        )?;
        Ok(Self {
            shared,
            queue,
            readers,
            exchange: Exchange::new(partitions),
            ended,
        })
    }
}

impl Fleeting for DiskJournal {
    fn send(&self, partition: Partition, event: Arc<FleetingEvent>) {
        self.exchange.send(partition, event);
    }

    fn listen(&self, partition: Partition) -> Box<dyn Listener> {
        self.exchange.listen(partition)
    }
}

#[async_trait]
impl Journal for DiskJournal {
    fn partitions(&self) -> Partitions {
        self.shared.partitions
    }

    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        if !self
            .shared
            .partitions
            .allow(batch.tenant(), batch.partition())
        {
            let (partition, tenant) = (batch.partition(), batch.tenant().clone());
            return Err(AppendError::WrongPartition { partition, tenant });
        }
        let room = self.queue.room(batch.bytes())?;
        let (answer, outcome) = oneshot::channel();
        self.queue.put(Job::Append(Box::new(Append {
            batch,
            now,
            answer,
            room,
        })))?;
        let ended = |_| Err(Refused::Ended.into());
        outcome.await.unwrap_or_else(ended)
    }

    async fn read(&self, mut query: Query) -> Result<Page, ReadError> {
        let ring = self.shared.ring(query.partition)?;
        if ring.is_closed() {
            return Err(ReadError::Closed);
        }
        // The file may be further than what was published: nobody reads on from there yet.
        query.through = query.through.min(ring.extent().head);
        if let Some(page) = ring.read(&query).await? {
            return Ok(page);
        }
        // After a start nothing is in memory: those who come back then bring it there once, and not
        // each of them its own page.
        let fetch = |wanted| self.readers.recent(query.partition, wanted);
        // What cannot be read of it concerns whoever asks for that.
        if ring.recall(fetch).await.is_ok()
            && let Some(page) = ring.read(&query).await?
        {
            return Ok(page);
        }
        self.readers.page(query, ring.burials()).await
    }

    async fn awaiting(
        &self,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.shared.ring(partition)?;
        self.readers.awaiting(partition, since).await
    }

    async fn values(
        &self,
        tenant: &TenantId,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        if keys.len() > VALUES_MAX {
            return Err(ReadError::TooMany {
                count: keys.len(),
                count_max: VALUES_MAX,
            });
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let loads = match self.shared.families.find(tenant, keys, now) {
            Found::Known(values) => return Ok(values),
            Found::Unknown(loads) => loads,
        };
        let (shared, tenant, keys) = (Arc::clone(&self.shared), tenant.clone(), keys.to_vec());
        let read = move |connection: &Connection| {
            let values = reader::values(connection, &tenant, &keys, now);
            for load in loads {
                let family = families::read(connection, &tenant, &load);
                shared.families.keep(&tenant, &load, family);
            }
            values
        };
        self.readers.run(reader::VALUES, read).await
    }

    async fn head(&self, partition: Partition) -> Result<Position, ReadError> {
        let ring = self.shared.ring(partition)?;
        if ring.is_closed() {
            return Err(ReadError::Closed);
        }
        let extent = ring.extent();
        Ok(extent.position(extent.head))
    }

    fn tail(&self, partition: Partition, after: Position) -> Box<dyn Tail> {
        match self.shared.ring(partition) {
            Ok(ring) => {
                let older = Some(Arc::clone(&self.readers));
                Box::new(RingTail::new(partition, after, Arc::clone(ring), older))
            }
            Err(_) => Box::new(NoTail(partition)),
        }
    }

    async fn erase(&self, room: &TenantRoom) -> Result<Erased, EraseError> {
        self.erase_room(room).await
    }

    fn health(&self) -> Health {
        if self.ended.has_changed().is_err() {
            return Health::Failing {
                reason: WRITER_ENDED.to_owned(),
            };
        }
        self.shared.health.lock().clone()
    }

    fn stats(&self) -> Stats {
        self.readers.count(self.shared.counters.stats())
    }

    async fn close(&self) {
        self.queue.close();
        self.exchange.close();
        self.shared.families.close();
        // Readers go first, so that the writer's connection is the last and tidies up the file.
        self.readers.close();
        let mut ended = self.ended.clone();
        // An error means that the thread is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
        for ring in &self.shared.rings {
            ring.close();
        }
    }
}

impl fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskJournal")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

fn fresh_epoch(config: &DiskConfig) -> Result<Epoch, OpenError> {
    let number = getrandom::u64().map_err(|error| {
        let (path, reason) = (config.path.clone(), error.to_string());
        OpenError::Unavailable { path, reason }
    })?;
    Ok(Epoch::new(number))
}

/// How many records of a partition stay in memory, if they are small.
const RECENT_RECORDS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use switchboard_event::{Audience, Event, EventParts, Offset};

    use super::*;
    use crate::Record;

    /// A commit comes a moment before its publication. Whoever hears of it in between asks for
    /// what follows, and is told that this lies beyond the end.
    #[tokio::test]
    async fn nobody_hears_of_what_is_committed_and_not_yet_published() {
        let directory = tempfile::tempdir().unwrap();
        let journal = DiskJournal::open(&DiskConfig::new(directory.path())).unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let partition = journal.partitions().of(&tenant);
        let events = ["a", "b", "c"].map(|id| event(&tenant, id));
        let batch = Batch::new(partition, tenant.clone(), events.into(), Vec::new()).unwrap();
        journal
            .append(batch, Timestamp::from_millis(0))
            .await
            .unwrap();
        let head = journal.head(partition).await.unwrap();
        let start = Position {
            offset: Offset::ZERO,
            ..head
        };
        // The third one is stored, and not published.
        let limits = RingLimits {
            records_max: 0,
            bytes_max: 0,
        };
        let ring = Arc::new(Ring::new(head.epoch, Offset::ZERO, Offset::new(2), limits));
        let older = Arc::clone(&journal.readers);
        let mut tail = RingTail::new(partition, start, Arc::clone(&ring), Some(older));
        let shared = Arc::new(Shared {
            partitions: journal.partitions(),
            rings: vec![Arc::clone(&ring); 16],
            health: Mutex::new(Health::Ready),
            counters: Counters::default(),
            families: Families::default(),
        });
        let reader = DiskJournal {
            shared,
            queue: Queue::new().0,
            readers: Arc::clone(&journal.readers),
            exchange: Exchange::new(journal.partitions()),
            ended: journal.ended.clone(),
        };
        let query = Query {
            partition,
            rooms: vec![TenantRoom {
                tenant,
                room: "contact:1".parse().unwrap(),
            }],
            after: start,
            through: Offset::new(u64::MAX),
            limit: Query::RECORDS_MAX,
            bytes_max: Query::BYTES_MAX,
            now: Timestamp::from_millis(0),
        };

        assert_eq!(offsets(&tail.next().await.unwrap()), [1, 2]);
        assert_eq!(
            offsets(&reader.read(query.clone()).await.unwrap().records),
            [1, 2]
        );
        ring.catch_up(Offset::ZERO, Offset::new(3));
        assert_eq!(offsets(&tail.next().await.unwrap()), [3]);
        assert_eq!(
            offsets(&reader.read(query).await.unwrap().records),
            [1, 2, 3]
        );
        journal.close().await;
    }

    fn offsets(records: &[Arc<Record>]) -> Vec<u64> {
        let offsets = records.iter().map(|record| record.position.offset.as_u64());
        offsets.collect()
    }

    fn event(tenant: &TenantId, id: &str) -> Event {
        Event::from_parts(EventParts {
            id: id.parse().unwrap(),
            tenant: tenant.clone(),
            at: Timestamp::from_millis(0),
            name: "contact:updated".into(),
            data: bytes::Bytes::new(),
            audience: Audience {
                rooms: vec!["contact:1".parse().unwrap()],
                except: Vec::new(),
            },
            expires_at: None,
            receipt_by: None,
            fingerprint: [0; 16],
        })
    }
}
