//! What was erased is not in the files any more, and what is kept for less time makes room.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Event, EventParts};
use switchboard_journal::{
    Batch, Change, DiskConfig, DiskJournal, Expect, Health, Journal, KindRetention, TenantRoom,
    tools,
};

use crate::disk::{acme, append, config, event, huge, key, now, partition, read, sized};

const SECRET: &str = "nobody-shall-know-this";

#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&DiskConfig {
        // Also what the ring has.
        recent_bytes: 1 << 20,
        ..config(directory.path())
    })
    .unwrap();
    for number in 0..200 {
        append(&journal, vec![of_other(number)], Vec::new())
            .await
            .unwrap();
        append(
            &journal,
            vec![of_person(number)],
            vec![about_person(number)],
        )
        .await
        .unwrap();
    }
    assert!(is_in_a_file(directory.path(), SECRET));

    let erased = journal.erase(&person()).await.unwrap();

    assert_eq!((erased.records, erased.values), (200, 200));
    assert!(!is_in_a_file(directory.path(), SECRET));
    assert_eq!(read(&journal, 0).await.len(), 200);
    let verdict = tools::verify(directory.path(), &mut |_| {}).unwrap();
    assert_eq!((verdict.findings, verdict.records), (Vec::new(), 400));
    // A retry brings nothing back.
    let again = append(&journal, vec![of_person(7)], Vec::new())
        .await
        .unwrap();
    assert!(again[0].duplicate);
    journal.close().await;
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    assert_eq!(read(&journal, 0).await.len(), 200);
    journal.close().await;
    assert!(!is_in_a_file(directory.path(), SECRET));
}

#[tokio::test]
async fn an_index_that_was_altered_leads_an_erasure_to_nobody_else_and_fails_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    for number in 0..3 {
        let events = vec![of_other(number), of_person(number)];
        append(&journal, events, Vec::new()).await.unwrap();
    }
    // The first entry of the person leads to nothing, and the second one to what another was told.
    let beside = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    for (seq, altered) in [(2, 99), (4, 3)] {
        let sql = "UPDATE room_record SET seq = ?2 WHERE seq = ?1";
        assert!(beside.execute(sql, [seq, altered]).unwrap() > 0);
    }
    drop(beside);

    let erased = journal.erase(&person()).await.unwrap();

    assert_eq!(erased.records, 1);
    assert_eq!(read(&journal, 0).await.len(), 3);
    assert_eq!(journal.health(), Health::Ready);
    journal.close().await;
}

#[tokio::test]
async fn what_retention_took_before_is_in_no_file_after_an_erasure() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&DiskConfig {
        retention_age: Duration::from_hours(1),
        ..config(directory.path())
    })
    .unwrap();
    for number in 0..40 {
        append(&journal, vec![of_person(number)], Vec::new())
            .await
            .unwrap();
    }
    for hours in [2, 3] {
        let later = now().checked_add(Duration::from_hours(hours)).unwrap();
        let batch = Batch::new(
            partition(),
            acme(),
            vec![event(&format!("{hours}"))],
            Vec::new(),
        );
        journal.append(batch.unwrap(), later).await.unwrap();
    }

    let erased = journal.erase(&person()).await.unwrap();

    assert_eq!(erased.records, 0);
    assert!(!is_in_a_file(directory.path(), SECRET));
    journal.close().await;
}

#[tokio::test]
async fn kinds_that_are_kept_for_less_time_make_the_file_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let rule = KindRetention {
        kind: "message:*".parse().unwrap(),
        age: Duration::from_hours(1),
    };
    let journal = DiskJournal::open(&DiskConfig {
        retention_events: vec![rule],
        ..config(directory.path())
    })
    .unwrap();
    for number in 0..600 {
        let event = Event::from_parts(EventParts {
            name: "message:received".into(),
            ..huge(&number.to_string()).into_parts()
        });
        append(&journal, vec![event], Vec::new()).await.unwrap();
    }
    append(&journal, vec![event("kept")], Vec::new())
        .await
        .unwrap();
    let (before, bytes) = (pages(directory.path()), journal.stats().bytes);

    // Each append lets the retention take a slice.
    for number in 0..200 {
        let later = now().checked_add(Duration::from_mins(61 + number)).unwrap();
        let batch = Batch::new(
            partition(),
            acme(),
            vec![event(&format!("l{number}"))],
            Vec::new(),
        );
        journal.append(batch.unwrap(), later).await.unwrap();
    }
    journal.close().await;

    let after = pages(directory.path());
    assert!(after < before / 3 * 2, "{before} pages became {after}");
    assert!(journal.stats().bytes < bytes / 5);
    let verdict = tools::verify(directory.path(), &mut |_| {}).unwrap();
    assert_eq!((verdict.findings, verdict.records), (Vec::new(), 801));
}

fn pages(directory: &Path) -> i64 {
    let file = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    file.pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap()
}

fn is_in_a_file(directory: &Path, text: &str) -> bool {
    let mut files = fs::read_dir(directory).unwrap();
    files.any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

fn person() -> TenantRoom {
    TenantRoom {
        tenant: acme(),
        room: "contact:42".parse().unwrap(),
    }
}

/// Small ones and ones that need pages of their own; the id tells something too.
fn of_person(number: u64) -> Event {
    let filler = "x".repeat(if number.is_multiple_of(9) { 9_000 } else { 40 });
    let parts = sized(&format!("{SECRET}-{number}"), 0).into_parts();
    Event::from_parts(EventParts {
        data: Bytes::from(format!(r#"{{"text":"{SECRET} {filler}"}}"#)),
        audience: switchboard_event::Audience {
            rooms: vec!["contact:42".parse().unwrap(), "whatsapp:5".parse().unwrap()],
            except: Vec::new(),
        },
        ..parts
    })
}

fn about_person(number: u64) -> Change {
    let value = format!(r#"{{"rooms":["whatsapp:5","contact:42"],"told":"{SECRET}"}}"#);
    Change {
        key: key(&format!("message:{SECRET}-{number}")),
        expect: Expect::Anything,
        value: Some(Bytes::from(value)),
        expires_at: None,
        event: None,
    }
}

fn of_other(number: u64) -> Event {
    sized(&format!("other-{number}"), 200)
}
