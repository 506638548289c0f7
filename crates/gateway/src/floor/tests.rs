//! Several nodes on one store, in paused time: each knows the same, and tells each change once.

use std::num::NonZeroU16;

use bytes::Bytes;
use switchboard_event::{Epoch, Payload, payload::PresenceUpdate};
use switchboard_journal::{Journal, Lease, LeaseName, Leases, MemoryConfig, MemoryJournal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attendant::Attendant;
use super::*;
use crate::counters::Counters;
use crate::lane::Lane;

#[tokio::test(start_paused = true)]
async fn a_person_is_online_while_any_node_says_so() {
    let store = store();
    let (one, two) = (Node::start(&store, 1).await, Node::start(&store, 2).await);

    one.enter("ana");
    two.enter("ana");
    pass(1).await;
    one.leave("ana");
    pass(60).await;
    assert_eq!([one.told(), two.told()], [["ana online"], ["ana online"]]);
    two.leave("ana");
    pass(60).await;

    assert_eq!([one.told(), two.told()], [["ana offline"], ["ana offline"]]);
}

#[tokio::test(start_paused = true)]
async fn whose_node_died_is_offline_once_unless_they_came_to_another_one() {
    let store = store();
    let (one, two) = (Node::start(&store, 1).await, Node::start(&store, 2).await);
    two.enter("ana");
    two.enter("rui");
    pass(60).await;
    assert_eq!(one.told(), ["ana online", "rui online"]);

    drop(two);
    pass(LEASE / 2).await;
    one.enter("ana");
    pass(LEASE * 2).await;

    assert_eq!(one.told(), ["rui offline"]);
    assert_eq!(one.team(), ["ana"]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_after_a_restart_never_flickers_however_long_it_took() {
    let store = store();
    let before = Node::start(&store, 1).await;
    before.enter("ana");
    before.enter("rui");
    pass(1).await;
    drop(before);
    pass(LEASE * 100).await;

    let after = Node::start(&store, 2).await;
    after.enter("ana");
    pass(LEASE * 3).await;

    assert_eq!(after.told(), ["rui offline"]);
    assert_eq!(after.team(), ["ana"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_leases_were_taken_says_again_what_it_has_to_say() {
    let store = store();
    let (one, two) = (Node::start(&store, 1).await, Node::start(&store, 2).await);
    one.enter("ana");
    pass(1).await;
    assert_eq!(two.told(), ["ana online"]);

    // As a node does that finds them expired, because the other one slept.
    let partition = one.lane.partition;
    let taken = store
        .take_expired(partition, "presence:", Timestamp::MAX)
        .await;
    assert_eq!(taken.unwrap().len(), 1);
    one.attendant
        .say(&one.lane.floor.node, acme(), &user("ana"), None, now());
    pass(LEASE).await;

    assert_eq!(two.told(), ["ana offline", "ana online"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_and_lost_is_read_from_the_leases() {
    let store = store();
    let node = Node::start(&store, 1).await;
    node.enter("ana");
    pass(1).await;
    // Another node says that eve is there, and nobody hears it.
    let eve = Lease {
        name: LeaseName {
            tenant: acme(),
            name: "presence:eve".parse().unwrap(),
        },
        holder: Holder::new(9),
        value: Bytes::from_static(b"away"),
        expires_at: Floor::after(now(), Duration::from_secs(LEASE)),
    };
    store.hold(std::slice::from_ref(&eve)).await.unwrap();
    pass(1).await;
    assert_eq!(node.told(), ["ana online"]);

    let speaker = speaker("rui");
    for _ in 0..2_000 {
        node.lane
            .floor
            .end_typing(&speaker, id("c"), id("w"), now());
        let typing = node
            .lane
            .floor
            .begin_typing(&speaker, id("c"), id("w"), None, now());
        typing.unwrap();
    }
    pass(1).await;

    // How much of the typing was heard is nobody's business.
    let mut told = node.told();
    told.retain(|line| line != "typing");
    assert_eq!(told, ["eve away"]);
}

#[tokio::test(start_paused = true)]
async fn every_node_ends_by_itself_what_lost_its_end() {
    let store = store();
    let (one, two) = (Node::start(&store, 1).await, Node::start(&store, 2).await);
    let speaker = speaker("ana");
    one.lane
        .floor
        .begin_typing(&speaker, id("c"), id("w"), None, now())
        .unwrap();
    one.lane
        .floor
        .begin_viewing(&speaker, id("c"), true, now())
        .unwrap();
    // Looking is said again for as long as the node lives.
    pass(LEASE * 4).await;
    assert_eq!(two.told(), ["typing", "viewing", "typing"]);

    drop(one);
    pass(LEASE + 1).await;

    assert_eq!(two.told(), ["viewing"]);
    assert_eq!(two.lane.floor.tables.lock().facts.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_contact_that_types_is_shown_to_whom_its_producer_has_told_alone() {
    let store = store();
    let node = Node::start(&store, 1).await;
    let rooms = |names: &[&str]| -> Vec<Room> {
        let names = names.iter();
        names.map(|name| name.parse().unwrap()).collect()
    };
    let shown = |contact: &str, of: &[&str]| {
        let shown = node.lane.floor.contact(&acme(), &id(contact), &rooms(of));
        shown["contactTyping"].as_array().unwrap().len()
    };

    for (contact, audience, except) in [
        ("c", ["contact:c"].as_slice(), ["user:eve"].as_slice()),
        ("d", &["user:ana"], &[]),
    ] {
        let payload = json!({
            "contactId": contact, "whatsappAccountId": "w", "isTyping": true,
        });
        let event = FleetingEvent {
            tenant: acme(),
            name: "contact:typing".into(),
            data: payload.to_string().into(),
            audience: Audience {
                rooms: rooms(audience),
                except: rooms(except),
            },
            voice: id("producers"),
            expires_at: Floor::after(now(), Duration::from_secs(LEASE)),
        };
        node.lane.floor.hear(&event, now()).unwrap();
    }

    assert_eq!(shown("c", &["user:ana", "contact:c"]), 1);
    assert_eq!(
        shown("c", &["user:ana"]),
        1,
        "who may hear it need not be in it"
    );
    assert_eq!(shown("c", &["user:eve", "contact:c"]), 0);
    assert_eq!(shown("d", &["user:ana", "contact:d"]), 1);
    assert_eq!(shown("d", &["user:eve", "contact:d"]), 0);
}

/// A node without clients: what they would be told is written down.
struct Node {
    lane: Arc<Lane>,
    attendant: Attendant,
    told: Arc<Mutex<Vec<String>>>,
    /// Dies with it.
    _tasks: JoinSet<()>,
}

impl Node {
    async fn start(store: &Arc<MemoryJournal>, number: u64) -> Self {
        let config = FloorConfig {
            grace: Duration::from_secs(10),
            lease: Duration::from_secs(LEASE),
            ..FloorConfig::default()
        };
        let partition = store.partitions().of(&acme());
        let head = store.head(partition).await.unwrap();
        let floor = Floor::new(
            partition,
            Arc::clone(store) as _,
            clock(),
            Holder::new(number),
            config,
        );
        let counters = Arc::<Counters>::default();
        let lane = Arc::new(Lane::new(partition, head, counters, floor));
        let attendant = || Attendant::new(Arc::clone(&lane), Arc::clone(store) as _, clock());
        let told = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(attendant().run());
        tasks.spawn(write_down(Arc::clone(&lane), Arc::clone(&told)));
        // What is found at the start is found before anybody comes.
        pass(1).await;
        Self {
            attendant: attendant(),
            lane,
            told,
            _tasks: tasks,
        }
    }

    fn enter(&self, user: &str) {
        self.lane.floor.enter(&speaker(user), false, now());
    }

    fn leave(&self, user: &str) {
        self.lane.floor.leave(&speaker(user), now());
    }

    /// What clients were told since this was last asked.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }

    fn team(&self) -> Vec<String> {
        let tables = self.lane.floor.tables.lock();
        let acme = acme();
        let people = tables.presence.people(&acme, None);
        people.map(|(user, _)| user.to_string()).collect()
    }
}

/// What a lane does, with a pen instead of a hub.
async fn write_down(lane: Arc<Lane>, told: Arc<Mutex<Vec<String>>>) {
    let (floor, clock) = (&lane.floor, clock());
    let mut listener = floor.listen();
    loop {
        let over = floor.next_end();
        let utterances: Vec<Utterance> = tokio::select! {
            heard = next(&mut *listener) => match heard {
                HeardNext::Event(event) => floor.hear(&event, now()).into_iter().collect(),
                HeardNext::Lost(_) => {
                    floor.doubt();
                    Vec::new()
                }
            },
            () = wait(&clock, over) => floor.expire(now()),
            () = floor.listed() => floor.reconcile(now()),
        };
        for utterance in utterances {
            assert_eq!(utterance.tenant, acme());
            let payload: Value = serde_json::from_slice(&utterance.data).unwrap();
            let word = match utterance.name {
                PresenceUpdate::EVENT => {
                    let text = |field: &str| payload[field].as_str().unwrap().to_owned();
                    format!("{} {}", text("userId"), text("status"))
                }
                "typing:indicator" => "typing".to_owned(),
                _ => "viewing".to_owned(),
            };
            let mut told = told.lock();
            // Of the many that are told while others are lost one is enough.
            if word != "typing" || told.last() != Some(&word) {
                told.push(word);
            }
        }
    }
}

fn store() -> Arc<MemoryJournal> {
    Arc::new(MemoryJournal::new(MemoryConfig {
        partitions: NonZeroU16::MIN,
        ..MemoryConfig::new(Epoch::new(7))
    }))
}

fn clock() -> Clock {
    Clock::new(now)
}

/// The paused clock as the time of day.
fn now() -> Timestamp {
    thread_local!(static START: Instant = Instant::now());
    let passed = START.with(Instant::elapsed);
    Floor::after(Timestamp::from_millis(1_762_336_800_000), passed)
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn speaker(user: &str) -> Speaker {
    Speaker {
        tenant: acme(),
        user: self::user(user),
        voice: id(&format!("socket-of-{user}")),
    }
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn user(text: &str) -> UserId {
    text.parse().unwrap()
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

const LEASE: u64 = 30;
