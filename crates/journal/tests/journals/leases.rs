//! What only a disk can promise of leases.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;
use switchboard_event::{TenantId, Timestamp};
use switchboard_journal::{DiskConfig, DiskJournal, Holder, Journal, Lease, LeaseName, Leases};

/// What a process that is killed leaves behind is what lies in the directory at that moment.
#[tokio::test]
async fn leases_outlive_a_process_that_is_killed() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open(directory.path());
    journal.hold(&[lease()]).await.unwrap();

    for file in ["journal.db", "journal.db-wal"] {
        fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }

    let restarted = open(copy.path());
    assert_eq!(held(&restarted).await, [lease()]);
    restarted.close().await;
    journal.close().await;
}

#[tokio::test]
async fn a_journal_that_was_made_before_leases_were_can_hold_some() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().await;
    let connection = Connection::open(directory.path().join("journal.db")).unwrap();
    connection
        .execute_batch(
            "DROP TABLE lease; DELETE FROM meta WHERE name IN ('identity', 'commit'); \
             PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);

    let journal = open(directory.path());

    journal.hold(&[lease()]).await.unwrap();
    assert_eq!(held(&journal).await, [lease()]);
    journal.close().await;
}

fn open(path: &Path) -> DiskJournal {
    DiskJournal::open(&DiskConfig::new(path)).unwrap()
}

async fn held(journal: &DiskJournal) -> Vec<Lease> {
    let partition = journal.partitions().of(&tenant());
    journal.held(partition, "presence:", None).await.unwrap()
}

fn lease() -> Lease {
    Lease {
        name: LeaseName {
            tenant: tenant(),
            name: "presence:7".parse().unwrap(),
        },
        holder: Holder::new(u64::MAX),
        value: Bytes::from_static(b"online"),
        expires_at: Timestamp::from_millis(1),
    }
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}
