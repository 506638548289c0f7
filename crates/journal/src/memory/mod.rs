//! The journal in memory: every promise but durability.

mod bury;
mod leases;
mod sessions;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use switchboard_event::{
    Epoch, Event, EventId, FleetingEvent, Offset, Position, TenantId, Timestamp,
};

use crate::batch::event_bytes;
use crate::decide::{Facts, Known, Place, Plan, Refusal, decide};
use crate::exchange::Exchange;
use crate::ring::{Ring, RingLimits};
use crate::tail::{NoTail, RingTail};
use crate::{
    AWAITING_MAX, AppendError, Appended, Batch, Change, EraseError, Erased, Fleeting, Health,
    Journal, Key, KindRetention, Listener, Page, Partition, Partitions, Query, ReadError, Record,
    Stats, Tail, TenantRoom, VALUES_MAX, Value, Version,
};

use sessions::Table;

/// How a [`MemoryJournal`] is made.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// How many partitions. Default: 16.
    pub partitions: NonZeroU16,
    /// Names this history. The caller makes it random, so that positions of an earlier run are
    /// not mistaken for this one's.
    pub epoch: Epoch,
    /// How long records are kept. Default: 24 hours.
    pub retention_age: Duration,
    /// How many records are kept. Default: 100,000.
    pub retention_records: usize,
    /// How many bytes of records are kept, counted as the disk journal counts. Default: 256 MiB,
    /// all of it memory.
    pub retention_bytes: usize,
    /// Kinds of records that are kept for less time. Default: none.
    pub retention_events: Vec<KindRetention>,
    /// How many sessions are kept. Default: 100,000, each a few hundred bytes of memory.
    pub sessions_max: NonZeroU32,
}

impl MemoryConfig {
    /// The defaults, with this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            partitions: NonZeroU16::new(16).expect("16 is not 0"),
            epoch,
            retention_age: Duration::from_hours(24),
            retention_records: 100_000,
            retention_bytes: 256 * 1024 * 1024,
            retention_events: Vec::new(),
            sessions_max: NonZeroU32::new(100_000).expect("100,000 is not 0"),
        }
    }
}

/// A journal that forgets everything when its process ends.
///
/// Keeps every promise of [`Journal`], [`Sessions`](crate::Sessions) and [`Leases`](crate::Leases) but
/// durability. For tests and trials.
#[derive(Debug)]
pub struct MemoryJournal {
    config: MemoryConfig,
    partitions: Partitions,
    rings: Vec<Arc<Ring>>,
    state: Mutex<State>,
    sessions: Mutex<Table>,
    leases: Mutex<leases::Table>,
    exchange: Exchange,
}

/// What appends change. Held while their records are published, so that offsets come in order.
#[derive(Debug, Default)]
struct State {
    closed: bool,
    appended: u64,
    version: u64,
    known: HashMap<(Partition, TenantId, EventId), Known>,
    values: HashMap<(TenantId, Key), Value>,
    /// When values expire, to find them without a search.
    expiries: BTreeSet<(Timestamp, TenantId, Key)>,
    /// All records, oldest first, for the retention.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// How many records retention took.
    taken: u64,
    /// For each kind that is kept for less time: how many records were looked at, taken ones too.
    swept: Vec<u64>,
}

#[derive(Debug)]
struct Kept {
    partition: Partition,
    record: Arc<Record>,
    appended_at: Timestamp,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new(config: MemoryConfig) -> Self {
        let partitions = Partitions::new(config.partitions);
        // What is kept is decided over all partitions; a ring never forgets by itself.
        let limits = RingLimits {
            records_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let ring = |_| Arc::new(Ring::new(config.epoch, Offset::ZERO, Offset::ZERO, limits));
        let rings = partitions.all().map(ring).collect();
        Self {
            sessions: Mutex::new(Table::new(config.sessions_max)),
            leases: Mutex::default(),
            exchange: Exchange::new(partitions),
            config,
            partitions,
            rings,
            state: Mutex::default(),
        }
    }

    fn ring(&self, partition: Partition) -> Result<&Arc<Ring>, ReadError> {
        let ring = self.rings.get(usize::from(partition.index()));
        ring.ok_or(ReadError::WrongPartition { partition })
    }

    fn append_now(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        let (partition, tenant) = (batch.partition(), batch.tenant().clone());
        if !self.partitions.allow(&tenant, partition) {
            return Err(AppendError::WrongPartition { partition, tenant });
        }
        let ring = &self.rings[usize::from(partition.index())];
        let mut state = self.state.lock();
        if state.closed {
            return Err(AppendError::Closed);
        }
        state.expire(now);
        let extent = ring.extent();
        let plan = match decide(&batch, extent.head, now, &mut *state) {
            Ok(plan) => plan,
            Err(Refusal::Batch(error)) => return Err(error),
        };
        let (events, changes) = batch.into_contents();
        for change in changes {
            if plan.makes(&change) {
                state.change(&tenant, change);
            }
        }
        let Plan { places, .. } = plan;
        let mut records = Vec::new();
        let appended = places
            .iter()
            .zip(events)
            .map(|(place, event)| match *place {
                Place::Old(offset) => Appended {
                    position: extent.position(offset),
                    duplicate: true,
                },
                Place::New(offset) => {
                    let position = extent.position(offset);
                    records.push(state.keep(partition, position, event, now));
                    Appended {
                        position,
                        duplicate: false,
                    }
                }
            });
        let appended = appended.collect();
        state.appended += records.len() as u64;
        ring.publish(records);
        self.retain(&mut state, now);
        Ok(appended)
    }

    fn retain(&self, state: &mut State, now: Timestamp) {
        let MemoryConfig {
            retention_age,
            retention_records,
            retention_bytes,
            ..
        } = self.config;
        let is_old = |kept: &Kept| {
            kept.appended_at
                .checked_add(retention_age)
                .is_some_and(|end| end <= now)
        };
        self.sweep(state, now);
        while let Some(oldest) = state.kept.front() {
            let too_much =
                state.kept.len() > retention_records || state.kept_bytes > retention_bytes;
            if !too_much && !is_old(oldest) {
                return;
            }
            let (partition, floor) = (oldest.partition, oldest.record.position.offset);
            state.forget_oldest();
            self.rings[usize::from(partition.index())].trim(floor);
        }
    }
}

impl State {
    fn keep(
        &mut self,
        partition: Partition,
        position: Position,
        event: Event,
        appended_at: Timestamp,
    ) -> Arc<Record> {
        let known = Known {
            offset: position.offset,
            fingerprint: event.fingerprint(),
        };
        let id = (partition, event.tenant().clone(), event.id().clone());
        self.known.insert(id, known);
        self.kept_bytes += event_bytes(&event);
        let record = Arc::new(Record { position, event });
        self.kept.push_back(Kept {
            partition,
            record: Arc::clone(&record),
            appended_at,
        });
        record
    }

    fn forget_oldest(&mut self) {
        if let Some(Kept {
            partition, record, ..
        }) = self.kept.pop_front()
        {
            let event = &record.event;
            self.taken += 1;
            self.kept_bytes -= event_bytes(event);
            self.known
                .remove(&(partition, event.tenant().clone(), event.id().clone()));
        }
    }

    fn change(&mut self, tenant: &TenantId, change: Change) {
        let Change {
            key,
            value,
            expires_at,
            ..
        } = change;
        let place = (tenant.clone(), key);
        self.forget_value(&place);
        let Some(bytes) = value else {
            return;
        };
        self.version += 1;
        if let Some(end) = expires_at {
            self.expiries
                .insert((end, place.0.clone(), place.1.clone()));
        }
        self.values.insert(
            place,
            Value {
                bytes,
                version: Version::new(self.version),
                expires_at,
            },
        );
    }

    fn forget_value(&mut self, place: &(TenantId, Key)) {
        if let Some(Value {
            expires_at: Some(end),
            ..
        }) = self.values.remove(place)
        {
            self.expiries
                .remove(&(end, place.0.clone(), place.1.clone()));
        }
    }

    /// Forgets values whose time is over. They counted as absent already.
    fn expire(&mut self, now: Timestamp) {
        while self.expiries.first().is_some_and(|(end, ..)| *end <= now) {
            if let Some((_, tenant, key)) = self.expiries.pop_first() {
                self.values.remove(&(tenant, key));
            }
        }
    }

    fn value(&self, tenant: &TenantId, key: &Key, now: Timestamp) -> Option<&Value> {
        let value = self.values.get(&(tenant.clone(), key.clone()))?;
        value
            .expires_at
            .is_none_or(|end| end > now)
            .then_some(value)
    }
}

impl Facts for State {
    type Error = Infallible;

    fn known(
        &mut self,
        partition: Partition,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<Known>, Infallible> {
        Ok(self
            .known
            .get(&(partition, tenant.clone(), id.clone()))
            .copied())
    }

    fn version(
        &mut self,
        tenant: &TenantId,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Version>, Infallible> {
        Ok(self.value(tenant, key, now).map(|value| value.version))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn partitions(&self) -> Partitions {
        self.partitions
    }

    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        self.append_now(batch, now)
    }

    async fn read(&self, query: Query) -> Result<Page, ReadError> {
        let ring = self.ring(query.partition)?;
        if ring.is_closed() {
            return Err(ReadError::Closed);
        }
        match ring.read(&query).await? {
            Some(page) => Ok(page),
            // The ring has everything above the floor, so retention took it during the read.
            None => Err(ReadError::Trimmed {
                oldest: ring.extent().floor.next(),
            }),
        }
    }

    async fn awaiting(
        &self,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.ring(partition)?;
        let state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        let of_partition = state.kept.iter().filter(|kept| kept.partition == partition);
        let end = |record: &Record| record.event.receipt_by().filter(|end| *end > since);
        let mut awaiting: Vec<_> = of_partition
            .filter_map(|kept| Some((end(&kept.record)?, &kept.record)))
            .collect();
        awaiting.sort_by_key(|(end, record)| (*end, record.position.offset));
        let mut payload = 0;
        let fits = |(_, record): &(Timestamp, &Arc<Record>)| {
            let is_full = payload > Query::BYTES_MAX;
            payload += record.event.data().len();
            !is_full
        };
        let awaiting = awaiting.into_iter().take(AWAITING_MAX).take_while(fits);
        Ok(awaiting.map(|(_, record)| Arc::clone(record)).collect())
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
        let state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        Ok(keys
            .iter()
            .map(|key| state.value(tenant, key, now).cloned())
            .collect())
    }

    async fn head(&self, partition: Partition) -> Result<Position, ReadError> {
        let ring = self.ring(partition)?;
        if ring.is_closed() {
            return Err(ReadError::Closed);
        }
        let extent = ring.extent();
        Ok(extent.position(extent.head))
    }

    fn tail(&self, partition: Partition, after: Position) -> Box<dyn Tail> {
        match self.ring(partition) {
            Ok(ring) => Box::new(RingTail::new(partition, after, Arc::clone(ring), None)),
            Err(_) => Box::new(NoTail(partition)),
        }
    }

    async fn erase(&self, room: &TenantRoom) -> Result<Erased, EraseError> {
        self.erase_now(room)
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn stats(&self) -> Stats {
        let (appended, bytes) = {
            let state = self.state.lock();
            (state.appended, state.kept_bytes as u64)
        };
        Stats {
            appended,
            bytes,
            sessions: self.sessions.lock().len() as u64,
            ..Stats::default()
        }
    }

    async fn close(&self) {
        self.state.lock().closed = true;
        self.sessions.lock().close();
        self.leases.lock().close();
        self.exchange.close();
        for ring in &self.rings {
            ring.close();
        }
    }
}

impl Fleeting for MemoryJournal {
    fn send(&self, partition: Partition, event: Arc<FleetingEvent>) {
        self.exchange.send(partition, event);
    }

    fn listen(&self, partition: Partition) -> Box<dyn Listener> {
        self.exchange.listen(partition)
    }
}
