//! The disk journal against the promises of all journals, and across restarts.

use std::fs;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Audience, Event, EventParts, Offset, Position, Room, TenantId, Timestamp};
use switchboard_journal::conformance::{Setup, Subject};
use switchboard_journal::{
    AppendError, Appended, Batch, Change, DiskConfig, DiskJournal, Expect, Journal, Key, Query,
    ReadError, TenantRoom,
};
use tempfile::TempDir;

async fn open(setup: Setup) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let mut config = DiskConfig {
        partitions: setup.partitions,
        reserve_bytes: 0,
        retention_age: setup.retention_age,
        retention_bytes: setup.retention_bytes,
        retention_events: setup.retention_events,
        sessions_max: setup.sessions_max,
        ..DiskConfig::new(directory.path())
    };
    if setup.forgetful {
        config.recent_bytes = 0;
    }
    let journal = Arc::new(DiskJournal::open(&config).unwrap());
    Subject {
        sessions: Arc::<DiskJournal>::clone(&journal),
        leases: Arc::<DiskJournal>::clone(&journal),
        fleeting: Arc::<DiskJournal>::clone(&journal),
        journal,
        guard: Box::new(directory),
    }
}

switchboard_journal::conformance_suite!(open);

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let (keep, gone) = (put("k", "v", None), put("gone", "x", None));
    let delete = Change {
        expect: Expect::Anything,
        value: None,
        ..gone.clone()
    };
    append(
        &journal,
        vec![event("a"), event("b")],
        vec![keep, gone.clone()],
    )
    .await
    .unwrap();
    append(&journal, vec![event("c")], vec![delete])
        .await
        .unwrap();
    let head = journal.head(partition()).await.unwrap();
    let value = value(&journal, "k").await;
    journal.close().await;

    let journal = DiskJournal::open(&config(directory.path())).unwrap();

    assert_eq!(journal.head(partition()).await.unwrap(), head);
    assert_eq!(self::value(&journal, "k").await, value);
    assert_eq!(self::value(&journal, "gone").await, None);
    assert_eq!(read(&journal, 0).await, ["a", "b", "c"]);
    let again = append(&journal, vec![event("b")], Vec::new())
        .await
        .unwrap();
    assert_eq!(
        (again[0].position.offset, again[0].duplicate),
        (Offset::new(2), true)
    );
    let next = append(&journal, vec![event("d")], vec![gone])
        .await
        .unwrap();
    assert_eq!(
        next[0].position,
        Position {
            offset: Offset::new(4),
            ..head
        }
    );
    // Versions go on where they were, although the highest one was deleted.
    let version = self::value(&journal, "gone").await.unwrap().version;
    assert!(version.number() > value.unwrap().version.number() + 1);
    journal.close().await;
}

#[tokio::test]
async fn each_new_journal_has_an_epoch_of_its_own() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

    let one = DiskJournal::open(&config(one.path())).unwrap();
    let two = DiskJournal::open(&config(two.path())).unwrap();

    let epoch = async |journal: &DiskJournal| journal.head(partition()).await.unwrap().epoch;
    assert_ne!(epoch(&one).await, epoch(&two).await);
}

/// What a process that is killed leaves behind is what lies in the directory at that moment. The
/// end-to-end tests kill real processes; here the moment is in the middle of a running append.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_in_a_copy_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    let answered = Arc::new(AtomicU64::new(0));
    let producer = {
        let (journal, answered) = (Arc::clone(&journal), Arc::clone(&answered));
        tokio::spawn(async move {
            for number in 1..=200_u64 {
                append(&*journal, vec![event(&number.to_string())], Vec::new())
                    .await
                    .unwrap();
                answered.store(number, Ordering::SeqCst);
            }
        })
    };

    for _ in 0..4 {
        tokio::task::yield_now().await;
        let before = answered.load(Ordering::SeqCst);
        let copy = copy(directory.path());
        let survivor = DiskJournal::open(&config(copy.path())).unwrap();
        let ids = read(&survivor, 0).await;
        survivor.close().await;

        let expected: Vec<String> = (1..=ids.len()).map(|number| number.to_string()).collect();
        assert_eq!(ids, expected);
        assert!(
            ids.len() as u64 >= before,
            "{before} were answered, {} survived",
            ids.len()
        );
    }
    producer.await.unwrap();
}

#[tokio::test]
async fn a_journal_dropped_without_closing_lets_go_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    append(&journal, vec![event("a")], Vec::new())
        .await
        .unwrap();

    drop(journal);

    // The writer's thread ends by itself, soon.
    let reopened = loop {
        match DiskJournal::open(&config(directory.path())) {
            Ok(journal) => break journal,
            Err(error) => assert!(error.to_string().ends_with("in use by another process")),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(read(&reopened, 0).await, ["a"]);
}

#[tokio::test]
async fn retention_keeps_the_file_small_and_the_floor_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = DiskConfig {
        retention_bytes: 256 * 1024,
        ..config(directory.path())
    };
    let journal = DiskJournal::open(&config).unwrap();
    for batch in 0..60 {
        let events = (0..20)
            .map(|number| large(&format!("{batch}-{number}")))
            .collect();
        append(&journal, events, Vec::new()).await.unwrap();
    }
    append(&journal, vec![event("last")], Vec::new())
        .await
        .unwrap();
    let oldest = oldest(&journal).await;
    journal.close().await;

    let len = fs::metadata(directory.path().join("journal.db"))
        .unwrap()
        .len();
    assert!(
        len < 1024 * 1024,
        "1.2 MB were appended and 256 KiB kept in {len} bytes"
    );
    assert!(oldest > 900, "the oldest is {oldest}");
    let journal = DiskJournal::open(&config).unwrap();
    assert_eq!(self::oldest(&journal).await, oldest);
    assert_eq!(
        read(&journal, oldest - 1).await.len() as u64,
        1_201 - oldest + 1
    );
    journal.close().await;
    // Each record is in a room of its own and in a shared one.
    let rows = |table| count(directory.path(), &format!("SELECT count(*) FROM {table}"));
    let records = rows("record");
    assert_eq!(
        (rows("room"), rows("room_record")),
        (records + 1, 2 * records)
    );
}

#[tokio::test]
async fn the_file_shrinks_when_much_of_it_is_unused() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let journal = DiskJournal::open(&config).unwrap();
    for batch in 0..12 {
        let events = (0..100)
            .map(|number| huge(&format!("{batch}-{number}")))
            .collect();
        append(&journal, events, Vec::new()).await.unwrap();
    }
    journal.close().await;
    let before = fs::metadata(directory.path().join("journal.db"))
        .unwrap()
        .len();

    let config = DiskConfig {
        retention_age: Duration::from_hours(1),
        ..config
    };
    let journal = DiskJournal::open(&config).unwrap();
    // Each append a second later gives the retention another slice.
    for second in 0..40 {
        let late = now().checked_add(Duration::from_hours(2)).unwrap();
        let late = late.checked_add(Duration::from_secs(second)).unwrap();
        let batch = batch(vec![event(&format!("late-{second}"))], Vec::new());
        journal.append(batch, late).await.unwrap();
    }
    journal.close().await;

    let after = fs::metadata(directory.path().join("journal.db"))
        .unwrap()
        .len();
    assert!(after < before / 2, "{before} bytes became {after}");
}

/// Everything is taken in many small commits, and nothing else is written meanwhile.
#[tokio::test]
async fn retention_on_an_idle_journal_leaves_a_short_log() {
    let directory = tempfile::tempdir().unwrap();
    let config = DiskConfig {
        retention_age: Duration::from_hours(1),
        ..config(directory.path())
    };
    let journal = DiskJournal::open(&config).unwrap();
    for batch in 0..16 {
        // Not in the order of the index, as in life.
        let id = |number: u64| format!("{:016x}", (batch * 1_000 + number).wrapping_mul(GOLDEN));
        let events = (0..1_000).map(|number| event(&id(number))).collect();
        append(&journal, events, Vec::new()).await.unwrap();
    }
    journal.close().await;

    let journal = DiskJournal::open(&config).unwrap();
    let late = now().checked_add(Duration::from_hours(2)).unwrap();
    let batch = batch(vec![event("late")], Vec::new());
    journal.append(batch, late).await.unwrap();
    while count(directory.path(), "SELECT min(offset) FROM record") <= 16_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let log = directory.path().join("journal.db-wal");
    let len = || fs::metadata(&log).unwrap().len();
    let short = async {
        while len() > 16 * 1024 * 1024 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), short).await;
    assert!(outcome.is_ok(), "the log stays at {} bytes", len());
    journal.close().await;
}

#[tokio::test]
async fn expired_values_leave_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let end = now().checked_add(Duration::from_mins(1));
    let changes = vec![put("qr:1", "code", end), put("kept", "code", None)];
    append(&journal, Vec::new(), changes).await.unwrap();

    for minutes in [2, 3] {
        let later = now().checked_add(Duration::from_mins(minutes)).unwrap();
        let batch = batch(vec![event(&minutes.to_string())], Vec::new());
        journal.append(batch, later).await.unwrap();
    }
    journal.close().await;

    assert_eq!(count(directory.path(), "SELECT count(*) FROM state"), 1);
}

#[tokio::test]
async fn what_was_asked_for_once_is_known_without_the_disk_and_follows_every_append() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    append(&journal, Vec::new(), vec![put("revoked:a", "1", None)])
        .await
        .unwrap();
    assert!(value(&journal, "revoked:b").await.is_none());

    // Nobody may do this; it shows that the disk is not asked again.
    let beside = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    let sql = "UPDATE state SET value = x'00'";
    assert_eq!(beside.execute(sql, []).unwrap(), 1);
    assert_eq!(value(&journal, "revoked:a").await.unwrap().bytes, "1");
    for (name, text) in [("revoked:a", "2"), ("revoked:b", "3")] {
        let change = Change {
            expect: Expect::Anything,
            ..put(name, text, None)
        };
        append(&journal, Vec::new(), vec![change]).await.unwrap();
        assert_eq!(value(&journal, name).await.unwrap().bytes, text);
    }
    let deletion = Change {
        expect: Expect::Anything,
        value: None,
        ..put("revoked:a", "", None)
    };
    append(&journal, Vec::new(), vec![deletion]).await.unwrap();
    assert!(value(&journal, "revoked:a").await.is_none());
    journal.close().await;
}

#[tokio::test]
async fn a_record_whose_tenant_was_altered_is_not_kept_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let events = ["a", "b"].map(event);
    append(&journal, events.into(), Vec::new()).await.unwrap();
    let beside = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    let sql = "UPDATE record SET tenant = 'no body' WHERE offset = 1";
    assert_eq!(beside.execute(sql, []).unwrap(), 1);
    drop(beside);

    for days in [2, 3] {
        let later = now().checked_add(Duration::from_hours(24 * days)).unwrap();
        let batch = batch(vec![event(&days.to_string())], Vec::new());
        journal.append(batch, later).await.unwrap();
    }
    journal.close().await;

    let floor = count(directory.path(), "SELECT floor FROM partition");
    assert!(floor >= 2, "{floor}");
}

#[tokio::test]
async fn what_expired_and_left_the_file_is_not_back_when_the_clock_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let later = |minutes| now().checked_add(Duration::from_mins(minutes));
    append(&journal, Vec::new(), vec![put("qr:1", "code", later(1))])
        .await
        .unwrap();
    assert!(value(&journal, "qr:1").await.is_some());
    for minutes in [2, 3] {
        let batch = batch(vec![event(&minutes.to_string())], Vec::new());
        journal
            .append(batch, later(minutes).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(count(directory.path(), "SELECT count(*) FROM state"), 0);

    // Asked for at a time at which it had not expired.
    let found = value(&journal, "qr:1").await;

    assert!(
        found.is_none(),
        "what is said of it is what an append finds"
    );
    let anew = put("qr:1", "another", later(1));
    assert_eq!(
        append(&journal, Vec::new(), vec![anew]).await,
        Ok(Vec::new())
    );
    journal.close().await;
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) fn config(path: &Path) -> DiskConfig {
    DiskConfig {
        partitions: NonZeroU16::new(1).unwrap(),
        // What is read comes from the disk.
        recent_bytes: 0,
        reserve_bytes: 0,
        ..DiskConfig::new(path)
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_762_336_800_000)
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn partition() -> switchboard_journal::Partition {
    switchboard_journal::Partitions::new(NonZeroU16::new(1).unwrap()).of(&acme())
}

pub(crate) fn event(id: &str) -> Event {
    sized(id, 20)
}

pub(crate) fn large(id: &str) -> Event {
    sized(id, 800)
}

pub(crate) fn huge(id: &str) -> Event {
    sized(id, 16_000)
}

pub(crate) fn sized(id: &str, len: usize) -> Event {
    let rooms = ["contact:1".to_owned(), format!("order:{id}")];
    let rooms = rooms.map(|room| room.parse::<Room>().unwrap());
    Event::from_parts(EventParts {
        id: id.parse().unwrap(),
        tenant: acme(),
        at: now(),
        name: "contact:updated".into(),
        data: Bytes::from(vec![b'x'; len]),
        audience: Audience {
            rooms: rooms.into(),
            except: Vec::new(),
        },
        expires_at: None,
        receipt_by: None,
        fingerprint: [7; 16],
    })
}

pub(crate) fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub(crate) fn put(name: &str, value: &'static str, expires_at: Option<Timestamp>) -> Change {
    let value = Some(Bytes::from_static(value.as_bytes()));
    Change {
        key: key(name),
        expect: Expect::Absent,
        value,
        expires_at,
        event: None,
    }
}

pub(crate) fn batch(events: Vec<Event>, changes: Vec<Change>) -> Batch {
    Batch::new(partition(), acme(), events, changes).unwrap()
}

pub(crate) async fn append(
    journal: &dyn Journal,
    events: Vec<Event>,
    changes: Vec<Change>,
) -> Result<Vec<Appended>, AppendError> {
    journal.append(batch(events, changes), now()).await
}

pub(crate) async fn value(journal: &dyn Journal, name: &str) -> Option<switchboard_journal::Value> {
    journal
        .values(&acme(), &[key(name)], now())
        .await
        .unwrap()
        .pop()
        .unwrap()
}

/// The ids of all events after an offset.
pub(crate) async fn read(journal: &dyn Journal, after: u64) -> Vec<String> {
    let mut query = query(journal, after).await;
    let mut ids = Vec::new();
    loop {
        let page = journal.read(query.clone()).await.unwrap();
        ids.extend(
            page.records
                .iter()
                .map(|record| record.event.id().to_string()),
        );
        match page.next {
            Some(next) => query.after = next,
            None => return ids,
        }
    }
}

pub(crate) async fn query(journal: &dyn Journal, after: u64) -> Query {
    let head = journal.head(partition()).await.unwrap();
    Query {
        partition: partition(),
        rooms: vec![TenantRoom {
            tenant: acme(),
            room: "contact:1".parse().unwrap(),
        }],
        after: Position {
            offset: Offset::new(after),
            ..head
        },
        through: head.offset,
        limit: Query::RECORDS_MAX,
        bytes_max: Query::BYTES_MAX,
        now: now(),
    }
}

async fn oldest(journal: &dyn Journal) -> u64 {
    match journal.read(query(journal, 0).await).await {
        Err(ReadError::Trimmed { oldest }) => oldest.as_u64(),
        other => panic!("nothing was taken: {other:?}"),
    }
}

/// A number that is read beside the journal.
pub(crate) fn count(directory: &Path, sql: &str) -> i64 {
    let connection = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A copy of the files as they are now.
///
/// So soon after the start no checkpoint has run, so that the file stays as it is and only the
/// write-ahead log grows: a copy of it may end in the middle of a commit, as after a crash.
fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["journal.db", "journal.db-wal"] {
        fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    copy
}
