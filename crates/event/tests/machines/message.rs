//! How far a message got.

use proptest::prelude::*;
use proptest::sample::select;
use switchboard_event::machine::message::{Progress, Verdict};
use switchboard_event::{MessageFact, MessageKey, MessageState};

const ALL: [Progress; 5] = [
    Progress::Queued,
    Progress::Sent,
    Progress::Delivered,
    Progress::Read,
    Progress::Failed,
];

#[test]
fn who_reads_without_having_been_delivered_to_makes_one_change() {
    let mut state = MessageState::default();

    assert_eq!(state.advance(&fact("", Progress::Read)), Verdict::News);
    assert_eq!(
        state.advance(&fact("", Progress::Delivered)),
        Verdict::Overtaken
    );
    assert_eq!(state.advance(&fact("", Progress::Read)), Verdict::Known);
    assert_eq!(state.reached(""), Some(Progress::Read));
}

#[test]
fn a_failure_is_overcome_by_a_retry_and_counted() {
    let mut state = MessageState::default();
    for (status, verdict, retries) in [
        (Progress::Sent, Verdict::News, 0),
        (Progress::Failed, Verdict::News, 0),
        (Progress::Sent, Verdict::News, 1),
        (Progress::Failed, Verdict::News, 1),
        (Progress::Delivered, Verdict::News, 2),
        (Progress::Failed, Verdict::Overtaken, 2),
    ] {
        assert_eq!(state.advance(&fact("", status)), verdict, "{status:?}");
        assert_eq!(state.retries(""), retries, "{status:?}");
    }
}

#[test]
fn each_member_of_a_group_reads_for_themselves() {
    let mut state = MessageState::default();

    assert_eq!(state.advance(&fact("a", Progress::Read)), Verdict::News);
    assert_eq!(
        state.advance(&fact("b", Progress::Delivered)),
        Verdict::News
    );

    assert_eq!(state.reached("a"), Some(Progress::Read));
    assert_eq!(state.reached("b"), Some(Progress::Delivered));
    assert_eq!(MessageState::from_bytes(&state.to_bytes()).unwrap(), state);
}

proptest! {
    #[test]
    fn in_any_order_and_however_often_a_status_is_never_downgraded(
        told in prop::collection::vec(select(ALL.to_vec()), 0..40),
    ) {
        let mut state = MessageState::default();
        let mut is_delivered = false;
        for status in told {
            let before = state.reached("");

            let verdict = state.advance(&fact("", status));

            let now = state.reached("");
            prop_assert_eq!(verdict == Verdict::News, now != before);
            // What the recipient's device has does not get lost, and no failure undoes it.
            if is_delivered {
                prop_assert!(matches!(now, Some(Progress::Delivered | Progress::Read)));
            }
            if before == Some(Progress::Read) {
                prop_assert_eq!(now, before);
            }
            is_delivered |= matches!(now, Some(Progress::Delivered | Progress::Read));
            prop_assert_eq!(state.advance(&fact("", status)) == Verdict::News, false);
        }
    }
}

fn fact(participant: &str, status: Progress) -> MessageFact {
    MessageFact {
        message: MessageKey::new(&"m".parse().unwrap()),
        participant: participant.into(),
        status,
        campaign: None,
    }
}
