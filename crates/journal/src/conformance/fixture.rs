use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Audience, Event, EventParts, Offset, Position, Room, TenantId, Timestamp};

use super::{Setup, Subject};
use crate::{
    AppendError, Appended, Batch, Change, Expect, Fleeting, Journal, Key, Leases, Page, Partition,
    Query, ReadError, Record, Sessions, Tail, TenantRoom, Value,
};

/// A journal under test, with the short words of the tests.
pub(super) struct Fixture {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) leases: Arc<dyn Leases>,
    pub(super) fleeting: Arc<dyn Fleeting>,
    _subject: Subject,
}

impl Fixture {
    pub(super) async fn open(open: impl AsyncFn(Setup) -> Subject) -> Self {
        Self::with(open, Setup::default()).await
    }

    /// All tenants share one partition.
    pub(super) async fn one_partition(open: impl AsyncFn(Setup) -> Subject) -> Self {
        let partitions = NonZeroU16::new(1).unwrap();
        Self::with(
            open,
            Setup {
                partitions,
                ..Setup::default()
            },
        )
        .await
    }

    pub(super) async fn with(open: impl AsyncFn(Setup) -> Subject, setup: Setup) -> Self {
        let subject = open(setup).await;
        Self {
            journal: Arc::clone(&subject.journal),
            sessions: Arc::clone(&subject.sessions),
            leases: Arc::clone(&subject.leases),
            fleeting: Arc::clone(&subject.fleeting),
            _subject: subject,
        }
    }

    pub(super) fn partition(&self, tenant: &TenantId) -> Partition {
        self.journal.partitions().of(tenant)
    }

    pub(super) fn batch(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        changes: Vec<Change>,
    ) -> Batch {
        Batch::new(self.partition(tenant), tenant.clone(), events, changes).unwrap()
    }

    pub(super) async fn try_append(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        changes: Vec<Change>,
    ) -> Result<Vec<Appended>, AppendError> {
        self.journal
            .append(self.batch(tenant, events, changes), now())
            .await
    }

    /// Appends events that must be new, and answers their offsets.
    pub(super) async fn append(&self, tenant: &TenantId, events: Vec<Event>) -> Vec<u64> {
        self.append_at(tenant, events, now()).await
    }

    pub(super) async fn append_at(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Vec<u64> {
        let batch = self.batch(tenant, events, Vec::new());
        let appended = self.journal.append(batch, now).await.unwrap();
        assert!(appended.iter().all(|each| !each.duplicate), "{appended:?}");
        offsets_of(&appended)
    }

    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        change: Change,
    ) -> Result<(), AppendError> {
        self.try_append(tenant, Vec::new(), vec![change])
            .await
            .map(|appended| {
                assert_eq!(appended, Vec::new());
            })
    }

    pub(super) async fn value(&self, tenant: &TenantId, key: &Key) -> Option<Value> {
        self.value_at(tenant, key, now()).await
    }

    pub(super) async fn value_at(
        &self,
        tenant: &TenantId,
        key: &Key,
        now: Timestamp,
    ) -> Option<Value> {
        let keys = std::slice::from_ref(key);
        let mut values = self.journal.values(tenant, keys, now).await.unwrap();
        assert_eq!(values.len(), 1);
        values.pop().unwrap()
    }

    pub(super) async fn head(&self, partition: Partition) -> Position {
        self.journal.head(partition).await.unwrap()
    }

    /// A position of this journal's history.
    pub(super) async fn at(&self, partition: Partition, offset: u64) -> Position {
        let epoch = self.head(partition).await.epoch;
        Position {
            epoch,
            offset: Offset::new(offset),
        }
    }

    /// A query for rooms of one tenant, from the beginning to the end.
    pub(super) async fn query(&self, tenant: &TenantId, rooms: &[&str]) -> Query {
        let partition = self.partition(tenant);
        Query {
            partition,
            rooms: rooms.iter().map(|room| tenant_room(tenant, room)).collect(),
            after: self.at(partition, 0).await,
            through: Offset::new(u64::MAX),
            limit: Query::RECORDS_MAX,
            bytes_max: Query::BYTES_MAX,
            now: now(),
        }
    }

    pub(super) async fn read(&self, query: Query) -> Page {
        self.journal.read(query).await.unwrap()
    }

    /// The offsets that are read from the beginning on.
    pub(super) async fn offsets(&self, tenant: &TenantId, rooms: &[&str]) -> Vec<u64> {
        self.all(self.query(tenant, rooms).await).await.unwrap()
    }

    /// The offsets of all pages of a query.
    pub(super) async fn all(&self, mut query: Query) -> Result<Vec<u64>, ReadError> {
        let mut offsets = Vec::new();
        loop {
            let page = self.journal.read(query.clone()).await?;
            offsets.extend(page.records.iter().map(|record| offset(record)));
            match page.next {
                Some(next) => query.after = next,
                None => return Ok(offsets),
            }
        }
    }

    /// A tail from the beginning of a tenant's partition.
    pub(super) async fn tail(&self, tenant: &TenantId) -> Box<dyn Tail> {
        let partition = self.partition(tenant);
        self.journal.tail(partition, self.at(partition, 0).await)
    }
}

/// The next `count` records of a tail.
pub(super) async fn take(tail: &mut dyn Tail, count: usize) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = tokio::time::timeout(HANG, tail.next()).await;
        records.extend(next.expect("a record within the time limit").unwrap());
    }
    assert_eq!(records.len(), count);
    records
}

pub(super) fn offset(record: &Record) -> u64 {
    record.position.offset.as_u64()
}

pub(super) fn offsets_of(appended: &[Appended]) -> Vec<u64> {
    appended
        .iter()
        .map(|each| each.position.offset.as_u64())
        .collect()
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(1_762_336_800_000)
}

pub(super) fn later(duration: Duration) -> Timestamp {
    now().checked_add(duration).unwrap()
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn tenant_room(tenant: &TenantId, room: &str) -> TenantRoom {
    TenantRoom {
        tenant: tenant.clone(),
        room: room.parse().unwrap(),
    }
}

pub(super) fn event(tenant: &TenantId, id: &str, rooms: &[&str]) -> Event {
    Event::from_parts(parts(tenant, id, rooms))
}

/// What [`event`] is made of; the fingerprint follows from the id.
pub(super) fn parts(tenant: &TenantId, id: &str, rooms: &[&str]) -> EventParts {
    let mut fingerprint = [0; 16];
    for (index, byte) in id.bytes().enumerate() {
        fingerprint[index % 16] ^= byte;
    }
    EventParts {
        id: id.parse().unwrap(),
        tenant: tenant.clone(),
        at: now(),
        name: "contact:updated".into(),
        data: Bytes::from(format!(r#"{{"id":"{id}"}}"#)),
        audience: Audience {
            rooms: parse(rooms),
            except: Vec::new(),
        },
        expires_at: None,
        receipt_by: None,
        fingerprint,
    }
}

/// The same id as [`event`], with other content.
pub(super) fn other_event(tenant: &TenantId, id: &str, rooms: &[&str]) -> Event {
    Event::from_parts(EventParts {
        fingerprint: [0xff; 16],
        ..parts(tenant, id, rooms)
    })
}

pub(super) fn parse(rooms: &[&str]) -> Vec<Room> {
    rooms.iter().map(|room| room.parse().unwrap()).collect()
}

pub(super) fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub(super) fn put(name: &str, expect: Expect, value: &str) -> Change {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    Change {
        key: key(name),
        expect,
        value,
        expires_at: None,
        event: None,
    }
}

pub(super) fn delete(name: &str, expect: Expect) -> Change {
    Change {
        key: key(name),
        expect,
        value: None,
        expires_at: None,
        event: None,
    }
}

/// Only for what would otherwise hang for ever.
pub(super) const HANG: Duration = Duration::from_secs(30);
