//! What an operator does to a journal.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use switchboard_event::{Event, EventParts, Offset};
use switchboard_journal::tools::{self, Existing, Exported, Selection};
use switchboard_journal::{DiskJournal, Journal, ReadError, TenantRoom};

use crate::disk::{acme, append, config, count, event, now, put, query, read, value};

#[tokio::test]
async fn stats_tell_what_a_journal_in_use_holds() {
    let directory = tempfile::tempdir().unwrap();
    let journal = filled(directory.path()).await;

    let stats = tools::stats(directory.path()).unwrap();

    assert_eq!((stats.records(), stats.rooms, stats.keys), (3, 4, 1));
    assert_eq!(stats.bytes, journal.stats().bytes);
    assert_eq!(stats.partitions[0].head, Offset::new(3));
    assert_eq!(
        (stats.oldest_at, stats.newest_at),
        (Some(now()), Some(now()))
    );
    let files: Vec<_> = stats.files.iter().map(|file| file.name.as_str()).collect();
    assert!(
        files.contains(&"journal.db") && files.contains(&"journal.mark"),
        "{files:?}"
    );
    journal.close().await;
}

#[tokio::test]
async fn a_backup_of_a_journal_in_use_is_restored_as_a_new_history() {
    let directory = tempfile::tempdir().unwrap();
    let journal = filled(directory.path()).await;
    let backup = directory.path().join("backup.db");
    let before = query(&journal, 0).await;

    let backed_up = tools::backup(directory.path(), &backup, &mut |_| {}).unwrap();
    append(&journal, vec![event("after")], Vec::new())
        .await
        .unwrap();
    let again = tools::backup(directory.path(), &backup, &mut |_| {}).unwrap_err();
    let in_use = restore(&backup, directory.path(), Existing::KeepAside).unwrap_err();
    journal.close().await;
    let in_the_way = restore(&backup, directory.path(), Existing::Refuse).unwrap_err();
    let restored = restore(&backup, directory.path(), Existing::KeepAside).unwrap();

    assert_eq!((backed_up.records, restored.records), (3, 3));
    assert!(
        again.to_string().ends_with("backup.db exists already"),
        "{again}"
    );
    assert!(
        in_use.to_string().ends_with("in use by another process"),
        "{in_use}"
    );
    assert!(
        in_the_way
            .to_string()
            .ends_with("journal.db exists already"),
        "{in_the_way}"
    );
    assert!(!directory.path().join("backup.db.partial").exists());
    private(&backup);
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    assert_eq!(read(&journal, 0).await, ["a", "b", "c"]);
    assert!(value(&journal, "k").await.is_some());
    let epoch = restored.epoch;
    assert_eq!(journal.head(before.partition).await.unwrap().epoch, epoch);
    let stale = journal.read(before).await.unwrap_err();
    assert_eq!(stale, ReadError::OtherEpoch { epoch });
    journal.close().await;
    private(&directory.path().join("journal.db"));
    let aside = restored.kept_aside.unwrap();
    let journal = DiskJournal::open(&config(&aside)).unwrap();
    assert_eq!(read(&journal, 0).await, ["a", "b", "c", "after"]);
    journal.close().await;
}

#[tokio::test]
async fn a_backup_is_restored_into_a_directory_without_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let journal = filled(directory.path()).await;
    let backup = directory.path().join("backup.db");
    tools::backup(directory.path(), &backup, &mut |_| {}).unwrap();
    journal.close().await;
    let other = directory.path().join("other");

    let restored = restore(&backup, &other, Existing::Refuse).unwrap();

    assert_eq!((restored.partitions, restored.kept_aside), (1, None));
    let journal = DiskJournal::open(&config(&other)).unwrap();
    assert_eq!(read(&journal, 0).await, ["a", "b", "c"]);
    journal.close().await;
}

#[tokio::test]
async fn what_is_damaged_or_no_backup_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let journal = filled(directory.path()).await;
    let backup = directory.path().join("backup.db");
    tools::backup(directory.path(), &backup, &mut |_| {}).unwrap();
    let other = directory.path().join("other");
    let live = restore(
        &directory.path().join("journal.db"),
        &other,
        Existing::Refuse,
    );
    journal.close().await;
    alter(&backup, "UPDATE record SET data = x'7b7d' WHERE offset = 2");
    let text = directory.path().join("text");
    fs::write(&text, "something else").unwrap();

    let damaged = restore(&backup, &other, Existing::Refuse)
        .unwrap_err()
        .to_string();
    let no_journal = restore(&text, &other, Existing::Refuse)
        .unwrap_err()
        .to_string();
    let missing = restore(Path::new("nowhere"), &other, Existing::Refuse).unwrap_err();

    let live = live.unwrap_err().to_string();
    assert!(
        live.ends_with("it has a write-ahead log beside it"),
        "{live}"
    );
    assert!(
        damaged.ends_with("is damaged: record, partition 0, offset 2: is not as written"),
        "{damaged}"
    );
    assert!(
        no_journal.ends_with("text is not a journal of switchboard"),
        "{no_journal}"
    );
    assert_eq!(missing.to_string(), "there is no journal in nowhere");
    assert!(!other.join("journal.db").exists() && !other.join("journal.restoring").exists());
}

#[tokio::test]
async fn each_invariant_that_does_not_hold_is_found_at_its_place() {
    for (sql, found) in BROKEN {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path()).await.close().await;
        assert!(
            tools::verify(directory.path(), &mut |_| {})
                .unwrap()
                .is_good()
        );
        alter(&directory.path().join("journal.db"), sql);

        let verdict = tools::verify(directory.path(), &mut |_| {}).unwrap();

        let findings: Vec<_> = verdict.findings.iter().map(ToString::to_string).collect();
        assert!(
            findings.iter().any(|one| one.starts_with(found)),
            "{sql}: {findings:?}"
        );
    }
}

#[tokio::test]
async fn an_export_leaves_out_what_expired_and_what_was_erased() {
    let directory = tempfile::tempdir().unwrap();
    let journal = filled(directory.path()).await;
    let code = Event::from_parts(EventParts {
        expires_at: Some(now()),
        ..event("code").into_parts()
    });
    let other = Event::from_parts(EventParts {
        audience: switchboard_event::Audience {
            rooms: vec!["contact:2".parse().unwrap()],
            except: Vec::new(),
        },
        ..event("other").into_parts()
    });
    append(&journal, vec![code, other, event("d")], Vec::new())
        .await
        .unwrap();
    let head = query(&journal, 3).await.after;
    let exported = |selection: Selection| {
        let mut ids = Vec::new();
        tools::export(directory.path(), &selection, now(), &mut |exported| {
            ids.push(match exported {
                Exported::Record { record, .. } => record.event.id().to_string(),
                Exported::Damaged(said) => said,
            });
            ControlFlow::Continue(())
        })
        .map(|()| ids)
    };
    let (tenant, room) = (Some(acme()), Some("contact:1".parse().unwrap()));

    let all = exported(Selection::default()).unwrap();
    let after = Selection {
        tenant,
        room,
        after: Some(head),
    };
    let some = exported(after).unwrap();
    let two = TenantRoom {
        tenant: acme(),
        room: "contact:2".parse().unwrap(),
    };
    journal.erase(&two).await.unwrap();
    journal.close().await;
    alter(
        &directory.path().join("journal.db"),
        "UPDATE record SET name = 'x' WHERE offset = 2",
    );
    let damaged = exported(Selection::default()).unwrap();

    assert_eq!(all, ["a", "b", "c", "other", "d"]);
    assert_eq!(some, ["d"]);
    assert_eq!(
        damaged,
        ["a", "record 2 of partition 0 is not as written", "c", "d"]
    );
}

#[test]
fn a_directory_without_a_journal_is_none() {
    let directory = tempfile::tempdir().unwrap();

    let stats = tools::stats(directory.path()).unwrap_err().to_string();

    assert!(stats.starts_with("there is no journal in"), "{stats}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

async fn filled(path: &Path) -> DiskJournal {
    let journal = DiskJournal::open(&config(path)).unwrap();
    append(
        &journal,
        vec![event("a"), event("b")],
        vec![put("k", "v", None)],
    )
    .await
    .unwrap();
    append(&journal, vec![event("c")], Vec::new())
        .await
        .unwrap();
    journal
}

fn restore(
    source: &Path,
    directory: &Path,
    existing: Existing,
) -> Result<tools::Restored, tools::ToolError> {
    tools::restore(source, directory, existing, now(), &mut |_| {})
}

fn alter(file: &Path, sql: &str) {
    let file = rusqlite::Connection::open(file).unwrap();
    file.execute_batch(sql).unwrap();
}

#[cfg(unix)]
fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;

    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(count(file.parent().unwrap(), "SELECT 1") == 1);
}

#[cfg(not(unix))]
fn private(_: &Path) {}

/// What is done to a journal, and how one of the findings begins.
const BROKEN: [(&str, &str); 16] = [
    (
        "UPDATE record SET data = x'7b7d' WHERE offset = 2",
        "record, partition 0, offset 2: is not as written",
    ),
    (
        "DELETE FROM record WHERE offset = 2",
        "record, partition 0, offset 3: follows where 2 should",
    ),
    (
        "DELETE FROM room_record WHERE offset = 2",
        "record, partition 0, offset 2: is not in the index by room as it should be",
    ),
    (
        "UPDATE record SET bytes = bytes + 1 WHERE offset = 3",
        "record, partition 0, offset 3: is not as long as it says",
    ),
    (
        "UPDATE record SET partition = 5 WHERE offset = 3",
        "partition, partition 0, offset 2: ends at 2, and its head is 3",
    ),
    (
        "UPDATE partition SET head = 4",
        "partition, partition 0, offset 3: ends at 3, and its head is 4",
    ),
    (
        "INSERT INTO partition VALUES (1, 0, 0)",
        "partition: has 2 rows for 1 partitions",
    ),
    (
        "INSERT INTO room (partition, tenant, name) VALUES (0, 'acme', 'contact:9')",
        "room: has 1 rooms without a record",
    ),
    (
        "INSERT INTO room_record VALUES (1, 9, 9)",
        "room_record: has 7 entries, the records have 6",
    ),
    (
        "UPDATE meta SET value = value + 1 WHERE name = 'bytes'",
        "meta: bytes is",
    ),
    (
        "UPDATE meta SET value = 9 WHERE name = 'sessions'",
        "meta: sessions is 9, it should be 0",
    ),
    (
        "UPDATE meta SET value = 0 WHERE name = 'version'",
        "meta: version is 0, below 1",
    ),
    (
        "UPDATE meta SET value = value + 1 WHERE name = 'epoch'",
        "meta: ",
    ),
    (
        "UPDATE meta SET value = 0 WHERE name = 'commit'",
        "meta: the newest commits are missing",
    ),
    (
        "UPDATE state SET value = x'00'",
        "state: value 1 in the order of keys is not as written",
    ),
    (
        "INSERT INTO lease VALUES (0, '', 'x', 1, 1, x'')",
        "lease: a lease is not as written",
    ),
];
