//! What a full or damaged disk does to appends and reads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use switchboard_event::{Event, Timestamp};
use switchboard_journal::{
    AppendError, Change, DiskConfig, DiskJournal, Expect, Health, Journal, ReadError, TailError,
};
use tokio::task::JoinSet;

use crate::disk::{
    acme, append, batch, config, event, huge, key, large, now, partition, put, query, read, sized,
    value,
};

#[tokio::test]
async fn a_full_disk_refuses_appends_and_recovers_with_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&small(directory.path())).unwrap();
    append(&journal, vec![event("before")], Vec::new())
        .await
        .unwrap();
    let head = journal.head(partition()).await.unwrap();
    let mut tail = journal.tail(partition(), head);
    let ballast = Ballast::load(directory.path());

    let refused = append(&journal, filling("refused"), Vec::new()).await;

    assert!(
        matches!(refused, Err(AppendError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(matches!(journal.health(), Health::Failing { .. }));
    assert_eq!(journal.head(partition()).await.unwrap(), head);
    assert_eq!(read(&journal, 0).await, ["before"]);

    ballast.unload();
    let appended = append(&journal, vec![event("after")], Vec::new())
        .await
        .unwrap();

    assert_eq!(appended[0].position.offset, head.offset.next());
    assert_eq!(journal.health(), Health::Ready);
    let records = tail.next().await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].event.id().as_str(), "after");
    journal.close().await;
}

#[tokio::test]
async fn health_recovers_without_an_append() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&small(directory.path())).unwrap();
    let ballast = Ballast::load(directory.path());
    append(&journal, filling("refused"), Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(journal.health(), Health::Failing { .. }));

    ballast.unload();

    // The journal tries by itself; the test only looks.
    while journal.health() != Health::Ready {
        tokio::task::yield_now().await;
    }
    append(&journal, vec![event("after")], Vec::new())
        .await
        .unwrap();
    journal.close().await;
}

#[tokio::test]
async fn a_full_file_takes_appends_again_when_what_is_in_it_is_past_the_retention() {
    let directory = tempfile::tempdir().unwrap();
    let config = DiskConfig {
        size_max: Some(400 * 1024),
        retention_age: Duration::from_hours(1),
        ..config(directory.path())
    };
    let journal = DiskJournal::open(&config).unwrap();

    for hours in [0, 2, 24, 48] {
        appends_work(&journal, hours).await;
        fill(&journal, hours, large).await;
    }
    journal.close().await;
}

/// On a file system of its own, which only root can make. Elsewhere this proves nothing.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_takes_appends_again_when_what_is_on_it_is_past_the_retention() {
    let directory = tempfile::tempdir().unwrap();
    // Once the log is all there is, and once the file has grown.
    for size in ["24m", "48m"] {
        let Some(disk) = SmallDisk::mount(directory.path(), size) else {
            return;
        };
        let config = DiskConfig {
            retention_age: Duration::from_hours(1),
            reserve_bytes: 16 * 1024 * 1024,
            ..config(&directory.path().join("data"))
        };
        let journal = DiskJournal::open(&config).unwrap();

        for hours in [0, 2, 24] {
            appends_work(&journal, hours).await;
            fill(&journal, hours, huge).await;
        }
        journal.close().await;
        drop(disk);
    }
}

#[cfg(target_os = "linux")]
struct SmallDisk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let status = mount.arg(path).status().ok()?;
        status.success().then(|| Self(path.to_owned()))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = std::process::Command::new("umount");
        let status = unmount.arg("--lazy").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

/// Appends until not even a small event finds room, and as often again as it takes for the log to
/// be carried over.
async fn fill(journal: &DiskJournal, hours: u64, large: fn(&str) -> Event) {
    let (mut number, mut refused) = (0, 0);
    for (make, count) in [(large, 10), (event as fn(&str) -> Event, 1)] {
        refused = refused.min(1);
        while refused <= REFUSED_MIN {
            number += 1;
            let id = |index| format!("{hours}-{number}-{index}");
            let events = (0..count).map(|index| make(&id(index))).collect();
            let events = batch(events, Vec::new());
            match journal.append(events, after(hours)).await {
                Ok(_) => {}
                Err(AppendError::Unavailable { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

const REFUSED_MIN: u32 = 20;

/// Appends again and again, as producers do, until it works.
async fn appends_work(journal: &DiskJournal, hours: u64) {
    let works = async {
        let events = || vec![event(&format!("first-{hours}"))];
        while let Err(error) = journal
            .append(batch(events(), Vec::new()), after(hours))
            .await
        {
            assert!(
                matches!(error, AppendError::Unavailable { .. }),
                "{error:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), works).await;
    assert!(
        outcome.is_ok(),
        "nothing works after {hours} hours: {:?}",
        journal.health()
    );
}

fn after(hours: u64) -> Timestamp {
    now().checked_add(Duration::from_hours(hours)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_answered_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&small(directory.path())).unwrap());

    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let id = format!("{number:03}");
            let outcome = append(&*journal, vec![large(&id)], Vec::new()).await;
            (id, outcome)
        });
    }
    let mut answered = Vec::new();
    let mut refused = 0;
    for (id, outcome) in tasks.join_all().await {
        match outcome {
            Ok(appended) => answered.push((appended[0].position.offset, id)),
            Err(AppendError::Unavailable { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    journal.close().await;

    assert!(refused > 0, "200 events fit into the file");
    answered.sort_unstable();
    let answered: Vec<String> = answered.into_iter().map(|(_, id)| id).collect();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    assert_eq!(read(&journal, 0).await, answered);
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_at_once_is_refused_and_what_was_taken_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    let other = connect(directory.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let mut tasks = JoinSet::new();
    for number in 0..6 {
        let journal = Arc::clone(&journal);
        let events = vec![sized(&number.to_string(), 15 * 1024 * 1024)];
        tasks.spawn(async move { append(&*journal, events, Vec::new()).await });
    }
    // The writer waits for the other connection; whoever is answered now found no room.
    for _ in 0..2 {
        let refused = tasks.join_next().await.unwrap().unwrap();
        assert_eq!(refused, Err(AppendError::Overloaded));
    }
    other.execute_batch("ROLLBACK").unwrap();
    let appended = tasks.join_all().await;

    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    assert_eq!(read(&*journal, 0).await.len(), 4);
    append(&*journal, vec![event("later")], Vec::new())
        .await
        .unwrap();
    journal.close().await;
}

#[tokio::test]
async fn a_record_that_was_altered_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let events = ["a", "b", "c"].map(event);
    append(&journal, events.into(), Vec::new()).await.unwrap();
    beside(
        directory.path(),
        "UPDATE record SET data = zeroblob(20) WHERE offset = 2",
    );

    let reason = "record 2 of partition 0 is not as written".to_owned();
    let damaged = ReadError::Damaged { reason };
    let query = query(&journal, 0).await;
    assert_eq!(journal.read(query.clone()).await.unwrap_err(), damaged);
    let tail = journal.tail(partition(), query.after).next().await;
    assert_eq!(tail.unwrap_err(), TailError::Read(damaged));
    assert_eq!(read(&journal, 2).await, ["c"]);
    journal.close().await;
}

#[tokio::test]
async fn a_hole_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let events = ["a", "b", "c"].map(event);
    append(&journal, events.into(), Vec::new()).await.unwrap();
    beside(directory.path(), "DELETE FROM record WHERE offset = 2");

    let query = query(&journal, 0).await;
    let tail = journal.tail(partition(), query.after).next().await;
    let (expected, found) = (2, 3);
    let [expected, found] = [expected, found].map(switchboard_event::Offset::new);
    assert_eq!(tail.unwrap_err(), TailError::Hole { expected, found });
    let reason = "record 2 of partition 0 is missing".to_owned();
    assert_eq!(
        journal.read(query).await.unwrap_err(),
        ReadError::Damaged { reason }
    );
    journal.close().await;
}

#[tokio::test]
async fn a_value_that_was_altered_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    let change = put("k", "v", None);
    append(&journal, Vec::new(), vec![change]).await.unwrap();
    beside(directory.path(), "UPDATE state SET value = x'00'");

    let values = journal.values(&acme(), &[key("k")], now()).await;

    assert!(
        matches!(values, Err(ReadError::Damaged { .. })),
        "{values:?}"
    );
    journal.close().await;
}

#[tokio::test]
async fn a_damaged_value_is_the_matter_of_those_who_expect_something_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    let keys = vec![put("k", "v", None), put("other", "v", None)];
    append(&*journal, Vec::new(), keys).await.unwrap();
    let version = value(&*journal, "k").await.unwrap().version;
    beside(
        directory.path(),
        "UPDATE state SET value = x'00' WHERE key = 'k'",
    );
    let expecting = |expect| Change {
        expect,
        ..put("k", "w", None)
    };
    let (absent, same) = (
        expecting(Expect::Absent),
        expecting(Expect::Version(version)),
    );

    // While the writer waits for the other connection, these become one group, or two.
    let other = connect(directory.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..12 {
        let (journal, absent, same) = (Arc::clone(&journal), absent.clone(), same.clone());
        let (changes, is_sound) = match number % 3 {
            0 => (vec![absent], false),
            1 => (vec![same], false),
            _ => (vec![put(&format!("sound-{number}"), "v", None)], true),
        };
        let events = vec![event(&number.to_string())];
        tasks.spawn(async move { (is_sound, append(&*journal, events, changes).await) });
    }
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();
    for (is_sound, outcome) in tasks.join_all().await {
        let is_refused = matches!(outcome, Err(AppendError::Unavailable { .. }));
        assert_eq!(is_refused, !is_sound, "{outcome:?}");
    }

    assert_eq!(journal.health(), Health::Ready);
    assert_eq!(read(&*journal, 0).await.len(), 4);
    // Whoever expects nothing of it puts a sound one in its place.
    let anything = vec![expecting(Expect::Anything)];
    append(&*journal, Vec::new(), anything).await.unwrap();
    assert_eq!(value(&*journal, "k").await.unwrap().bytes, "w");
    journal.close().await;
}

/// Pages that somebody else takes up, so that a journal with a ceiling is full.
struct Ballast {
    connection: Connection,
}

impl Ballast {
    fn load(directory: &Path) -> Self {
        let connection = connect(directory);
        let len = CEILING - 8 * 4096;
        connection
            .execute(
                "INSERT INTO probe (id, filler) VALUES (2, zeroblob(?1))",
                [len],
            )
            .unwrap();
        Self { connection }
    }

    fn unload(self) {
        self.connection
            .execute("DELETE FROM probe WHERE id = 2", [])
            .unwrap();
    }
}

/// More than fits beside the ballast.
fn filling(prefix: &str) -> Vec<Event> {
    (0..300)
        .map(|number| large(&format!("{prefix}-{number}")))
        .collect()
}

fn small(directory: &Path) -> DiskConfig {
    let size_max = Some(u64::try_from(CEILING).unwrap());
    DiskConfig {
        size_max,
        ..config(directory)
    }
}

fn beside(directory: &Path, sql: &str) {
    connect(directory).execute(sql, []).unwrap();
}

fn connect(directory: &Path) -> Connection {
    Connection::open(directory.join("journal.db")).unwrap()
}

/// The largest that the small journal may become.
const CEILING: i64 = 160 * 1024;
