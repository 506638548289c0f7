//! A journal that somebody altered or cut: it is said, or nothing that can be read has changed.

use std::fs;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{Event, EventParts, Offset, Position, TenantId, UserId};
use switchboard_journal::{
    Batch, Change, DiskConfig, DiskJournal, Expect, Generation, Journal, Key, Query, SessionKey,
    Sessions, StoredRoom, StoredSession, TenantRoom, tools,
};
use tempfile::TempDir;

use crate::disk::{config, now, sized};

/// Rounds of each kind; more with `ROUNDS`.
const ROUNDS: u64 = 80;
const RECORDS: u64 = 60;
const FILES: [&str; 3] = ["journal.db", "journal.db-wal", "journal.mark"];

#[tokio::test]
async fn a_closed_journal_that_was_altered_never_lies() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&two(directory.path())).unwrap();
    fill(&journal).await;
    journal.close().await;

    alter_and_look(directory.path(), &["journal.db"]).await;
}

#[tokio::test]
async fn a_killed_journal_that_was_altered_never_lies() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DiskJournal::open(&two(directory.path())).unwrap();
    fill(&journal).await;
    // The files as they are now are what a kill leaves.
    let killed = copy(directory.path());
    journal.close().await;

    alter_and_look(
        killed.path(),
        &["journal.db-wal", "journal.db-wal", "journal.db"],
    )
    .await;
}

/// What can be read of a journal.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    heads: Vec<Position>,
    records: Vec<(Position, String, Bytes)>,
    by_room: Vec<Position>,
    values: Vec<Option<Bytes>>,
    sessions: Vec<Option<StoredSession>>,
}

#[expect(clippy::print_stdout, reason = "the start with which it is done again")]
async fn alter_and_look(original: &Path, files: &[&str]) {
    let start = number("SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEED={start}");
    let rounds = number("ROUNDS").unwrap_or(ROUNDS);
    let expected = observe(copy(original).path()).await.unwrap();
    assert_eq!(expected.records.len() as u64, RECORDS);
    let (mut random, mut unsaid) = (Random(start), 0);
    for round in 0..rounds {
        let altered = copy(original);
        let file = files[random.below(files.len() as u64)];
        let done = alter(&altered.path().join(file), &mut random);

        let verdict = tools::verify(altered.path(), &mut |_| {});
        let seen = observe(altered.path()).await;

        let is_found = verdict.as_ref().map_or(true, |verdict| !verdict.is_good());
        let is_same = seen.as_ref().is_ok_and(|seen| *seen == expected);
        let is_other = seen.as_ref().is_ok_and(|seen| {
            // What is of another history is nobody's for whoever knows this one.
            seen.heads
                .iter()
                .all(|head| head.epoch != expected.heads[0].epoch)
        });
        assert!(
            is_same || is_found || is_other || seen.is_err(),
            "SEED={start}, round {round}: {file}: {done}, and nobody says so: {seen:?}"
        );
        unsaid += u32::from(is_same && !is_found);
    }
    println!("{unsaid} of {rounds} alterations changed nothing");
}

fn alter(file: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let at = random.below(bytes.len() as u64);
    let done = match random.below(4) {
        0 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        _ => {
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
    };
    fs::write(file, bytes).unwrap();
    done
}

async fn observe(directory: &Path) -> Result<Seen, String> {
    let journal = DiskJournal::open(&two(directory)).map_err(|error| error.to_string())?;
    let seen = see(&journal).await;
    journal.close().await;
    seen
}

async fn see(journal: &DiskJournal) -> Result<Seen, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut seen = Seen {
        heads: Vec::new(),
        records: Vec::new(),
        by_room: Vec::new(),
        values: Vec::new(),
        sessions: Vec::new(),
    };
    for partition in journal.partitions().all() {
        let head = journal
            .head(partition)
            .await
            .map_err(|error| text(&error))?;
        let mut after = Position {
            offset: Offset::ZERO,
            ..head
        };
        let rooms = tenants().map(|tenant| TenantRoom {
            tenant,
            room: "contact:1".parse().unwrap(),
        });
        let query = Query {
            partition,
            rooms: rooms.collect(),
            after,
            through: head.offset,
            limit: Query::RECORDS_MAX,
            bytes_max: Query::BYTES_MAX,
            now: now(),
        };
        let page = journal.read(query).await.map_err(|error| text(&error))?;
        seen.by_room
            .extend(page.records.iter().map(|record| record.position));
        let mut tail = journal.tail(partition, after);
        while after.offset < head.offset {
            for record in tail.next().await.map_err(|error| text(&error))? {
                after = record.position;
                let event = &record.event;
                let told = format!("{} {} {:?}", event.id(), event.name(), event.audience());
                seen.records.push((after, told, event.data().clone()));
            }
        }
        seen.heads.push(head);
    }
    for tenant in tenants() {
        let keys: Vec<Key> = (0..RECORDS).map(key_of).collect();
        let values = journal.values(&tenant, &keys, now()).await;
        let values = values.map_err(|error| text(&error))?;
        seen.values.extend(
            values
                .into_iter()
                .map(|value| value.map(|value| value.bytes)),
        );
    }
    for number in 0..RECORDS {
        let (tenant, user) = owner();
        let claimed = journal
            .claim(&session_key(number), &tenant, &user, now(), now())
            .await;
        let claimed = claimed.map_err(|error| text(&error))?;
        seen.sessions.push(claimed.map(|claimed| claimed.session));
    }
    Ok(seen)
}

async fn fill(journal: &DiskJournal) {
    for number in 0..RECORDS {
        let tenant = tenants().nth(usize::try_from(number % 4).unwrap()).unwrap();
        let size = if number.is_multiple_of(7) { 9_000 } else { 300 };
        let event = Event::from_parts(EventParts {
            tenant: tenant.clone(),
            ..sized(&number.to_string(), size).into_parts()
        });
        let change = Change {
            key: key_of(number),
            expect: Expect::Anything,
            value: Some(Bytes::from(vec![b'v'; 200])),
            expires_at: None,
            event: None,
        };
        let partition = journal.partitions().of(&tenant);
        let batch = Batch::new(partition, tenant, vec![event], vec![change]).unwrap();
        let position = journal.append(batch, now()).await.unwrap()[0].position;
        let (tenant, user) = owner();
        let session = StoredSession {
            socket_id: "socket".into(),
            tenant,
            user,
            start: position,
            rooms: vec![StoredRoom {
                room: "contact:1".parse().unwrap(),
                from: position.offset,
            }],
        };
        let end = now()
            .checked_add(std::time::Duration::from_hours(1))
            .unwrap();
        journal
            .save(
                &session_key(number),
                Generation::FIRST,
                &session,
                end,
                now(),
            )
            .await
            .unwrap();
    }
}

fn two(path: &Path) -> DiskConfig {
    DiskConfig {
        partitions: NonZeroU16::new(2).unwrap(),
        ..config(path)
    }
}

fn tenants() -> impl Iterator<Item = TenantId> {
    ["acme", "globex", "initech", "umbrella"]
        .into_iter()
        .map(|name| name.parse().unwrap())
}

fn owner() -> (TenantId, UserId) {
    ("acme".parse().unwrap(), "7".parse().unwrap())
}

fn key_of(number: u64) -> Key {
    format!("key:{number}").parse().unwrap()
}

fn session_key(number: u64) -> SessionKey {
    format!("{number:020}").parse().unwrap()
}

fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in FILES {
        if directory.join(name).exists() {
            fs::copy(directory.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// SplitMix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end).unwrap()
    }
}

/// What is not a lie: a whole journal beside which somebody put a mark of a later time.
#[tokio::test]
async fn a_journal_that_lost_its_newest_commits_begins_a_new_history() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(DiskJournal::open(&two(directory.path())).unwrap());
    fill(&journal).await;
    let earlier = copy(directory.path());
    let epoch = see(&journal).await.unwrap().heads[0].epoch;
    fill_more(&journal).await;
    journal.close().await;
    fs::copy(
        directory.path().join("journal.mark"),
        earlier.path().join("journal.mark"),
    )
    .unwrap();

    let verdict = tools::verify(earlier.path(), &mut |_| {}).unwrap();
    let journal = DiskJournal::open(&two(earlier.path())).unwrap();
    let seen = see(&journal).await.unwrap();
    journal.close().await;
    let again = DiskJournal::open(&two(earlier.path())).unwrap();
    let after = see(&again).await.unwrap();
    again.close().await;

    assert!(
        verdict.findings[0]
            .to_string()
            .contains("the newest commits are missing")
    );
    assert_eq!(seen.records.len() as u64, RECORDS);
    assert_ne!(seen.heads[0].epoch, epoch);
    assert_eq!(after.heads, seen.heads, "a new history begins once");
}

/// A value alone: no offset tells that it is gone.
async fn fill_more(journal: &DiskJournal) {
    let tenant: TenantId = "acme".parse().unwrap();
    let change = Change {
        key: key_of(RECORDS + 1),
        expect: Expect::Anything,
        value: None,
        expires_at: None,
        event: None,
    };
    let put = Change {
        value: Some(Bytes::from_static(b"v")),
        ..change.clone()
    };
    let partition = journal.partitions().of(&tenant);
    let batch = Batch::new(partition, tenant, Vec::new(), vec![put]).unwrap();
    journal.append(batch, now()).await.unwrap();
}
