use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use switchboard_protocol::{
    session::{self, Session, Signal},
    socket_io,
};

use super::{Entry, Order, Outbox, OutboxLimits, Posted, Poster, SocketNumber, Written};
use crate::{CloseReason, Packet};

const LIMITS: OutboxLimits = OutboxLimits {
    bytes_max: 100,
    packets_max: 4,
    controls_bytes_max: 50,
    controls_max: 2,
};

fn packet(text: &str) -> Arc<Packet> {
    Arc::new(Packet::text(text))
}

/// The number of a first socket and a second one.
fn numbers() -> [SocketNumber; 2] {
    let config = session::Config {
        socket_io: true,
        ping_interval: Duration::from_secs(1),
        ping_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        attachments_timeout: Duration::from_secs(1),
        attachments: socket_io::Limits::default(),
        namespaces_max: 2,
        refusals_max: 1,
    };
    let now = Instant::now();
    let mut session = Session::new(Arc::new(config), now);
    ["40", "40/b"].map(|connect| match session.handle_text(now, connect) {
        Some(Signal::Connect { member, .. }) => member,
        other => panic!("{other:?}"),
    })
}

fn take(outbox: &Outbox) -> VecDeque<Entry> {
    let mut entries = VecDeque::new();
    outbox.refill(&Written::default(), &mut entries);
    entries
}

fn texts(entries: &VecDeque<Entry>) -> Vec<String> {
    entries
        .iter()
        .flat_map(|entry| entry.packet.frames())
        .map(|frame| String::from_utf8(frame.payload().to_vec()).unwrap())
        .collect()
}

fn write(outbox: &Outbox, entries: &VecDeque<Entry>) {
    let mut written = Written::default();
    for entry in entries {
        written.add(entry);
    }
    outbox.note(&written);
}

#[test]
fn packets_come_out_in_the_order_of_posting() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("a"), 1);
    outbox.send_from(None, packet("b"));
    outbox.post(packet("c"), 2);

    assert_eq!(texts(&take(&outbox)), ["a", "b", "c"]);
}

#[test]
fn the_mark_is_that_of_the_last_event_wholly_written() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("a"), 7);
    outbox.post(packet("b"), 9);
    outbox.send_from(None, packet("c"));

    let entries = take(&outbox);
    assert_eq!(outbox.written(), 0);
    write(&outbox, &entries.into_iter().take(1).collect());

    assert_eq!(outbox.written(), 7);
}

#[test]
fn one_event_too_many_drops_all_that_are_queued() {
    let outbox = Outbox::new(LIMITS);
    for mark in 1..=4 {
        assert_eq!(outbox.post(packet("a"), mark), Posted::Queued);
    }
    outbox.send_from(None, packet("ack"));

    assert_eq!(outbox.post(packet("b"), 5), Posted::Behind);

    assert!(outbox.is_behind());
    assert_eq!(outbox.queued(), (0, 0));
    assert_eq!(outbox.post(packet("c"), 6), Posted::Behind);
    assert_eq!(texts(&take(&outbox)), ["ack"]);
}

#[test]
fn one_byte_too_many_does_the_same() {
    let outbox = Outbox::new(LIMITS);
    assert_eq!(outbox.post(packet(&"a".repeat(48)), 1), Posted::Queued);
    assert_eq!(outbox.post(packet(&"a".repeat(48)), 2), Posted::Queued);

    assert_eq!(outbox.post(packet(""), 3), Posted::Behind);
}

#[test]
fn a_packet_larger_than_the_limit_fits_alone() {
    let outbox = Outbox::new(LIMITS);

    assert_eq!(outbox.post(packet(&"a".repeat(1000)), 1), Posted::Queued);
    assert_eq!(outbox.post(packet("b"), 2), Posted::Behind);
}

#[test]
fn what_the_writer_holds_counts_until_it_is_written() {
    let outbox = Outbox::new(LIMITS);
    for mark in 1..=4 {
        outbox.post(packet("a"), mark);
    }
    let entries = take(&outbox);

    assert_eq!(outbox.post(packet("b"), 5), Posted::Behind);
    write(&outbox, &entries);

    assert_eq!(outbox.written(), 4);
    assert_eq!(outbox.queued(), (0, 0));
    outbox.rejoin();
    assert!(outbox.go_live(4));
    assert_eq!(outbox.post(packet("b"), 5), Posted::Queued);
}

#[test]
fn what_was_missed_comes_before_what_is_live_again_and_nothing_comes_twice() {
    let outbox = behind();
    assert_eq!(outbox.post(packet("dropped"), 5), Posted::Behind);

    assert_eq!(outbox.post_missed(packet("m5"), 5), Posted::Queued);
    outbox.rejoin();
    assert_eq!(outbox.post(packet("l6"), 6), Posted::Queued);
    assert_eq!(outbox.post(packet("l7"), 7), Posted::Queued);
    assert_eq!(outbox.post_missed(packet("m6"), 6), Posted::Queued);
    assert!(outbox.go_live(6));
    assert_eq!(outbox.post(packet("late 6"), 6), Posted::Queued);
    assert_eq!(outbox.post_missed(packet("late"), 6), Posted::Queued);

    assert_eq!(texts(&take(&outbox)), ["m5", "m6", "l7"]);
    assert!(!outbox.is_behind());
}

#[test]
fn what_overflows_while_rejoining_leaves_the_outbox_behind() {
    let outbox = behind();
    outbox.rejoin();
    for mark in 5..=9 {
        outbox.post(packet("a"), mark);
    }

    assert!(!outbox.go_live(4));
    assert!(outbox.is_behind());
    assert!(!outbox.take_behind(), "whoever catches up knows already");
    assert_eq!(outbox.queued(), (0, 0));
}

#[test]
fn live_events_that_are_held_follow_the_past_and_overflow_like_others() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.hold_live());
    outbox.post(packet("live"), 7);
    outbox.post_missed(packet("past"), 0);
    assert!(outbox.go_live(0));
    assert_eq!(texts(&take(&outbox)), ["past", "live"]);

    assert!(outbox.hold_live());
    assert!(!outbox.hold_live());
    for mark in 8..=12 {
        outbox.post(packet("a"), mark);
    }
    assert!(outbox.take_behind(), "nobody knows yet");
    assert!(!outbox.go_live(0));
}

#[test]
fn what_is_held_does_not_keep_the_past_from_being_drained() {
    let outbox = Outbox::new(LIMITS);
    outbox.hold_live();
    outbox.post(packet("live"), 7);
    outbox.post_missed(packet("past"), 0);
    assert!(!outbox.state.lock().is_drained());

    write(&outbox, &take(&outbox));

    assert!(outbox.state.lock().is_drained());
}

#[test]
fn who_rejoins_may_fall_behind_again_by_its_own_choice() {
    let outbox = behind();
    outbox.rejoin();
    outbox.post(packet("a"), 5);

    outbox.fall_behind();

    assert_eq!(outbox.queued(), (0, 0));
    assert_eq!(outbox.post(packet("a"), 6), Posted::Behind);
    assert!(!outbox.go_live(6));
}

#[test]
fn a_missed_event_that_does_not_fit_drops_nothing() {
    let outbox = behind();
    for mark in 1..=4 {
        assert_eq!(outbox.post_missed(packet("a"), mark), Posted::Queued);
    }

    assert_eq!(outbox.post_missed(packet("a"), 5), Posted::Full);
    assert_eq!(take(&outbox).len(), 4);
}

#[test]
fn what_a_client_missed_comes_before_the_reply() {
    let outbox = Outbox::new(LIMITS);
    outbox.hold();
    outbox.post(packet("live"), 9);
    let missed = vec![(packet("m1"), 1), (packet("m2"), 2)];
    outbox.release(None, missed, packet("reply"));

    let entries = take(&outbox);
    assert_eq!(texts(&entries), ["m1", "m2", "reply", "live"]);
    write(&outbox, &entries);
    assert_eq!((outbox.written(), outbox.queued()), (9, (0, 0)));
}

#[test]
fn a_mark_never_goes_back() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("a"), 7);
    outbox.post(packet("replayed"), 0);

    write(&outbox, &take(&outbox));

    assert_eq!(outbox.written(), 7);
}

/// An outbox that was overflown at mark 4, and whose owner knows.
fn behind() -> Outbox {
    let outbox = Outbox::new(LIMITS);
    for mark in 1..=5 {
        outbox.post(packet("a"), mark);
    }
    assert!(outbox.take_behind());
    outbox
}

#[test]
fn falling_behind_is_told_once() {
    let outbox = Outbox::new(LIMITS);
    for mark in 1..=6 {
        outbox.post(packet("a"), mark);
    }

    assert!(outbox.take_behind());
    assert!(!outbox.take_behind());
    assert!(outbox.is_behind());
}

#[test]
fn one_control_too_many_closes_the_connection() {
    for (first, second) in [("a", "b"), (&*"a".repeat(40), "")] {
        let outbox = Outbox::new(LIMITS);
        assert_eq!(outbox.send_from(None, packet(first)), Posted::Queued);
        assert_eq!(outbox.send_from(None, packet(second)), Posted::Queued);

        assert_eq!(outbox.send_from(None, packet("overflows")), Posted::Closed);

        assert_eq!(
            outbox.take_orders(),
            [Order::Close(CloseReason::ControlsOverflow)]
        );
    }
}

#[test]
fn a_binary_packet_is_kept_or_dropped_whole() {
    let outbox = Outbox::new(LIMITS);
    let binary = Arc::new(Packet::from_parts("51-[]".into(), vec!["bytes".into()]));
    outbox.post(binary.clone(), 1);
    outbox.post(packet("a"), 2);
    assert_eq!(binary.wire_len(), 2 + 5 + 2 + 5);

    let entries = take(&outbox);
    outbox.post(binary, 3);
    for mark in 4..=6 {
        outbox.post(packet("b"), mark);
    }

    assert_eq!(texts(&entries), ["51-[]", "bytes", "a"]);
    assert!(outbox.is_behind());
    assert!(take(&outbox).is_empty());
}

#[test]
fn an_empty_outbox_holds_no_allocation() {
    let outbox = Outbox::new(LIMITS);
    assert_eq!(outbox.state.lock().queue.capacity(), 0);
    outbox.post(packet("a"), 1);

    let entries = take(&outbox);

    write(&outbox, &entries);
    assert_eq!(outbox.state.lock().queue.capacity(), 0);
}

#[test]
fn what_is_posted_before_the_reply_comes_after_it() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("before"), 1);
    outbox.hold();
    outbox.post(packet("held"), 2);
    outbox.send_ahead(packet("ping"));

    assert_eq!(texts(&take(&outbox)), ["before", "ping"]);
    assert!(!outbox.has_packets());
    outbox.release(None, Vec::new(), packet("reply"));

    assert_eq!(texts(&take(&outbox)), ["reply", "held"]);
}

#[test]
fn an_overflow_while_held_keeps_the_reply_first() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("before"), 1);
    outbox.send_from(None, packet("ack"));
    outbox.hold();
    outbox.send_from(None, packet("held"));
    for mark in 2..=6 {
        outbox.post(packet("a"), mark);
    }
    assert!(outbox.is_behind());

    assert_eq!(texts(&take(&outbox)), ["ack"]);
    outbox.release(None, Vec::new(), packet("reply"));

    assert_eq!(texts(&take(&outbox)), ["reply", "held"]);
}

#[test]
fn only_the_first_reason_to_close_counts() {
    let outbox = Outbox::new(LIMITS);
    outbox.order(Order::Close(CloseReason::Requested));
    outbox.order(Order::Close(CloseReason::ShuttingDown));

    assert_eq!(outbox.take_orders(), [Order::Close(CloseReason::Requested)]);
}

#[test]
fn a_closed_outbox_gives_back_what_it_had_and_takes_nothing() {
    let outbox = Outbox::new(LIMITS);
    outbox.post(packet("a"), 1);

    let last = outbox.close();

    assert_eq!(texts(&last), ["a"]);
    assert_eq!(outbox.post(packet("b"), 2), Posted::Closed);
    assert_eq!(outbox.send_from(None, packet("c")), Posted::Closed);
    outbox.order(Order::Close(CloseReason::Requested));
    assert!(outbox.take_orders().is_empty());
    write(&outbox, &last);
    assert_eq!(outbox.queued(), (0, 0));
}

#[test]
fn a_task_does_not_wait_while_there_is_something_to_do() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.listen(Waker::noop(), false, false));
    outbox.post(packet("a"), 1);

    assert!(!outbox.listen(Waker::noop(), false, false));
    assert!(
        outbox.listen(Waker::noop(), true, false),
        "it could not write anyway"
    );
    outbox.order(Order::Close(CloseReason::Requested));

    assert!(!outbox.listen(Waker::noop(), true, false));
}

#[tokio::test]
async fn a_waiter_goes_on_once_every_event_is_written() {
    let outbox = Arc::new(Outbox::new(LIMITS));
    outbox.post(packet("a"), 1);
    let waiter = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.drained().await }
    });
    tokio::task::yield_now().await;

    write(&outbox, &take(&outbox));

    waiter.await.unwrap();
}

#[test]
fn nothing_is_queued_through_a_socket_that_was_forgotten() {
    let outbox = Outbox::new(LIMITS);
    let [socket, other] = numbers();
    let (left, stays) = (AtomicBool::new(false), AtomicBool::new(false));
    // As a thread has it that was about to post when the socket left.
    let poster = Some(Poster {
        socket,
        left: &left,
    });
    let bystander = Some(Poster {
        socket: other,
        left: &stays,
    });
    outbox.post_from(poster, packet("a"), 1);
    outbox.post_from(bystander, packet("b"), 2);

    left.store(true, Ordering::Release);
    outbox.forget(socket);

    assert_eq!(outbox.post_from(poster, packet("c"), 3), Posted::Closed);
    assert_eq!(
        outbox.post_missed_from(poster, packet("d"), 4),
        Posted::Closed
    );
    assert_eq!(outbox.send_from(poster, packet("e")), Posted::Closed);
    assert_eq!(outbox.post_from(bystander, packet("f"), 5), Posted::Queued);
    assert_eq!(texts(&take(&outbox)), ["b", "f"]);
}

#[test]
fn an_overflow_in_the_middle_of_rejoining_drops_nothing_that_was_missed() {
    let outbox = behind();
    outbox.rejoin();
    outbox.post_missed(packet("6"), 6);
    for mark in 8..=10 {
        assert_eq!(outbox.post(packet("live"), mark), Posted::Queued);
    }
    assert_eq!(outbox.post(packet("live"), 11), Posted::Behind);

    outbox.post_missed(packet("7"), 7);

    assert!(!outbox.go_live(7));
    let entries = take(&outbox);
    assert_eq!(texts(&entries), ["6", "7"]);
    write(&outbox, &entries);
    assert_eq!(outbox.written(), 7);
}

#[test]
fn a_task_that_found_too_many_controls_goes_on_once_somebody_wrote_them() {
    let outbox = Outbox::new(LIMITS);
    outbox.send_from(None, packet("a"));
    outbox.send_from(None, packet("b"));
    let entries = take(&outbox);
    let is_laden = outbox.is_laden();
    assert!(outbox.listen(Waker::noop(), false, is_laden));

    write(&outbox, &entries);

    assert!(!outbox.listen(Waker::noop(), false, is_laden));
    assert!(outbox.listen(Waker::noop(), false, outbox.is_laden()));
}

#[test]
fn what_nobody_has_to_hear_is_the_first_thing_to_be_lost() {
    let spacious = OutboxLimits {
        bytes_max: 4_000,
        packets_max: 8,
        ..LIMITS
    };
    let outbox = Outbox::new(spacious);
    assert_eq!(outbox.post_fleeting(packet("f1"), 1), Posted::Queued);
    assert_eq!(outbox.post(packet("a"), 2), Posted::Queued);

    assert_eq!(outbox.post_fleeting(packet("f2"), 3), Posted::Full);
    assert!(!outbox.is_behind(), "nothing else suffers");
    assert_eq!(outbox.post(packet("b"), 4), Posted::Queued);

    assert_eq!(texts(&take(&outbox)), ["f1", "a", "b"]);
    let long = packet(&"f".repeat(1_000));
    assert_eq!(Outbox::new(spacious).post_fleeting(long, 1), Posted::Full);
}

#[test]
fn who_is_behind_is_told_nothing_that_passes() {
    let outbox = behind();

    assert_eq!(outbox.post_fleeting(packet("f"), 5), Posted::Behind);

    outbox.rejoin();
    assert!(outbox.go_live(4));
    assert!(take(&outbox).is_empty());
}
