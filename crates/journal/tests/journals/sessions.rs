//! What only a disk can promise of sessions, and what a full or damaged one does to them.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use switchboard_event::{Epoch, Offset, Position, Timestamp, UserId};
use switchboard_journal::{
    Claimed, DiskConfig, DiskJournal, Generation, Health, Journal, SessionError, SessionKey,
    Sessions, StoredRoom, StoredSession,
};
use tokio::task::JoinSet;

use crate::disk::{acme, append, config, count, event, now};

#[tokio::test]
async fn sessions_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    for number in 1..=3 {
        save(&journal, number, FIRST, &session(20)).await.unwrap();
    }
    let second = claim(&journal, 1).await.unwrap().unwrap().generation;
    journal.remove(&key(2), FIRST).await.unwrap();
    journal.close().await;

    let journal = DiskJournal::open(&config(directory.path())).unwrap();

    let refused = save(&journal, 1, FIRST, &session(1)).await;
    assert_eq!(refused, Err(SessionError::Superseded));
    let claimed = claim(&journal, 1).await.unwrap().unwrap();
    assert_eq!(claimed.session, session(20));
    assert_eq!(claimed.generation, second.next());
    assert_eq!(claim(&journal, 2).await, Ok(None));
    assert!(claim(&journal, 3).await.unwrap().is_some());
    journal.close().await;
    assert_eq!(sessions(directory.path()), (2, 2));
}

#[tokio::test]
async fn expired_sessions_leave_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    save_many(&journal, 600, |_| later(10)).await;
    let kept = [(key(7), FIRST), (key(8), FIRST)];
    assert_eq!(journal.touch(&kept, later(60), now()).await, Ok(Vec::new()));

    // The time comes with whatever is written, and then slice follows upon slice.
    assert_eq!(
        journal.touch(&kept, later(60), later(20)).await,
        Ok(Vec::new())
    );
    while sessions(directory.path()).0 > 2 {
        tokio::task::yield_now().await;
    }

    journal.close().await;
    assert_eq!(sessions(directory.path()), (2, 2));
}

#[tokio::test]
async fn a_lower_number_of_sessions_holds_from_the_next_start_on() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    save_many(&journal, 300, |number| later(10 + u64::from(number))).await;
    journal.close().await;

    let fewer = DiskConfig {
        sessions_max: NonZeroU32::new(5).unwrap(),
        ..config(directory.path())
    };
    let journal = DiskJournal::open(&fewer).unwrap();
    append(&journal, vec![event("a")], Vec::new())
        .await
        .unwrap();
    while sessions(directory.path()).0 > 5 {
        tokio::task::yield_now().await;
    }

    assert!(claim(&journal, 295).await.unwrap().is_some());
    assert_eq!(claim(&journal, 294).await, Ok(None));
    journal.close().await;
    assert_eq!(sessions(directory.path()), (5, 5));
}

#[tokio::test]
async fn a_session_that_was_altered_is_not_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    for change in [
        "user = '8'",
        "tenant = 'globex'",
        "socket_id = socket_id || 'x'",
        "epoch = epoch + 1",
        "start = start + 1",
        "rooms = zeroblob(length(rooms))",
        "checksum = checksum + 1",
    ] {
        save(&journal, 1, FIRST, &session(3)).await.unwrap();
        beside(directory.path(), &format!("UPDATE session SET {change}"));

        let claimed = claim(&journal, 1).await;

        let is_seen = matches!(claimed, Err(SessionError::Damaged { .. }));
        assert!(is_seen, "{change}: {claimed:?}");
        // It is nobody else's trouble, and its owner can still write it anew.
        assert_eq!(journal.health(), Health::Ready);
    }
    save(&journal, 1, FIRST, &session(3)).await.unwrap();
    assert!(claim(&journal, 1).await.unwrap().is_some());
    journal.close().await;
}

#[tokio::test]
async fn a_session_moved_under_another_key_is_not_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    for number in [1, 2] {
        save(&journal, number, FIRST, &session(number.into()))
            .await
            .unwrap();
    }
    let digest = |number| {
        let hex = |byte: &u8| format!("{byte:02x}");
        key(number).digest().iter().map(hex).collect::<String>()
    };
    let (one, two) = (digest(1), digest(2));
    beside(
        directory.path(),
        &format!("DELETE FROM session WHERE key = x'{one}'"),
    );
    let swap = format!("UPDATE session SET key = x'{one}' WHERE key = x'{two}'");
    beside(directory.path(), &swap);

    let claimed = claim(&journal, 1).await;

    assert!(
        matches!(claimed, Err(SessionError::Damaged { .. })),
        "{claimed:?}"
    );
    journal.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_sessions_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let small = DiskConfig {
        size_max: Some(256 * 1024),
        ..config(directory.path())
    };
    let journal = DiskJournal::open(&small).unwrap();
    save(&journal, 1, FIRST, &session(1)).await.unwrap();

    let refused = save(&journal, 2, FIRST, &session(10_000)).await;

    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(matches!(journal.health(), Health::Failing { .. }));
    save(&journal, 3, FIRST, &session(1)).await.unwrap();
    assert_eq!(journal.health(), Health::Ready);
    let known = [1, 2, 3].map(|number| (key(number), FIRST));
    assert_eq!(journal.touch(&known, later(10), now()).await, Ok(vec![1]));
    journal.close().await;
    assert_eq!(sessions(directory.path()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_sessions_at_once_are_refused_and_what_was_taken_is_saved() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&config(directory.path())).unwrap());
    let other = Connection::open(directory.path().join("journal.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let large = Arc::new(session(10_000));
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let (journal, large) = (Arc::clone(&journal), Arc::clone(&large));
        tasks.spawn(async move { (number, save(&journal, number, FIRST, &large).await) });
    }
    // The writer waits for the other connection; whoever is answered now found no room.
    let (_, refused) = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(refused, Err(SessionError::Overloaded));
    other.execute_batch("ROLLBACK").unwrap();
    let (mut saved, mut refused) = (Vec::new(), 1);
    for (number, outcome) in tasks.join_all().await {
        match outcome {
            Ok(()) => saved.push((key(number), FIRST)),
            Err(error) => {
                assert_eq!(error, SessionError::Overloaded);
                refused += 1;
            }
        }
    }

    assert_eq!(saved.len() + refused, 200);
    assert_eq!(
        journal.touch(&saved, later(10), now()).await,
        Ok(Vec::new())
    );
    journal.close().await;
    let kept = i64::try_from(saved.len()).unwrap();
    assert_eq!(sessions(directory.path()), (kept, kept));
}

#[tokio::test]
async fn the_file_does_not_hold_what_a_client_comes_back_with() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&config(directory.path())).unwrap();
    save(&journal, 1, FIRST, &session(1)).await.unwrap();
    let holds = |text: &str| {
        ["journal.db", "journal.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
    };

    assert!(holds("a-socket-id"));
    assert!(!holds(&secret(1)));
    journal.close().await;
}

/// How many sessions there are, and how many the journal counts.
fn sessions(directory: &Path) -> (i64, i64) {
    let counted = "SELECT value FROM meta WHERE name = 'sessions'";
    (
        count(directory, "SELECT count(*) FROM session"),
        count(directory, counted),
    )
}

fn beside(directory: &Path, sql: &str) {
    let connection = Connection::open(directory.join("journal.db")).unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
}

async fn save(
    journal: &DiskJournal,
    number: u32,
    generation: Generation,
    session: &StoredSession,
) -> Result<(), SessionError> {
    journal
        .save(&key(number), generation, session, later(10), now())
        .await
}

/// Saves sessions all at once, each until its own end.
async fn save_many(journal: &Arc<DiskJournal>, count: u32, end: impl Fn(u32) -> Timestamp) {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (journal, end) = (Arc::clone(journal), end(number));
        tasks.spawn(async move {
            let (key, session) = (key(number), session(1));
            journal.save(&key, FIRST, &session, end, now()).await
        });
    }
    let saved = tasks.join_all().await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
}

async fn claim(journal: &DiskJournal, number: u32) -> Result<Option<Claimed>, SessionError> {
    let user: UserId = "7".parse().unwrap();
    journal
        .claim(&key(number), &acme(), &user, later(10), now())
        .await
}

fn secret(number: u32) -> String {
    format!("secret-{number:013}")
}

fn key(number: u32) -> SessionKey {
    secret(number).parse().unwrap()
}

fn session(rooms: u64) -> StoredSession {
    let room = |number| StoredRoom {
        room: format!("contact:{number:030}").parse().unwrap(),
        from: Offset::new(number),
    };
    StoredSession {
        socket_id: "a-socket-id".into(),
        tenant: acme(),
        user: "7".parse().unwrap(),
        start: Position {
            epoch: Epoch::new(9),
            offset: Offset::ZERO,
        },
        rooms: (0..rooms).map(room).collect(),
    }
}

fn later(minutes: u64) -> Timestamp {
    now().checked_add(Duration::from_mins(minutes)).unwrap()
}

const FIRST: Generation = Generation::FIRST;
