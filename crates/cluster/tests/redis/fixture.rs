use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard_cluster::{RedisConfig, RedisJournal};
use switchboard_event::{Audience, Event, EventParts, Offset, Position, TenantId, Timestamp};
use switchboard_journal::conformance::{Setup, Subject};
use switchboard_journal::{AppendError, Appended, Batch, Journal, Partition, Record, Tail};

pub(crate) fn configured(config: RedisConfig, setup: &Setup) -> RedisConfig {
    RedisConfig {
        partitions: setup.partitions,
        retention_age: setup.retention_age,
        retention_bytes: setup.retention_bytes,
        recent_bytes: if setup.forgetful {
            0
        } else {
            config.recent_bytes
        },
        sessions_max: setup.sessions_max,
        // Tests are many and machines are few.
        connect_timeout: Duration::from_secs(10),
        command_timeout: Duration::from_secs(10),
        ..config
    }
}

pub(crate) async fn subject(config: RedisConfig) -> Subject {
    let journal = Arc::new(RedisJournal::open(config).await.unwrap());
    Subject {
        sessions: Arc::<RedisJournal>::clone(&journal),
        leases: Arc::<RedisJournal>::clone(&journal),
        fleeting: Arc::<RedisJournal>::clone(&journal),
        journal,
        guard: Box::new(()),
    }
}

/// A prefix that no other test of this process has.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn partition(journal: &dyn Journal) -> Partition {
    journal.partitions().of(&tenant())
}

pub(crate) fn event(id: &str) -> Event {
    let mut fingerprint = [0; 16];
    for (index, byte) in id.bytes().enumerate() {
        fingerprint[index % 16] ^= byte;
    }
    Event::from_parts(EventParts {
        id: id.parse().unwrap(),
        tenant: tenant(),
        at: now(),
        name: "contact:updated".into(),
        data: format!(r#"{{"id":"{id}"}}"#).into(),
        audience: Audience {
            rooms: vec!["contact:1".parse().unwrap()],
            except: Vec::new(),
        },
        expires_at: None,
        receipt_by: None,
        fingerprint,
    })
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_762_336_800_000)
}

pub(crate) async fn try_append(journal: &dyn Journal, id: &str) -> Result<Appended, AppendError> {
    let batch = Batch::new(partition(journal), tenant(), vec![event(id)], Vec::new()).unwrap();
    Ok(journal.append(batch, now()).await?[0])
}

/// Appends an event, as often as it takes.
pub(crate) async fn append(journal: &dyn Journal, id: &str) -> Appended {
    let mut outcome = try_append(journal, id).await;
    let deadline = tokio::time::Instant::now() + HANG;
    while let Err(AppendError::Unavailable { reason }) = &outcome {
        assert!(tokio::time::Instant::now() < deadline, "{reason}");
        tokio::time::sleep(POLL).await;
        outcome = try_append(journal, id).await;
    }
    outcome.unwrap()
}

pub(crate) async fn tail(journal: &dyn Journal, offset: u64) -> Box<dyn Tail> {
    let partition = partition(journal);
    let head = journal.head(partition).await.unwrap();
    let offset = Offset::new(offset);
    journal.tail(partition, Position { offset, ..head })
}

pub(crate) async fn take(tail: &mut dyn Tail, count: usize) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = tokio::time::timeout(HANG, tail.next()).await;
        records.extend(next.expect("a record within the time limit").unwrap());
    }
    records
}

pub(crate) fn ids(records: &[Arc<Record>]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record.event.id().as_str())
        .collect()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + HANG;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Only for what would otherwise hang for ever.
pub(crate) const HANG: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
