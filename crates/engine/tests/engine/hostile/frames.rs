//! Frames: lengths that lie, messages that never end, floods of next to nothing.

use std::time::Duration;

use switchboard_engine::{CloseReason, Config, DisconnectReason};

use super::{Bystander, until};
use crate::{
    client::{Frame, WebSocket, frame},
    server::{Server, quiet},
};

/// CVE-2026-48779: the overhead of fragments is far more than their bytes.
#[tokio::test]
async fn tiny_fragments_are_taken_up_to_the_limit_and_no_further() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let mut socket = WebSocket::join(&server).await;
    let text = r#"42["message",1]"#.as_bytes();
    let (first, rest) = text.split_at(1);
    let empty = frame(0x00, b"");
    let start = frame(0x01, first);
    let end = frame(0x80, rest);

    // 1,024 in all.
    socket
        .send_raw(&[start.clone(), empty.repeat(1_022), end.clone()].concat())
        .await;
    assert_eq!(
        socket.next_message().await,
        Frame::text(r#"42["message-back",1]"#)
    );
    // And one more.
    socket
        .send_raw(&[start, empty.repeat(1_023), end].concat())
        .await;

    socket.assert_closed(Some(1008)).await;
    bystander.assert_served().await;
}

/// CVE-2026-62389: a message that never ends, of fragments with and without bytes, with control
/// frames between them.
#[tokio::test]
async fn a_message_that_never_ends_is_refused() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for (opcode, fragment) in [
        (0x01, frame(0x00, b"")),
        (0x01, frame(0x00, b"a")),
        (0x02, frame(0x00, b"")),
        (0x01, [frame(0x8A, b""), frame(0x00, b"")].concat()),
    ] {
        let mut socket = WebSocket::join(&server).await;

        socket.send_frame(opcode, b"4").await;
        socket.send_raw(&fragment.repeat(1_024)).await;

        socket.assert_closed(Some(1008)).await;
    }
    bystander.assert_served().await;
}

/// CVE-2026-62389: the limit of fragments alone leaves a message that stops half-way. Who sends
/// one cannot answer a ping, so the heartbeat is its time limit.
#[tokio::test]
async fn a_message_that_stops_half_way_costs_the_session_in_time() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..quiet()
    })
    .await;
    let announced = [&[0x82, 0xFE, 0x10, 0x00][..], &[0; 4], &[1; 100]].concat();
    for bytes in [
        frame(0x01, b"42"),
        announced,
        vec![0x81],
        vec![0x81, 0xFF, 0, 0],
    ] {
        let mut socket = WebSocket::join(&server).await;

        socket.send_raw(&bytes).await;

        let reason = server.next_end().await;
        assert_eq!(reason, DisconnectReason::Closed(CloseReason::PingTimeout));
    }
    // Nor does answering in the middle of it help.
    let mut socket = WebSocket::join(&server).await;
    socket
        .send_raw(&[frame(0x01, b"42"), frame(0x81, b"3")].concat())
        .await;
    socket.assert_closed(Some(1002)).await;
}

/// CVE-2026-85024 and CVE-2026-9675: each fragment is within the limit, together they are not.
#[tokio::test]
async fn fragments_count_together() {
    let server = Server::start(Config {
        payload_max: 10_000,
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let mut socket = WebSocket::join(&server).await;

    let fragments = [
        frame(0x01, &[b'4'; 6_000]),
        frame(0x00, &[b'4'; 4_000]),
        frame(0x00, b"4"),
    ];
    socket.send_raw(&fragments.concat()).await;

    socket.assert_closed(Some(1009)).await;
    bystander.assert_served().await;
}

/// CVE-2016-10542: what is only announced must not be reserved.
#[tokio::test]
async fn a_length_is_believed_by_nobody() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for (len, code) in [
        (1_000_001_u64, 1009),
        (u64::from(u32::MAX), 1009),
        (u64::from(u32::MAX) + 1, 1009),
        (i64::MAX as u64, 1009),
        (1 << 63, 1002),
        (u64::MAX, 1002),
    ] {
        for opcode in [0x81, 0x82, 0x01] {
            let mut socket = WebSocket::join(&server).await;

            socket
                .send_raw(&[&[opcode, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat())
                .await;

            socket.assert_closed(Some(code)).await;
        }
    }
    bystander.assert_served().await;
}

#[tokio::test]
async fn control_frames_are_short_and_whole() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for bytes in [
        frame(0x89, &[0; 126]),
        frame(0x8A, &vec![0; 70_000]),
        frame(0x09, b"a"),
        frame(0x08, b""),
        frame(0x88, b"\x03"),
        frame(0x88, &1005_u16.to_be_bytes()),
        frame(0x88, &0_u16.to_be_bytes()),
        frame(0x8B, b""),
    ] {
        let mut socket = WebSocket::join(&server).await;

        socket.send_raw(&bytes).await;

        socket.assert_closed(Some(1002)).await;
    }
    bystander.assert_served().await;
}

/// CVE-2026-48779 again, of whole messages: next to nothing many times over.
#[tokio::test]
async fn a_flood_of_empty_messages_ends_with_its_sender() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for bytes in [frame(0x81, b""), frame(0x82, b""), frame(0x81, b"4")] {
        let mut socket = WebSocket::join(&server).await;

        socket.send_raw(&bytes.repeat(10_000)).await;

        assert_eq!(socket.next_message().await, Frame::Close(Vec::new()));
        bystander.assert_served().await;
    }
}

#[tokio::test]
async fn a_client_that_reads_its_pongs_may_ping_in_bursts() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let mut socket = WebSocket::join(&server).await;
    for _ in 0..20 {
        socket.send_raw(&frame(0x89, b"hi").repeat(200)).await;
        for _ in 0..200 {
            assert_eq!(socket.next().await, Frame::Pong(b"hi".to_vec()));
        }
    }
    bystander.assert_served().await;
}

/// What is read stops before what is to be answered grows, so the flood is held up on its way.
#[tokio::test]
async fn a_flood_of_pings_whose_pongs_are_not_read_ends_its_sender() {
    let server = Server::start(Config {
        write_timeout: Duration::from_millis(200),
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let socket = WebSocket::join(&server).await;
    let flood = frame(0x89, &[7; 100]).repeat(1_000);

    let stopped_after = socket.flood(&flood, 1_000).await;

    assert!(stopped_after < 1_000, "a client may ping for ever");
    let reason = server.next_end().await;
    assert_eq!(reason, DisconnectReason::Closed(CloseReason::WriteTimeout));
    until("the session is gone", || {
        server.engine.stats().websocket == 1
    })
    .await;
    bystander.assert_served().await;
}

/// A burst is no flood: who reads the answers gets all of them, however many there are.
#[tokio::test]
async fn a_burst_of_events_that_want_acks_gets_all_its_acks() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    let burst: Vec<u8> = (0..1_000)
        .flat_map(|id| frame(0x81, format!(r#"42{id}["message-with-ack",1]"#).as_bytes()))
        .collect();

    socket.send_raw(&burst).await;

    for id in 0..1_000 {
        assert_eq!(
            socket.next_message().await,
            Frame::Text(format!("43{id}[1]"))
        );
    }
}
