//! How much the disk is read for, counted and not timed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{Audience, Event, EventParts, Offset, Position};
use switchboard_journal::{DiskConfig, DiskJournal, Journal, Query, TenantRoom};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::disk::{acme, append, now, partition};

#[tokio::test]
async fn a_quiet_room_of_a_busy_journal_costs_what_it_said() {
    let (_directory, journal) = history(Memory::Nothing).await;

    let page = journal.read(query(&journal, &["contact:quiet"]).await);
    let page = page.await.unwrap();

    let stats = journal.stats();
    assert_eq!(page.records.len(), 3);
    assert_eq!((stats.reads["page"], stats.records_read), (1, 3));
    journal.close().await;
}

/// Each of them is in a room of its own too, so that no two ask for the same.
#[tokio::test]
async fn a_thousand_that_come_back_after_a_start_read_the_disk_once() {
    let (directory, journal) = history(Memory::Enough).await;
    journal.close().await;
    let journal = Arc::new(DiskJournal::open(&config(directory.path(), Memory::Enough)).unwrap());

    let mut reading = JoinSet::new();
    for user in 0..1_000 {
        let journal = Arc::clone(&journal);
        reading.spawn(async move {
            let own = format!("user:{user}");
            let query = query(&journal, &["contact:quiet", &own]).await;
            journal.read(query).await.unwrap().records.len()
        });
    }
    let counts = reading.join_all().await;

    assert_eq!(counts, [3; 1_000]);
    let reads = journal.stats().reads;
    assert_eq!((reads["recent"], reads["page"]), (1, 0));
    journal.close().await;
}

#[tokio::test]
async fn who_asks_for_the_same_old_page_at_once_reads_it_once() {
    let (_directory, journal) = history(Memory::Nothing).await;
    let journal = Arc::new(journal);
    let query = query(&journal, &["contact:busy"]).await;

    let mut reading = JoinSet::new();
    for _ in 0..100 {
        let (journal, query) = (Arc::clone(&journal), query.clone());
        reading.spawn(async move { journal.read(query).await.unwrap().records.len() });
    }
    let counts = reading.join_all().await;

    assert_eq!(counts, [1_000; 100]);
    assert_eq!(journal.stats().reads["page"], 1);
    journal.close().await;
}

#[tokio::test]
async fn what_is_in_memory_costs_no_disk() {
    let (_directory, journal) = history(Memory::Enough).await;

    let page = journal.read(query(&journal, &["contact:quiet", "contact:busy"]).await);

    assert_eq!(page.await.unwrap().records.len(), 1_000);
    assert!(journal.stats().reads.values().all(|reads| *reads == 0));
    journal.close().await;
}

/// How much of it the journal holds in memory.
#[derive(Clone, Copy)]
enum Memory {
    Nothing,
    Enough,
}

/// A journal in which one room said three things among two thousand of another one.
async fn history(memory: Memory) -> (TempDir, DiskJournal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path(), memory)).unwrap();
    for batch in 0..20 {
        let events = (0..100).map(|number| match (batch, number) {
            (0 | 9 | 19, 50) => event(batch, number, "contact:quiet"),
            _ => event(batch, number, "contact:busy"),
        });
        append(&journal, events.collect(), Vec::new())
            .await
            .unwrap();
    }
    (directory, journal)
}

fn config(path: &Path, memory: Memory) -> DiskConfig {
    DiskConfig {
        recent_bytes: match memory {
            Memory::Nothing => 0,
            Memory::Enough => 4 << 20,
        },
        ..crate::disk::config(path)
    }
}

fn event(batch: u64, number: u64, room: &str) -> Event {
    Event::from_parts(EventParts {
        id: format!("{batch}-{number}").parse().unwrap(),
        tenant: acme(),
        at: now(),
        name: "contact:updated".into(),
        data: Bytes::from_static(b"{}"),
        audience: Audience {
            rooms: vec![room.parse().unwrap()],
            except: Vec::new(),
        },
        expires_at: None,
        receipt_by: None,
        fingerprint: [0; 16],
    })
}

/// Everything that these rooms said.
async fn query(journal: &DiskJournal, rooms: &[&str]) -> Query {
    let head = journal.head(partition()).await.unwrap();
    let room = |name: &&str| TenantRoom {
        tenant: acme(),
        room: name.parse().unwrap(),
    };
    Query {
        partition: partition(),
        rooms: rooms.iter().map(room).collect(),
        after: Position {
            offset: Offset::ZERO,
            ..head
        },
        through: head.offset,
        limit: Query::RECORDS_MAX,
        bytes_max: Query::BYTES_MAX,
        now: now(),
    }
}
