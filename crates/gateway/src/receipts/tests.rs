use Acknowledged::{Claimed, Counted, Ignored};
use bytes::Bytes;
use switchboard_event::{Audience, Epoch, Event, EventParts, Position};

use super::*;

#[test]
fn only_who_was_sent_an_event_can_acknowledge_it_and_once() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7")], at(0));

    let globex = "globex".parse().unwrap();
    let answers = [
        acknowledge(&receipts, 2, "7", 1),
        receipts.acknowledge(Offset::new(1), &globex, &user("7"), at(1)),
        acknowledge(&receipts, 1, "7", 1),
        acknowledge(&receipts, 1, "7", 2),
    ];

    assert_eq!(answers, [Ignored, Ignored, Counted, Ignored]);
}

#[test]
fn an_answer_after_the_deadline_does_not_count() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7"), &user("8")], at(0));

    assert_eq!(acknowledge(&receipts, 1, "7", 10_000), Counted);
    assert_eq!(acknowledge(&receipts, 1, "8", 10_001), Ignored);
}

#[test]
fn the_answer_of_somebody_who_was_sent_it_elsewhere_is_passed_on_as_a_claim() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7")], at(0));

    let answers = [
        acknowledge(&receipts, 1, "8", 1),
        acknowledge(&receipts, 1, "8", 2),
    ];
    let due = receipts.take_due(at(250), 10).pop().unwrap();
    receipts.sent(&record(1), [&user("8")], at(300));
    let again = acknowledge(&receipts, 1, "8", 301);

    assert_eq!(answers, [Claimed, Ignored]);
    assert_eq!(due.users, [(user("7"), Reached::Sent)]);
    assert_eq!(due.claims, [user("8")]);
    assert_eq!(again, Counted);
}

#[test]
fn what_changes_soon_after_each_other_is_written_together() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7"), &user("8")], at(0));
    acknowledge(&receipts, 1, "7", 200);

    assert!(receipts.take_due(at(249), 10).is_empty());
    let due = receipts.take_due(at(250), 10).pop().unwrap();

    let mut users = due.users.clone();
    users.sort();
    let expected = [
        (user("7"), Reached::Acknowledged),
        (user("8"), Reached::Sent),
    ];
    assert_eq!(users, expected);
    receipts.visited(&due, Visit::Written, at(260));
    // Nothing more to say until it is to be closed.
    assert_eq!(receipts.next_due(), Some(at(11_000)));
}

#[test]
fn what_comes_while_it_is_written_is_written_next() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7")], at(0));
    let due = receipts.take_due(at(250), 10).pop().unwrap();

    acknowledge(&receipts, 1, "7", 255);
    receipts.visited(&due, Visit::Written, at(260));

    assert_eq!(receipts.next_due(), Some(at(510)));
}

#[test]
fn when_all_have_acknowledged_it_is_looked_at_once_nodes_had_time() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7")], at(0));
    acknowledge(&receipts, 1, "7", 10);
    let due = receipts.take_due(at(250), 10).pop().unwrap();

    receipts.visited(&due, Visit::Complete, at(260));
    assert_eq!(receipts.next_due(), Some(at(1_000)));

    let due = receipts.take_due(at(1_000), 10).pop().unwrap();
    receipts.visited(&due, Visit::Over, at(1_000));
    assert_eq!((receipts.next_due(), receipts.count()), (None, 0));
}

#[test]
fn what_could_not_be_written_is_tried_again() {
    let receipts = Receipts::default();
    receipts.sent(&record(1), [&user("7")], at(0));
    let due = receipts.take_due(at(250), 10).pop().unwrap();

    receipts.visited(&due, Visit::Failed, at(300));

    assert_eq!(receipts.next_due(), Some(at(1_300)));
    assert_eq!(receipts.take_due(at(1_300), 10).len(), 1);
}

#[test]
fn beyond_its_limits_a_node_says_that_it_does_not_know_all() {
    let receipts = Receipts::default();
    let everybody: Vec<_> = (0..=USERS_MAX)
        .map(|number| user(&number.to_string()))
        .collect();

    assert!(!receipts.sent(&record(1), &everybody, at(0)));
    assert!(!receipts.sent(&record(2), [&user("a")], at(0)));
    let due = receipts.take_due(at(250), 10);
    assert!(due.iter().all(|due| due.is_truncated));
    assert_eq!(due[0].users.len(), USERS_MAX);
    receipts.visited(&due[0], Visit::Over, at(250));
    assert!(receipts.sent(&record(3), [&user("a")], at(250)));

    for offset in 4..=u64::try_from(OPEN_MAX).unwrap() + 1 {
        assert!(receipts.open(&record(offset), at(250)), "{offset}");
    }
    assert!(!receipts.open(&record(1_000_000), at(250)));
    assert!(receipts.open(&record(4), at(250)));
}

#[test]
fn what_had_no_space_is_said_to_be_short_of_somebody_and_found_again() {
    let receipts = Receipts::default();
    let (full, more) = (OPEN_MAX as u64, LEFT_OUT_MAX as u64);
    for offset in 1..=full {
        assert!(receipts.sent(&record(offset), [], at(0)), "{offset}");
    }

    for offset in full + 1..=full + more + 2 {
        assert!(
            !receipts.sent(&record(offset), [&user("7")], at(0)),
            "{offset}"
        );
    }
    assert_eq!(acknowledge(&receipts, full + 1, "7", 1), Ignored);
    let due = receipts.take_due(at(250), usize::MAX);
    assert_eq!(due.len(), LEFT_OUT_MAX);
    assert!(
        due.iter()
            .all(|due| due.is_truncated && due.users.is_empty())
    );
    for due in &due {
        receipts.visited(due, Visit::Written, at(250));
    }
    assert_eq!(receipts.count(), OPEN_MAX);
    assert_eq!(receipts.take_left_out(), None);

    for due in receipts.take_due(at(11_000), OPEN_MAX / 2) {
        receipts.visited(&due, Visit::Over, at(11_000));
    }
    let offsets = (Offset::new(full + 1), Offset::new(full + more + 2));
    assert_eq!(receipts.take_left_out(), Some(offsets));
    receipts.take_up(&record(full + 1), at(11_000));
    let due = receipts.take_due(at(11_250), usize::MAX);
    assert!(
        due.iter()
            .any(|due| due.offset == offsets.0 && due.is_truncated)
    );
}

#[test]
fn a_claim_is_looked_at_again_once_the_node_that_has_sent_it_has_written() {
    let receipts = Receipts::default();
    receipts.open(&record(1), at(0));
    assert_eq!(acknowledge(&receipts, 1, "7", 0), Claimed);

    let mut visits = Vec::new();
    while let Some(next) = receipts.next_due()
        && next < at(11_000)
    {
        let due = receipts.take_due(next, 1).pop().unwrap();
        receipts.visited(&due, Visit::Written, next);
        visits.push(next);
    }

    assert_eq!(visits, [at(250), at(1_250)]);
}

#[test]
fn a_record_without_a_wish_or_long_over_is_not_followed() {
    let receipts = Receipts::default();
    let mut plain = record(1).event.into_parts();
    plain.receipt_by = None;
    let plain = Record {
        event: Event::from_parts(plain),
        ..record(1)
    };

    assert!(receipts.sent(&plain, [&user("7")], at(0)));
    assert!(receipts.sent(&record(2), [&user("7")], at(4_000_000)));

    assert_eq!((receipts.count(), receipts.next_due()), (0, None));
}

fn acknowledge(receipts: &Receipts, offset: u64, id: &str, millis: i64) -> Acknowledged {
    let acme = "acme".parse().unwrap();
    receipts.acknowledge(Offset::new(offset), &acme, &user(id), at(millis))
}

/// A record of time 0 that waits for ten seconds.
fn record(offset: u64) -> Record {
    Record {
        position: Position {
            epoch: Epoch::new(1),
            offset: Offset::new(offset),
        },
        event: Event::from_parts(EventParts {
            id: format!("e-{offset}").parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            at: at(0),
            name: "team:activity".into(),
            data: Bytes::from_static(b"{}"),
            audience: Audience::default(),
            expires_at: None,
            receipt_by: Some(at(10_000)),
            fingerprint: [0; 16],
        }),
    }
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
