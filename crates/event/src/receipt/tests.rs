use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::{Audience, EventParts};

#[test]
fn whom_the_audience_names_is_offline_until_it_is_reached() {
    let mut state = receipt(&["user:7", "user:8", "team:acme"], &["user:8"]);

    let before = state.view(id(), at(0));
    let is_news = state.reach(&user("7"), Reached::Sent);
    let after = state.view(id(), at(0));

    assert!(is_news);
    assert_eq!(before.users, [(user("7"), Reached::Offline)].into());
    assert_eq!(after.users, [(user("7"), Reached::Sent)].into());
    assert_eq!((before.counts.offline, after.counts.sent), (1, 1));
}

#[test]
fn it_closes_early_once_all_have_acknowledged_and_every_node_has_said_so() {
    let mut state = receipt(&["team:acme"], &[]);
    state.reach(&user("7"), Reached::Acknowledged);
    state.reach(&user("8"), Reached::Sent);

    assert!(!state.close(at(5_000)));
    state.reach(&user("8"), Reached::Acknowledged);
    assert!(!state.close(at(999)));
    assert!(state.close(at(1_000)));
    assert!(!state.close(at(1_001)));

    let view = state.view(id(), at(1_000));
    assert_eq!((view.state, view.complete), ("closed", true));
    assert_eq!(view.closed_at, Some(at(1_000)));
}

#[test]
fn somebody_who_is_offline_keeps_it_open_to_the_end() {
    let mut state = receipt(&["user:7", "user:8"], &[]);
    state.reach(&user("7"), Reached::Acknowledged);

    assert!(!state.close(at(10_999)));
    assert!(state.close(at(11_000)));

    let payload = state.payload(&id());
    assert!(!payload.complete);
    assert_eq!(
        (payload.counts.acknowledged, payload.counts.offline),
        (1, 1)
    );
    assert_eq!(payload.users["8"], "offline");
}

#[test]
fn nobody_who_heard_it_is_not_everybody() {
    let mut state = receipt(&["team:acme"], &[]);

    assert!(!state.close(at(5_000)));
    assert!(state.close(at(11_000)));
    assert!(!state.view(id(), at(11_000)).complete);
}

#[test]
fn an_answer_that_came_elsewhere_counts_if_the_event_was_sent() {
    let mut state = receipt(&["user:7"], &[]);
    state.reach(&user("8"), Reached::Sent);

    let news = ["7", "8", "8", "9"].map(|id| state.confirm(&user(id)));

    assert_eq!(news, [false, true, false, false]);
    let expected = [
        (user("7"), Reached::Offline),
        (user("8"), Reached::Acknowledged),
    ];
    assert_eq!(state.users, expected.into());
}

#[test]
fn a_closed_receipt_never_changes() {
    let mut state = receipt(&["user:7"], &[]);
    state.close(at(11_000));
    let closed = state.clone();

    assert!(!state.reach(&user("7"), Reached::Acknowledged));
    assert!(!state.truncate());
    assert_eq!(state, closed);
}

#[test]
fn one_that_nobody_closed_is_told_as_closed() {
    let state = receipt(&["user:7"], &[]);

    assert_eq!(state.view(id(), at(10_999)).state, "open");
    let view = state.view(id(), at(11_000));
    assert_eq!((view.state, view.closed_at), ("closed", None));
}

#[test]
fn more_users_than_it_holds_are_said_to_be_missing() {
    let mut state = receipt(&["team:acme"], &[]);
    for number in 0..USERS_MAX {
        assert!(state.reach(&user(&number.to_string()), Reached::Acknowledged));
    }

    assert!(state.reach(&user("more"), Reached::Acknowledged));
    assert!(!state.reach(&user("even-more"), Reached::Sent));

    assert!(!state.is_complete());
    assert!(state.payload(&id()).truncated.unwrap());
    assert_eq!(state.users.len(), USERS_MAX);
}

#[test]
fn it_reads_back_from_its_bytes_and_not_from_newer_ones() {
    let mut state = receipt(&["user:7"], &[]);
    state.reach(&user("8"), Reached::Acknowledged);

    let bytes = state.to_bytes();
    let newer = String::from_utf8(bytes.to_vec()).unwrap();
    let newer = newer.replace("\"version\":1", "\"version\":2");

    assert_eq!(ReceiptState::from_bytes(&bytes).unwrap(), state);
    assert!(matches!(
        ReceiptState::from_bytes(newer.as_bytes()),
        Err(InvalidReceipt::Version { version: 2 })
    ));
}

#[test]
fn an_event_without_a_wish_has_no_receipt() {
    let parts = EventParts {
        receipt_by: None,
        ..parts(&["user:7"], &[])
    };

    assert_eq!(ReceiptState::of(&Event::from_parts(parts)), None);
}

proptest! {
    /// Nodes write down what they know in any order, and again after a crash.
    #[test]
    fn what_nodes_know_makes_one_receipt_in_any_order_and_however_often(
        facts in prop::collection::vec((0..6_u8, 0..3_u8), 0..40),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed in any::<u64>(),
    ) {
        let facts: Vec<_> = facts.into_iter().map(|(user, reached)| {
            let reached = [Reached::Offline, Reached::Sent, Reached::Acknowledged][usize::from(reached)];
            (self::user(&user.to_string()), reached)
        }).collect();
        let mut shuffled = facts.clone();
        shuffled.extend(again.iter().filter(|_| !facts.is_empty()).map(|at| facts[at.index(facts.len())].clone()));
        let mut random = seed;
        for index in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(index, usize::try_from(random >> 33).unwrap() % (index + 1));
        }

        let mut one = receipt(&["user:0"], &[]);
        let mut other = one.clone();
        for (user, reached) in &facts {
            one.reach(user, *reached);
        }
        for (user, reached) in &shuffled {
            let before = other.clone();
            prop_assert_eq!(other.reach(user, *reached), other != before);
        }

        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.close(at(1_000)), one.is_complete());
        prop_assert!(one.is_closed() || one.close(at(11_000)));
    }
}

fn receipt(rooms: &[&str], except: &[&str]) -> ReceiptState {
    ReceiptState::of(&Event::from_parts(parts(rooms, except))).unwrap()
}

/// An event of time 0 with a deadline after ten seconds.
fn parts(rooms: &[&str], except: &[&str]) -> EventParts {
    let parse = |rooms: &[&str]| rooms.iter().map(|room| room.parse().unwrap()).collect();
    EventParts {
        id: id(),
        tenant: "acme".parse().unwrap(),
        at: at(0),
        name: "system:notification".into(),
        data: Bytes::from_static(b"{}"),
        audience: Audience {
            rooms: parse(rooms),
            except: parse(except),
        },
        expires_at: None,
        receipt_by: Some(at(10_000)),
        fingerprint: [0; 16],
    }
}

fn id() -> EventId {
    "e-1".parse().unwrap()
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
