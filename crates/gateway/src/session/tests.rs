//! A session of a real connection, whose rights change.

use std::num::NonZeroU16;
use std::time::Duration;

use switchboard_engine::{
    Admission, Application, Config, DisconnectReason, Engine, Handling, Incoming, NotFound,
    Refusal, serve,
};
use switchboard_event::{Audience, Clock, Epoch, Event, EventParts};
use switchboard_hub::{Decision, LinkRights, Rights, Rule, Rules};
use switchboard_journal::{Generation, Holder, Journal as _, MemoryConfig, MemoryJournal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::floor::{Floor, FloorConfig};
use crate::lifetime::{Lifetime, OnExpiry};

#[tokio::test]
async fn a_token_that_was_replaced_ends_nothing_and_none_is_replaced_after_the_end() {
    let session = session().await;
    let lifetime = Lifetime {
        on_expiry: OnExpiry::Disconnect,
        notice: Duration::ZERO,
        leeway: Duration::from_secs(5),
    };
    let renew = |expires_s| session.renew(identity(expires_s), &[], Vec::new(), || true);

    assert!(renew(200).is_ok());
    assert!(!session.end_if_over(at(204), &lifetime));
    assert!(session.end_if_over(at(205), &lifetime));

    assert!(matches!(renew(300), Err(Ended)));
    assert!(!session.end_if_over(at(400), &lifetime), "once is enough");
}

#[tokio::test]
async fn only_who_decides_for_the_last_order_lifts_a_doubt() {
    let session = session().await;
    let grant = grant("contact:1");
    let basis = session.basis();
    session.begin(std::slice::from_ref(&grant), basis).unwrap();
    let room = || grant.room().clone();
    let suspend = |order| session.suspend(order, |_, one| *one == room());

    assert!(suspend(1) && suspend(2) && session.stored_rooms().len() == 1);
    assert!(!session.is_in(&room()));
    assert!(!session.restore(&grant, 1, 0), "the second order is open");
    assert!(!session.restore(&grant, 2, 1), "of another token");
    assert!(session.undecided(1).is_empty());
    assert_eq!(session.undecided(2), [room()]);

    assert!(session.restore(&grant, 2, 0));
    assert!(session.is_in(&room()));
    session.decided(&room()).await;
}

#[tokio::test]
async fn what_was_decided_before_an_order_joins_nothing() {
    let session = session().await;
    let basis = session.basis();
    session.lane.note_order();

    let outdated = session.begin(&[grant("contact:1")], basis);

    assert_eq!(outdated, Err(NotSeated::Overtaken));
    assert!(session.rooms().is_empty());
    let basis = session.basis();
    assert_eq!(session.begin(&[grant("contact:1")], basis), Ok(()));
}

#[tokio::test]
async fn what_is_decided_between_a_look_and_a_wait_is_not_missed() {
    let session = session().await;
    let (one, other) = (grant("contact:1"), grant("contact:2"));
    let basis = session.basis();
    session.begin(&[one.clone(), other.clone()], basis).unwrap();
    assert!(session.suspend(1, |_, _| true));

    let doubts = session.doubts();
    assert!(session.restore(&one, 1, 0));
    let waited = timeout(Duration::from_secs(10), doubts.next_decision());

    waited
        .await
        .expect("the other room is not what was waited for");
    assert!(session.is_in_doubt(other.room()) && session.is_in(one.room()));
}

#[tokio::test]
async fn a_replay_waits_for_a_room_through_which_the_line_may_have_the_record() {
    let session = session().await;
    let (replayed, other) = (grant("contact:1"), grant("contact:2"));
    let basis = session.basis();
    session
        .begin(&[replayed.clone(), other.clone()], basis)
        .unwrap();
    let both = record(5, &[replayed.room(), other.room()]);
    let alone = record(6, &[replayed.room()]);
    let replays = |record| session.replays(record, replayed.room());
    assert_eq!(
        (replays(&both), replays(&alone)),
        (Hearing::No, Hearing::Yes)
    );

    session.suspend(1, |_, room| room == other.room());
    assert_eq!(replays(&both), Hearing::Undecided);
    assert_eq!(replays(&alone), Hearing::Yes);
    session.restore(&other, 1, 0);
    assert_eq!(replays(&both), Hearing::No, "the line has it");

    session.suspend(2, |_, room| room == other.room());
    session.withdraw(&[other.room().clone()], 0);
    assert_eq!(replays(&both), Hearing::Yes, "nothing else brings it");
}

/// Makes a session of whoever connects, and tells of it.
struct Desk {
    lane: Arc<Lane>,
    made: mpsc::Sender<Arc<Session>>,
}

impl Application for Desk {
    type Socket = Arc<Session>;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<Arc<Session>>, Refusal> {
        let credential = Credential {
            key: "YHcX2sdAF1z452-HAAAW".parse().unwrap(),
            generation: Generation::FIRST,
        };
        let (lane, socket_id) = (Arc::clone(&self.lane), request.handle.id());
        let session = Session::new(identity(100), &request, lane, credential, socket_id);
        let session = Arc::new(session);
        self.made.send(Arc::clone(&session)).await.unwrap();
        Ok(Admission::new(session))
    }

    fn event(self: &Arc<Self>, _: &Arc<Session>, _: Incoming) -> Handling {
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, _: Arc<Session>, _: DisconnectReason) {}
}

/// The session of a client over polling, which stays until the test is over.
async fn session() -> Arc<Session> {
    let store = Arc::new(MemoryJournal::new(MemoryConfig {
        partitions: NonZeroU16::MIN,
        ..MemoryConfig::new(Epoch::new(7))
    }));
    let partition = store.partitions().of(&"acme".parse().unwrap());
    let head = store.head(partition).await.unwrap();
    let floor = Floor::new(
        partition,
        Arc::clone(&store) as _,
        Clock::new(|| at(0)),
        Holder::new(1),
        FloorConfig::default(),
    );
    let lane = Arc::new(Lane::new(partition, head, Arc::default(), floor));
    let (made, mut sessions) = mpsc::channel(1);
    let engine = Engine::new(Arc::new(Desk { lane, made }), Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, engine, NotFound, std::future::pending()));

    let open =
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let opened = ask(address, open).await;
    let (_, rest) = opened.split_once("\"sid\":\"").unwrap();
    let (sid, _) = rest.split_once('"').unwrap();
    ask(
        address,
        &format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: a\r\n\
             connection: close\r\ncontent-length: 2\r\n\r\n40"
        ),
    )
    .await;
    sessions.recv().await.unwrap()
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn record(offset: u64, rooms: &[&Room]) -> Record {
    let audience = Audience {
        rooms: rooms.iter().map(|&room| room.clone()).collect(),
        ..Audience::default()
    };
    Record {
        position: Position {
            epoch: Epoch::new(7),
            offset: Offset::new(offset),
        },
        event: Event::from_parts(EventParts {
            id: "e".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            at: at(0),
            name: "contact:deleted".into(),
            data: "{}".into(),
            audience,
            expires_at: None,
            receipt_by: None,
            fingerprint: [0; 16],
        }),
    }
}

fn identity(expires_s: i64) -> Identity {
    Identity {
        rights: rights(),
        expires_at: at(expires_s),
        issued_at: None,
        token_id: None,
    }
}

fn grant(room: &str) -> Grant {
    match Rules::new(Rule::Open).decide(&rights(), room.parse().unwrap()) {
        Decision::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

fn rights() -> Rights {
    let patterns = Arc::new([]);
    let link = LinkRights::Subscribed;
    Rights::new(
        "acme".parse().unwrap(),
        "ana".parse().unwrap(),
        patterns,
        link,
    )
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}
