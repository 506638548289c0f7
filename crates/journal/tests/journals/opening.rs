//! Directories and files that are not a journal, and what is said about them.

use std::fs;
use std::num::NonZeroU16;
use std::time::Duration;

use switchboard_event::{Event, EventParts};
use switchboard_journal::{DiskConfig, DiskJournal, Journal};

use crate::disk::{append, config, event, now, partition};

#[tokio::test]
async fn a_directory_is_one_process_s_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let journal = DiskJournal::open(&config).unwrap();

    refused(&config, "is in use by another process");

    journal.close().await;
    DiskJournal::open(&config).unwrap();
}

#[test]
fn a_file_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    fs::write(&path, "something").unwrap();

    refused(&DiskConfig::new(&path), "is not a directory");
    refused(&DiskConfig::new(path.join("below")), "is not a directory");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.db");
    let text = "no database, but somebody's work. ".repeat(64);
    fs::write(&file, &text).unwrap();
    refused(&config(directory.path()), "is not a journal of switchboard");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    fs::remove_file(&file).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other
        .execute_batch("CREATE TABLE invoice (id INTEGER PRIMARY KEY)")
        .unwrap();
    drop(other);
    let before = fs::read(&file).unwrap();
    refused(&config(directory.path()), "is not a journal of switchboard");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_journal_that_is_older_than_receipts_learns_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let journal = DiskJournal::open(&config).unwrap();
    append(&journal, vec![event("old")], Vec::new())
        .await
        .unwrap();
    journal.close().await;
    let file = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    file.execute_batch(
        "DROP INDEX record_receipt; ALTER TABLE record DROP COLUMN receipt_by; \
         DELETE FROM meta WHERE name IN ('identity', 'commit'); PRAGMA user_version = 1",
    )
    .unwrap();
    drop(file);

    let journal = DiskJournal::open(&config).unwrap();
    let asking = Event::from_parts(EventParts {
        receipt_by: now().checked_add(Duration::from_secs(10)),
        ..event("asking").into_parts()
    });
    append(&journal, vec![asking.clone()], Vec::new())
        .await
        .unwrap();

    let awaiting = journal.awaiting(partition(), now()).await.unwrap();
    assert_eq!(awaiting.len(), 1);
    assert!(awaiting[0].event == asking);
    assert!(
        append(&journal, vec![event("old")], Vec::new())
            .await
            .unwrap()[0]
            .duplicate
    );
}

#[tokio::test]
async fn a_newer_format_is_not_guessed_at() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    DiskJournal::open(&config).unwrap().close().await;
    let file = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    file.pragma_update(None, "user_version", 3).unwrap();
    drop(file);

    refused(&config, "has format 3, this version reads 2");
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    DiskJournal::open(&config).unwrap().close().await;

    let other = DiskConfig {
        partitions: NonZeroU16::new(3).unwrap(),
        ..config
    };
    refused(&other, "was made with partitions = 1, the settings say 3");
}

#[tokio::test]
async fn a_file_that_was_never_finished_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("journal.db"), "").unwrap();

    let journal = DiskJournal::open(&config(directory.path())).unwrap();

    append(&journal, vec![event("a")], Vec::new())
        .await
        .unwrap();
    journal.close().await;
}

#[tokio::test]
async fn a_file_that_was_emptied_is_not_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let journal = DiskJournal::open(&config).unwrap();
    append(&journal, vec![event("a")], Vec::new())
        .await
        .unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["journal.db-wal", "journal.mark"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    journal.close().await;
    fs::write(copy.path().join("journal.db"), "").unwrap();

    let emptied = crate::disk::config(copy.path());
    refused(&emptied, "is damaged: it is empty, and was not");

    let log = fs::metadata(copy.path().join("journal.db-wal")).unwrap();
    assert!(log.len() > 0, "what can be rescued is still there");
}

#[tokio::test]
async fn a_partition_that_does_not_end_where_it_says_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let journal = DiskJournal::open(&config).unwrap();
    let events = ["a", "b", "c"].map(event);
    append(&journal, events.into(), Vec::new()).await.unwrap();
    journal.close().await;

    for (floor, head) in [(0, 2), (0, 7), (1, 3), (3, 3)] {
        let file = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
        let sql = "UPDATE partition SET floor = ?1, head = ?2";
        file.execute(sql, [floor, head]).unwrap();
        drop(file);

        let first = floor + 1;
        refused(
            &config,
            &format!("partition 0 holds offsets 1 to 3, not {first} to {head}"),
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_look_into_a_journal() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("data");
    let config = DiskConfig {
        reserve_bytes: 4_096,
        ..config(&path)
    };
    let journal = DiskJournal::open(&config).unwrap();
    append(&journal, vec![event("a")], Vec::new())
        .await
        .unwrap();

    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    for name in [
        "journal.db",
        "journal.db-wal",
        "journal.lock",
        "journal.reserve",
    ] {
        assert_eq!(mode(path.join(name)), 0o600, "{name}");
    }
}

#[track_caller]
fn refused(config: &DiskConfig, ending: &str) {
    let error = DiskJournal::open(config).unwrap_err().to_string();
    assert!(error.ends_with(ending), "{error}");
    assert!(!error.contains('\n'), "{error}");
}
