//! Large numbers in one process, where file descriptors are not what ends first.

#![expect(
    clippy::disallowed_methods,
    reason = "the time that the hub takes is what is measured, and what runs beside it is a thread"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use switchboard_event::{Offset, Room};
use switchboard_hub::{Hub, HubStats, Post, Seat};

use crate::{contact, grant, publish};

/// As many as the design asks for, and what time is compared with.
const MANY: usize = 100_000;
const FEW: usize = MANY / 10;

/// Ten times as many may take this much longer: 10 is linear, 100 would be quadratic.
const LONGER_MAX: u32 = 40;

/// How long what must not wait may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts what all lines of a test were sent, together.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Post for Counted {
    type Delivery = u64;

    fn post(&self, _delivery: &u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_room_of_a_hundred_thousand_costs_each_member_what_a_small_one_does() {
    let few = fastest(|| one_room(FEW));

    let many = fastest(|| one_room(MANY));

    assert!(
        many < few * LONGER_MAX,
        "{few:?}, ten times as many {many:?}"
    );
}

#[test]
fn a_hundred_thousand_rooms_of_one_cost_each_what_a_few_do() {
    let few = fastest(|| rooms_of_one(FEW));

    let many = fastest(|| rooms_of_one(MANY));

    assert!(
        many < few * LONGER_MAX,
        "{few:?}, ten times as many {many:?}"
    );
}

/// Everybody joins one room, hears, and half leave, from its beginning, its end and its middle.
fn one_room(len: usize) -> Duration {
    let hub = Arc::new(Hub::new(Offset::ZERO));
    let heard = Counted::default();
    let grant = grant("acme", contact(1));
    let start = Instant::now();

    let seats: Vec<_> = sit(&hub, &heard, len);
    for seat in &seats {
        assert!(seat.join(&grant).unwrap().is_new);
    }
    assert_eq!(publish(&hub, 1, "acme", &[contact(1)], &[]), len);
    assert_eq!(heard.0.load(Ordering::Relaxed), len);

    let half = leave_in_turns(&seats, &contact(1));
    assert_eq!(
        publish(&hub, 2, "acme", &[contact(1), contact(2)], &[]),
        half
    );
    assert_eq!(heard.0.load(Ordering::Relaxed), len + half);
    drop(seats);

    assert_eq!(hub.stats(), HubStats::default());
    start.elapsed()
}

/// Takes every other seat out of the room; returns how many stay.
fn leave_in_turns(seats: &[Seat<Counted>], room: &Room) -> usize {
    for seat in seats.iter().step_by(2) {
        assert!(seat.leave(room));
    }
    seats.len() / 2
}

/// Everybody joins a room of their own, hears once, and leaves by going away.
fn rooms_of_one(len: usize) -> Duration {
    let hub = Arc::new(Hub::new(Offset::ZERO));
    let heard = Counted::default();
    let grants: Vec<_> = (0..len).map(|id| grant("acme", contact(id))).collect();
    let rooms: Vec<_> = (0..len).map(contact).collect();
    let start = Instant::now();

    let seats = sit(&hub, &heard, len);
    for (seat, grant) in seats.iter().zip(&grants) {
        seat.join(grant).unwrap();
    }
    assert_eq!(hub.stats().rooms, len);
    for (offset, room) in (1..).zip(&rooms) {
        assert_eq!(
            publish(&hub, offset, "acme", std::slice::from_ref(room), &[]),
            1
        );
    }
    assert_eq!(heard.0.load(Ordering::Relaxed), len);
    drop(seats);

    assert_eq!(hub.stats(), HubStats::default());
    start.elapsed()
}

fn sit(hub: &Arc<Hub<Counted>>, heard: &Counted, len: usize) -> Vec<Seat<Counted>> {
    let seat = |_| hub.sit("acme".parse().unwrap(), heard.clone());
    (0..len).map(seat).collect()
}

/// Of three times the shortest, because others use the machine too.
fn fastest(run: impl Fn() -> Duration) -> Duration {
    (0..3).map(|_| run()).min().unwrap()
}

/// Says that it is being posted to, and stays there until it is let go.
#[derive(Clone)]
struct Held {
    entered: SyncSender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

impl Post for Held {
    type Delivery = u64;

    fn post(&self, _delivery: &u64) {
        self.entered.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
    }
}

#[test]
fn who_comes_joins_and_leaves_does_not_wait_for_a_fan_out() {
    let hub = Arc::new(Hub::new(Offset::ZERO));
    let (entered, posting) = sync_channel(0);
    let (let_go, go_on) = sync_channel(0);
    let held = Held {
        entered,
        go_on: Arc::new(Mutex::new(go_on)),
    };
    let seat = hub.sit("acme".parse().unwrap(), held.clone());
    seat.join(&grant("acme", contact(1))).unwrap();
    let fan_out = thread::spawn({
        let hub = hub.clone();
        move || publish(&hub, 7, "acme", &[contact(1)], &[])
    });
    posting.recv_timeout(PATIENCE).expect("the fan-out begins");

    // In a thread of its own, so that waiting fails the test instead of holding it.
    let (done, is_done) = sync_channel(1);
    thread::spawn(move || {
        let other = hub.sit("acme".parse().unwrap(), held);
        let joined = other.join(&grant("acme", contact(1))).unwrap();
        let left = other.leave(&contact(1));
        drop(other);
        done.send((joined.from, left, hub.stats().sessions))
            .unwrap();
    });
    let joined = is_done.recv_timeout(PATIENCE).expect("a join meanwhile");

    // The record that is on its way does not come to who joined behind it.
    assert_eq!(joined, (Offset::new(7), true, 1));
    assert!(!fan_out.is_finished());
    let_go.send(()).unwrap();
    assert_eq!(fan_out.join().unwrap(), 1);
}
