//! Writes of whoever posts, past the connection's task.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_engine::{CloseReason, Config, Namespace, Packet, Posted, SocketHandle};

use super::{
    client::{Frame, WebSocket, until},
    server::{Server, quiet},
};

/// An outbox in which more fits than what the kernel takes.
fn roomy() -> Config {
    Config {
        outbox_bytes_max: 256 << 20,
        outbox_packets_max: 1 << 20,
        ..quiet()
    }
}

const FILLER_LEN: usize = 1000;

/// What [`event`] is on the wire.
fn text(poster: usize, number: u64) -> String {
    format!(r#"42["n",{poster},{number},"{}"]"#, "x".repeat(FILLER_LEN))
}

fn event(poster: usize, number: u64) -> (Arc<Packet>, u64) {
    let args = format!(r#"{poster},{number},"{}""#, "x".repeat(FILLER_LEN));
    let args: &[&[u8]] = &[args.as_bytes()];
    let packet = Packet::event(&Namespace::ROOT, None, "n", args, Vec::new());
    (Arc::new(packet), number)
}

/// Posts and flushes numbered events until some wait, and returns how many there are.
fn fill(socket: &SocketHandle) -> u64 {
    let mut number = 1;
    while socket.outbox().is_drained() {
        let events: Vec<_> = (0..100).map(|more| event(0, number + more)).collect();
        assert_eq!(socket.post_all(&events), Posted::Queued);
        socket.flush();
        number += 100;
    }
    number - 1
}

#[tokio::test]
async fn what_is_flushed_is_written_before_any_task_runs() {
    let server = Server::start(quiet()).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();
    socket.outbox().drained().await;

    socket.post_all(&[event(0, 7), event(0, 8)]);
    socket.post_all(&[event(0, 9)]);
    let before = socket.outbox().written();
    socket.flush();

    assert_eq!((before, socket.outbox().written()), (1, 9));
    assert!(socket.outbox().is_drained());
    for number in 7..=9 {
        assert_eq!(client.next().await, Frame::Text(text(0, number)));
    }
}

#[tokio::test]
async fn a_reader_that_stops_and_goes_on_gets_everything_once_and_in_order() {
    let server = Server::start(roomy()).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();
    socket.outbox().drained().await;

    let filled = fill(&socket);
    assert!(socket.outbox().written() < filled);
    for number in filled + 1..=filled + 100 {
        socket.post_all(&[event(0, number)]);
        socket.flush();
    }
    for number in 1..=filled + 100 {
        assert_eq!(client.next().await, Frame::Text(text(0, number)));
    }
    until("all is noted as written", || socket.outbox().is_drained()).await;
    assert_eq!(socket.outbox().written(), filled + 100);

    socket.post_all(&[event(0, filled + 101)]);
    socket.flush();

    assert_eq!(socket.outbox().written(), filled + 101);
    assert_eq!(client.next().await, Frame::Text(text(0, filled + 101)));
}

#[tokio::test]
async fn a_control_packet_comes_between_whole_events_in_the_order_of_posting() {
    let server = Server::start(roomy()).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();
    socket.outbox().drained().await;

    let filled = fill(&socket);
    let attachment = Bytes::from_static(b"\x01\x02");
    let placeholder: &[&[u8]] = &[br#"{"_placeholder":true,"num":0}"#];
    socket.emit("between", placeholder, vec![attachment.clone()]);
    socket.post_all(&[event(0, filled + 1)]);
    socket.flush();

    for number in 1..=filled {
        assert_eq!(client.next().await, Frame::Text(text(0, number)));
    }
    let between = r#"451-["between",{"_placeholder":true,"num":0}]"#;
    assert_eq!(client.next().await, Frame::text(between));
    assert_eq!(client.next().await, Frame::Binary(attachment.into()));
    assert_eq!(client.next().await, Frame::Text(text(0, filled + 1)));
}

#[tokio::test]
async fn what_was_begun_and_queued_is_written_before_a_graceful_close() {
    let server = Server::start(roomy()).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();
    socket.outbox().drained().await;

    let filled = fill(&socket);
    socket.close(CloseReason::Requested);

    for number in 1..=filled {
        assert_eq!(client.next().await, Frame::Text(text(0, number)));
    }
    assert!(matches!(client.next().await, Frame::Close(_)));
    assert_eq!(client.next().await, Frame::End);
    assert_eq!(socket.post_all(&[event(0, filled + 1)]), Posted::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_close_in_the_middle_of_writes_cuts_no_event_in_two() {
    let server = Server::start(roomy()).await;
    for _ in 0..20 {
        let mut client = WebSocket::join(&server).await;
        let socket = server.socket();
        let poster = socket.clone();
        let posting = tokio::task::spawn_blocking(move || {
            let mut number = 1;
            while poster.post_all(&[event(0, number)]) == Posted::Queued {
                poster.flush();
                number += 1;
            }
        });
        assert_eq!(client.next().await, Frame::Text(text(0, 1)));

        socket.close(CloseReason::Requested);

        let mut number = 2;
        loop {
            match client.next().await {
                Frame::Text(found) => assert_eq!(found, text(0, number)),
                Frame::Close(_) => break,
                other => panic!("{other:?}"),
            }
            number += 1;
        }
        assert_eq!(client.next().await, Frame::End);
        posting.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_post_at_once_comes_whole_and_of_each_in_order() {
    const EVENTS: u64 = 2_000;
    const POSTERS: usize = 4;
    let server = Server::start(roomy()).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();

    for poster in 0..POSTERS {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || {
            for number in 0..EVENTS {
                let (packet, _) = event(poster, number);
                // Of all ways to post, each way.
                match (poster, number % 3) {
                    (0, _) => socket.post(packet, 0),
                    (1, 0) => socket.post_missed(packet, 0),
                    _ => socket.post_all(&[(packet, 0)]),
                };
                socket.flush();
            }
        });
    }

    let mut next = [0; POSTERS];
    for _ in 0..EVENTS * POSTERS as u64 {
        let Frame::Text(found) = client.next().await else {
            panic!("an event");
        };
        let poster = usize::from(found.as_bytes()[7] - b'0');
        assert_eq!(found, text(poster, next[poster]));
        next[poster] += 1;
    }
    until("all is noted as written", || socket.outbox().is_drained()).await;
}

#[tokio::test]
async fn a_batch_larger_than_the_outbox_puts_nobody_behind_who_reads() {
    let config = Config {
        outbox_packets_max: 8,
        ..quiet()
    };
    let server = Server::start(config).await;
    let mut client = WebSocket::join(&server).await;
    let socket = server.socket();
    socket.outbox().drained().await;

    let events: Vec<_> = (1..=100).map(|number| event(0, number + 1)).collect();
    assert_eq!(socket.post_all(&events), Posted::Queued);
    socket.flush();

    for number in 1..=100 {
        assert_eq!(client.next().await, Frame::Text(text(0, number + 1)));
    }
    assert!(!socket.outbox().is_behind());
}

#[tokio::test]
async fn what_is_flushed_to_a_polling_client_answers_its_poll() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    server.poll(&sid).await;
    let poll = server.start_poll(&sid).await;

    server.socket().post_all(&[event(0, 5)]);
    server.socket().flush();

    assert_eq!(poll.body().await, text(0, 5));
}
