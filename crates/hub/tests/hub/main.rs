//! Fan-out as its callers see it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod momentary;
mod presence;
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use switchboard_event::{Offset, Room, TenantId, UserId};
use switchboard_hub::{
    Audience, Decision, Grant, Hub, LinkRights, Post, Rights, Rule, Rules, Seat,
};

/// A line that remembers what it was sent.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Vec<u64>>>);

impl Post for Line {
    type Delivery = u64;

    fn post(&self, delivery: &u64) {
        self.0.lock().push(*delivery);
    }
}

impl Line {
    fn heard(&self) -> Vec<u64> {
        self.0.lock().clone()
    }
}

#[test]
fn a_session_in_several_of_the_rooms_hears_a_record_once() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");
    join(&seat, "acme", contact(1));
    join(&seat, "acme", contact(2));

    let heard = publish(&hub, 1, "acme", &[contact(1), contact(2)], &[]);

    assert_eq!((heard, line.heard()), (1, vec![1]));
}

#[test]
fn whoever_is_in_an_excepted_room_hears_nothing() {
    let hub = hub();
    let (both, both_seat) = sit(&hub, "acme");
    let (one, one_seat) = sit(&hub, "acme");
    join(&both_seat, "acme", contact(1));
    join(&both_seat, "acme", contact(2));
    join(&one_seat, "acme", contact(1));

    publish(&hub, 1, "acme", &[contact(1)], &[contact(2)]);

    assert_eq!((both.heard(), one.heard()), (vec![], vec![1]));
}

#[test]
fn rooms_of_the_same_name_in_two_tenants_are_two_rooms() {
    let hub = hub();
    let (ours, our_seat) = sit(&hub, "acme");
    let (theirs, their_seat) = sit(&hub, "other");
    join(&our_seat, "acme", contact(1));
    join(&their_seat, "other", contact(1));

    publish(&hub, 1, "acme", &[contact(1)], &[]);

    assert_eq!((ours.heard(), theirs.heard()), (vec![1], vec![]));
}

#[test]
fn a_grant_of_another_tenant_opens_nothing() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");

    let joined = seat.join(&grant("other", contact(1)));

    publish(&hub, 1, "other", &[contact(1)], &[]);
    assert!(joined.is_err());
    assert!(line.heard().is_empty());
}

#[test]
fn who_is_suspended_hears_nothing_and_is_named_to_whoever_hands_out() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");
    join(&seat, "acme", contact(1));
    join(&seat, "acme", contact(2));
    assert!(seat.suspend(&contact(1)));
    assert!(!seat.suspend(&contact(1)) && !seat.suspend(&contact(3)));

    let of = |rooms: &[Room], except: &[Room]| {
        let tenant = "acme".parse().unwrap();
        let audience = Audience {
            tenant: &tenant,
            rooms,
            except,
        };
        let recipients = hub.recipients(Offset::new(1), audience);
        (recipients.posts.len(), recipients.suspended.len())
    };
    assert_eq!(of(&[contact(1)], &[]), (0, 1));
    assert_eq!(of(&[contact(1), contact(2)], &[]), (1, 1));
    assert_eq!(of(&[contact(2)], &[]), (1, 0));
    assert_eq!(of(&[contact(2)], &[contact(1)]), (0, 0));
    assert_eq!((hub.stats().rooms, hub.stats().sessions), (1, 1));
    assert_eq!(hub.stats().suspended, 1);

    join(&seat, "acme", contact(1));
    assert_eq!(of(&[contact(1)], &[]), (1, 0));
    assert!(seat.suspend(&contact(1)) && seat.leave(&contact(1)));
    assert_eq!(of(&[contact(1)], &[]), (0, 0));
    assert!(seat.suspend(&contact(2)));
    seat.leave_all();
    assert_eq!(hub.stats().rooms, 0);
    assert!(line.heard().is_empty());
}

#[test]
fn a_join_says_how_far_fan_out_had_come() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");
    publish(&hub, 7, "acme", &[contact(1)], &[]);

    let joined = seat.join(&grant("acme", contact(1))).unwrap();

    publish(&hub, 8, "acme", &[contact(1)], &[]);
    assert_eq!((joined.from, joined.is_new), (Offset::new(7), true));
    assert_eq!(line.heard(), vec![8]);
    assert!(!seat.join(&grant("acme", contact(1))).unwrap().is_new);
}

#[test]
fn several_joins_in_one_step_begin_at_one_offset() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");
    publish(&hub, 7, "acme", &[contact(1)], &[]);

    let from = seat.join_all(&[grant("acme", contact(1)), grant("acme", contact(2))]);

    publish(&hub, 8, "acme", &[contact(2)], &[]);
    assert_eq!(from, Ok((Offset::new(7), vec![contact(1), contact(2)])));
    assert_eq!(line.heard(), vec![8]);
    assert!(
        seat.join_all(&[grant("acme", contact(3)), grant("other", contact(4))])
            .is_err()
    );
    assert_eq!(hub.stats().rooms, 2);
}

#[test]
fn a_record_for_everyone_reaches_every_tenant_once_but_nobody_who_is_in_no_room() {
    let hub = hub();
    let (ours, our_seat) = sit(&hub, "acme");
    let (theirs, their_seat) = sit(&hub, "other");
    let (new, _new_seat) = sit(&hub, "acme");
    let (gone, gone_seat) = sit(&hub, "acme");
    join(&our_seat, "acme", contact(1));
    join(&their_seat, "other", contact(1));
    join(&gone_seat, "acme", contact(1));
    join(&gone_seat, "acme", contact(2));
    gone_seat.leave_all();

    hub.publish(
        Offset::new(1),
        Audience {
            tenant: &TenantId::everyone(),
            rooms: &[contact(1)],
            except: &[],
        },
        &1,
    );

    assert_eq!((ours.heard(), theirs.heard()), (vec![1], vec![1]));
    assert!(new.heard().is_empty() && gone.heard().is_empty());
    assert_eq!(hub.stats().rooms, 2);
}

#[test]
fn a_dropped_seat_leaves_nothing_behind() {
    let hub = hub();
    let (line, seat) = sit(&hub, "acme");
    join(&seat, "acme", contact(1));
    join(&seat, "acme", Room::user(&"ana".parse::<UserId>().unwrap()));
    assert_eq!((hub.stats().rooms, hub.stats().users), (2, 1));

    drop(seat);

    publish(&hub, 1, "acme", &[contact(1)], &[]);
    assert!(line.heard().is_empty());
    assert_eq!(hub.stats(), switchboard_hub::HubStats::default());
}

#[derive(Clone, Debug)]
enum Step {
    Join(usize, usize),
    Leave(usize, usize),
    Drop(usize),
    Publish(Vec<usize>, Vec<usize>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_usize, 0..5_usize).prop_map(|(seat, room)| Step::Join(seat, room)),
        2 => (0..6_usize, 0..5_usize).prop_map(|(seat, room)| Step::Leave(seat, room)),
        1 => (0..6_usize).prop_map(Step::Drop),
        4 => (prop::collection::vec(0..5_usize, 0..4), prop::collection::vec(0..5_usize, 0..2))
            .prop_map(|(rooms, except)| Step::Publish(rooms, except)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// A map of sets is the model: whatever is joined, left, dropped and published, in any order,
    /// each session hears what the model says, once.
    #[test]
    fn any_history_reaches_whom_the_model_names(steps in steps()) {
        let hub = hub();
        let mut seats: BTreeMap<usize, (Line, Seat<Line>, BTreeSet<usize>)> = BTreeMap::new();
        let mut offset = 0;
        for step in steps {
            match step {
                Step::Join(key, room) => {
                    let (_, seat, rooms) = seats.entry(key).or_insert_with(|| {
                        let (line, seat) = sit(&hub, "acme");
                        (line, seat, BTreeSet::new())
                    });
                    let joined = seat.join(&grant("acme", contact(room))).unwrap();
                    prop_assert_eq!(joined.is_new, rooms.insert(room));
                }
                Step::Leave(key, room) => if let Some((_, seat, rooms)) = seats.get_mut(&key) {
                    prop_assert_eq!(seat.leave(&contact(room)), rooms.remove(&room));
                },
                Step::Drop(key) => drop(seats.remove(&key)),
                Step::Publish(rooms, except) => {
                    offset += 1;
                    let names = |keys: &[usize]| keys.iter().map(|&key| contact(key)).collect::<Vec<_>>();
                    publish(&hub, offset, "acme", &names(&rooms), &names(&except));
                    for (line, _, joined) in seats.values() {
                        let expected = rooms.iter().any(|room| joined.contains(room))
                            && !except.iter().any(|room| joined.contains(room));
                        let times = line.heard().iter().filter(|&&one| one == offset).count();
                        prop_assert_eq!(times, usize::from(expected));
                    }
                }
            }
            let occupied: BTreeSet<_> = seats.values().flat_map(|(_, _, rooms)| rooms).collect();
            prop_assert_eq!(hub.stats().rooms, occupied.len());
            prop_assert_eq!(hub.stats().sessions, seats.len());
        }
    }
}

fn hub() -> Arc<Hub<Line>> {
    Arc::new(Hub::new(Offset::ZERO))
}

fn sit(hub: &Arc<Hub<Line>>, tenant: &str) -> (Line, Seat<Line>) {
    let line = Line::default();
    let seat = hub.sit(tenant.parse().unwrap(), line.clone());
    (line, seat)
}

fn join(seat: &Seat<Line>, tenant: &str, room: Room) {
    seat.join(&grant(tenant, room)).unwrap();
}

fn grant(tenant: &str, room: Room) -> Grant {
    let user = match room.kind() {
        switchboard_event::RoomKind::User => room.id().parse().unwrap(),
        _ => "ana".parse().unwrap(),
    };
    let rights = Rights::new(
        tenant.parse().unwrap(),
        user,
        Arc::default(),
        LinkRights::Subscribed,
    );
    match Rules::new(Rule::Open).decide(&rights, room) {
        Decision::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

fn publish<P: Post<Delivery = u64>>(
    hub: &Hub<P>,
    offset: u64,
    tenant: &str,
    rooms: &[Room],
    except: &[Room],
) -> usize {
    let tenant = tenant.parse().unwrap();
    hub.publish(
        Offset::new(offset),
        Audience {
            tenant: &tenant,
            rooms,
            except,
        },
        &offset,
    )
}

fn contact(id: usize) -> Room {
    Room::contact(&id.to_string().parse().unwrap())
}
