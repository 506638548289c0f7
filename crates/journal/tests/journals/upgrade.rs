//! Files of earlier formats, kept as they were made, are opened and read whole.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Audience, Epoch, Event, EventParts, Offset, Position, TenantId};
use switchboard_journal::{
    Batch, Change, DiskJournal, Expect, Generation, Holder, Journal, Lease, LeaseName, Leases,
    SessionKey, Sessions, StoredRoom, StoredSession, tools,
};

use crate::disk::{append, config, now, partition, read, value};

/// Makes what the fixtures hold. A new format gets a fixture of its own by running this, with the
/// directory in `FIXTURE`, and `VACUUM` on the file.
#[tokio::test]
#[ignore = "makes a fixture"]
async fn make_a_fixture() {
    let path = std::env::var("FIXTURE").unwrap();
    let journal = DiskJournal::open(&config(Path::new(&path))).unwrap();
    fill(&journal).await;
    journal.close().await;
}

#[tokio::test]
async fn a_journal_of_format_1_is_read_whole_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1.db");
    fs::copy(fixture, directory.path().join("journal.db")).unwrap();
    let older = tools::verify(directory.path(), &mut |_| {}).unwrap_err();
    let config = config(directory.path());

    let journal = DiskJournal::open(&config).unwrap();
    check(&journal).await;
    let next = append(&journal, vec![event(RECORDS + 1)], Vec::new()).await;
    journal.close().await;

    assert!(
        older
            .to_string()
            .ends_with("has format 1, which the next start makes 2")
    );
    assert_eq!(next.unwrap()[0].position.offset, Offset::new(RECORDS + 1));
    let verdict = tools::verify(directory.path(), &mut |_| {}).unwrap();
    assert_eq!(
        (verdict.findings, verdict.records),
        (Vec::new(), RECORDS + 1)
    );
    let journal = DiskJournal::open(&config).unwrap();
    assert_eq!(
        journal.head(partition()).await.unwrap().offset,
        Offset::new(RECORDS + 1)
    );
    journal.close().await;
}

/// Holds a journal to what [`fill`] put into it.
async fn check(journal: &DiskJournal) {
    let head = journal.head(partition()).await.unwrap();
    let start = Position {
        offset: Offset::ZERO,
        ..head
    };
    let records = journal.tail(partition(), start).next().await.unwrap();
    assert_eq!(head.offset, Offset::new(RECORDS));
    assert_eq!(records.len() as u64, RECORDS);
    for (record, number) in records.iter().zip(1..) {
        assert_eq!(record.position.offset, Offset::new(number));
        assert!(record.event == event(number), "{number}");
        let again = append(journal, vec![event(number)], Vec::new())
            .await
            .unwrap();
        assert!(again[0].duplicate);
        let value = value(journal, &format!("key:{number}")).await.unwrap();
        assert_eq!(value.bytes, format!("value {number}"));
    }
    let ids: Vec<_> = (1..=RECORDS).filter(|number| number % 3 == 1).collect();
    let expected: Vec<_> = ids.iter().map(|number| format!("event-{number}")).collect();
    assert_eq!(read(journal, 0).await, expected);
    assert_eq!(journal.awaiting(partition(), now()).await.unwrap().len(), 4);
    let user = "7".parse().unwrap();
    let claimed = journal.claim(&key(), &tenant(), &user, end(), now()).await;
    let claimed = claimed.unwrap().unwrap();
    assert_eq!(claimed.session, session(head.epoch));
    let leases = journal.held(partition(), "presence:", None).await.unwrap();
    assert_eq!(leases, [lease()]);
}

async fn fill(journal: &DiskJournal) {
    for number in 1..=RECORDS {
        let change = Change {
            key: format!("key:{number}").parse().unwrap(),
            expect: Expect::Anything,
            value: Some(Bytes::from(format!("value {number}"))),
            expires_at: None,
            event: None,
        };
        let batch = Batch::new(partition(), tenant(), vec![event(number)], vec![change]);
        journal.append(batch.unwrap(), now()).await.unwrap();
    }
    let session = session(journal.head(partition()).await.unwrap().epoch);
    journal
        .save(&key(), Generation::FIRST, &session, end(), now())
        .await
        .unwrap();
    journal.hold(&[lease()]).await.unwrap();
}

fn event(number: u64) -> Event {
    let rooms = [format!("contact:{}", number % 3), "team:acme".to_owned()];
    let receipt_by = now().checked_add(Duration::from_mins(number));
    let expires_at = now().checked_add(Duration::from_hours(number));
    Event::from_parts(EventParts {
        id: format!("event-{number}").parse().unwrap(),
        tenant: tenant(),
        at: now(),
        name: "contact:updated".into(),
        data: Bytes::from(format!(r#"{{"id":"{number}","text":"gr\u00fc\u00dfe"}}"#)),
        audience: Audience {
            rooms: rooms.iter().map(|room| room.parse().unwrap()).collect(),
            except: vec!["user:7".parse().unwrap()],
        },
        expires_at: expires_at.filter(|_| number.is_multiple_of(2)),
        receipt_by: receipt_by.filter(|_| number.is_multiple_of(5)),
        fingerprint: [u8::try_from(number).unwrap(); 16],
    })
}

fn session(epoch: Epoch) -> StoredSession {
    StoredSession {
        socket_id: "socket".into(),
        tenant: tenant(),
        user: "7".parse().unwrap(),
        start: Position {
            epoch,
            offset: Offset::new(3),
        },
        rooms: vec![StoredRoom {
            room: "contact:1".parse().unwrap(),
            from: Offset::new(300),
        }],
    }
}

fn lease() -> Lease {
    Lease {
        name: LeaseName {
            tenant: tenant(),
            name: "presence:7".parse().unwrap(),
        },
        holder: Holder::new(9),
        value: Bytes::from_static(b"online"),
        expires_at: end(),
    }
}

fn key() -> SessionKey {
    "0123456789abcdefghij".parse().unwrap()
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn end() -> switchboard_event::Timestamp {
    now().checked_add(Duration::from_hours(1)).unwrap()
}

const RECORDS: u64 = 20;
