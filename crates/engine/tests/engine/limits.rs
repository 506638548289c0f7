use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchboard_engine::{CloseReason, Config, DisconnectReason, Packet, Posted, Queued, Stats};

use super::{
    client::{Frame, Pending, WebSocket, until},
    server::{Server, echo, quiet},
};

#[tokio::test]
async fn one_session_too_many_is_told_to_come_back() {
    let server = Server::start(echo(Config {
        connections_max: 1,
        ..quiet()
    }))
    .await;
    let sid = server.open().await;

    let polling = server.request("GET", "EIO=4&transport=polling").await;
    let websocket = WebSocket::try_connect(&server, "EIO=4&transport=websocket", "").await;

    assert_eq!(
        (polling.status, polling.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(websocket.err().unwrap().status, 503);
    server.push(&sid, "1").await;
    server.assert_unknown(&sid).await;
    WebSocket::open(&server).await;
}

#[tokio::test]
async fn a_stranger_too_many_is_told_to_come_back_and_joining_makes_room() {
    let server = Server::start(Config {
        unjoined_max: 1,
        ..quiet()
    })
    .await;
    let sid = server.open().await;

    let polling = server.request("GET", "EIO=4&transport=polling").await;
    let websocket = WebSocket::try_connect(&server, "EIO=4&transport=websocket", "").await;

    assert_eq!(
        (polling.status, polling.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(websocket.err().unwrap().status, 503);
    assert_eq!(server.engine.counts().refused["unjoined_max"], 2);
    assert_eq!(server.push(&sid, "40").await.body, "ok");
    let other = server.open().await;
    server.push(&other, "1").await;
    server.assert_unknown(&other).await;
    WebSocket::open(&server).await;
    // Who has joined counts no more, whatever it leaves.
    server.push(&sid, "41").await;
    assert_eq!(server.engine.stats().polling, 1);
}

#[tokio::test]
async fn a_session_too_many_of_one_address_is_told_to_come_back() {
    let server = Server::start(Config {
        connections_per_address_max: 1,
        ..quiet()
    })
    .await;
    let sid = server.open().await;

    let polling = server.request("GET", "EIO=4&transport=polling").await;
    let websocket = WebSocket::try_connect(&server, "EIO=4&transport=websocket", "").await;

    assert_eq!(
        (polling.status, polling.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(websocket.err().unwrap().status, 429);
    let counts = server.engine.counts();
    assert_eq!(counts.refused["connections_per_address_max"], 2);
    assert_eq!(counts.handshakes["limited"], 2);
    server.push(&sid, "1").await;
    server.assert_unknown(&sid).await;
    server.open().await;
}

/// Elsewhere loopback has one address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_address_has_its_own_sessions() {
    let server = Server::start(Config {
        connections_per_address_max: 1,
        ..quiet()
    })
    .await;
    server.open().await;

    let other = server.open_from([127, 0, 0, 2]).await;

    server.assert_open(&other).await;
}

#[tokio::test]
async fn sessions_that_open_too_fast_are_told_to_come_back() {
    let server = Server::start(Config {
        handshakes_per_second_max: 1,
        ..quiet()
    })
    .await;

    let polling = loop {
        let answer = server.request("GET", "EIO=4&transport=polling").await;
        if answer.status != 200 {
            break answer;
        }
    };
    let websocket = loop {
        let opened = WebSocket::try_connect(&server, "EIO=4&transport=websocket", "").await;
        if let Err(answer) = opened {
            break answer;
        }
    };

    for answer in [polling, websocket] {
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("1"))
        );
    }
    let counts = server.engine.counts();
    assert_eq!(counts.refused["handshakes_per_second_max"], 2);
    assert_eq!(counts.handshakes["unavailable"], 2);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(quiet()).await;
    let many = "X-Many: a\r\n".repeat(200);
    let long = format!("X-Long: {}\r\n", "a".repeat(100_000));
    for headers in [many, long] {
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        );

        let answer = Pending::send(server.address, request.as_bytes())
            .await
            .answer()
            .await;

        assert_eq!(answer.unwrap().status, 431);
    }
    server.open().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = Server::start(Config {
        header_timeout: Duration::from_millis(50),
        ..quiet()
    })
    .await;

    let pending = Pending::send(server.address, b"GET /socket.io/ HTTP/1.1\r\nHost: ").await;

    assert!(
        pending
            .answer()
            .await
            .is_none_or(|answer| answer.status == 408)
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_session() {
    let server = Server::start(Config {
        body_timeout: Duration::from_millis(50),
        ..quiet()
    })
    .await;
    let sid = server.open().await;
    let request = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9\r\n\r\n4"
    );

    let answer = Pending::send(server.address, request.as_bytes())
        .await
        .answer()
        .await;

    assert_eq!(answer.unwrap().status, 408);
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_closed_and_slows_nobody() {
    let server = Server::start(quiet()).await;
    let slow = WebSocket::join(&server).await;
    let handle = server.socket();
    let mut other = WebSocket::join(&server).await;
    let packet = Arc::new(Packet::text(format!(r#"42["{}"]"#, "a".repeat(60_000))));

    let mut mark = 1;
    let posted = loop {
        mark += 1;
        match handle.post(packet.clone(), mark) {
            Posted::Queued => tokio::task::yield_now().await,
            posted => break posted,
        }
    };

    assert_eq!(posted, Posted::Behind);
    assert!(handle.outbox().is_behind() || handle.post(packet, 0) == Posted::Closed);
    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::Lagged)
    );
    assert!(handle.outbox().written() < mark);
    other.send(r#"42["message",1]"#).await;
    assert_eq!(other.next().await, Frame::text(r#"42["message-back",1]"#));
    drop(slow);
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_given_up() {
    let server = Server::start(Config {
        write_timeout: Duration::from_millis(100),
        outbox_bytes_max: 64 << 20,
        ..quiet()
    })
    .await;
    let socket = WebSocket::join(&server).await;
    let packet = Arc::new(Packet::text(format!(r#"42["{}"]"#, "a".repeat(16 << 20))));

    server.socket().post(packet.clone(), 2);
    server.socket().post(packet, 3);

    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::WriteTimeout)
    );
    drop(socket);
}

#[tokio::test]
async fn a_poll_whose_answer_is_not_read_is_given_up() {
    let server = Server::start(echo(Config {
        write_timeout: Duration::from_millis(100),
        payload_max: 32 << 20,
        outbox_bytes_max: 64 << 20,
        ..quiet()
    }))
    .await;
    let sid = server.open().await;
    server
        .push(&sid, &format!("4{}", "a".repeat(16 << 20)))
        .await;

    let poll = server.start_poll(&sid).await;

    until("the connection is given up", || {
        server.engine.counts().refused["write_timeout"] == 1
    })
    .await;
    until("its place is free", || server.engine.stats().http == 0).await;
    drop(poll);
}

/// Those of the application. What a client asks for stops being read before that: see
/// `a_flood_of_pings_whose_pongs_are_not_read_ends_its_sender`.
#[tokio::test]
async fn more_controls_than_a_client_reads_close_the_connection() {
    let server = Server::start(Config {
        controls_max: 4,
        ..quiet()
    })
    .await;
    let _socket = WebSocket::join(&server).await;
    let handle = server.socket();

    while handle.emit("a", &[], Vec::new()) == Posted::Queued {}

    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::ControlsOverflow)
    );
}

#[tokio::test]
async fn an_application_that_never_finishes_loses_the_client() {
    let server = Server::start(Config {
        handling_timeout: Duration::from_millis(50),
        ..quiet()
    })
    .await;
    let mut socket = WebSocket::join(&server).await;

    socket.send(r#"421["later"]"#).await;

    socket.assert_closed(None).await;
    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::HandlingTimeout)
    );
}

#[tokio::test]
async fn a_drain_closes_transports_so_that_clients_come_back() {
    let mut server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    server.stop();

    socket.assert_closed(None).await;
    assert_eq!(poll.body().await, "1");
    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::ShuttingDown)
    );
    let engine = server.engine.clone();
    drop(socket);
    server.served().await;
    assert_eq!(engine.stats(), Stats::default());
}

#[tokio::test]
async fn a_drain_of_many_sessions_closes_them_in_waves() {
    let spread = Duration::from_millis(300);
    let mut server = Server::start(echo(Config {
        drain_spread: spread,
        ..quiet()
    }))
    .await;
    for _ in 0..300 {
        server.open().await;
    }
    let engine = server.engine.clone();

    let start = Instant::now();
    server.stop();

    until("the first are closed", || engine.stats().polling < 300).await;
    assert!(engine.stats().polling > 0);
    server.served().await;
    // Of three waves the last begins in the last third.
    assert!(start.elapsed() >= spread * 2 / 3);
    assert_eq!(engine.counts().closes["shutting_down"], 300);
}

#[tokio::test]
async fn what_an_engine_does_is_counted() {
    let server = Server::start(echo(Config {
        connections_max: 2,
        ..quiet()
    }))
    .await;
    let before = server.engine.counts();
    assert_eq!(before.handshakes.values().sum::<u64>(), 0);

    let mut socket = WebSocket::open(&server).await;
    socket.send("4hello").await;
    assert_eq!(socket.next().await, Frame::text("4hello"));
    server.open().await;
    server.request("GET", "EIO=4&transport=polling").await;
    server.request("GET", "EIO=3&transport=polling").await;
    socket.send("1").await;
    socket.assert_closed(None).await;

    let counts = server.engine.counts();
    let handshakes = [
        ("accepted", 2),
        ("forbidden", 0),
        ("limited", 0),
        ("malformed", 1),
        ("unavailable", 1),
    ];
    assert_eq!(counts.handshakes, handshakes.into());
    let closes = counts.closes.iter().filter(|(_, count)| **count > 0);
    assert_eq!(closes.collect::<Vec<_>>(), [(&"transport_closed", &1)]);
    // A mask and two bytes of length for each frame of the client.
    assert!(counts.bytes_in > 3 * 6, "{counts:?}");
    assert!(counts.bytes_out > 2 + 6, "{counts:?}");
    assert_eq!(server.engine.queued(), Queued::default());
}

#[tokio::test]
async fn a_client_that_is_refused_again_and_again_is_closed() {
    let server = Server::start(Config {
        refusals_max: 4,
        ..quiet()
    })
    .await;
    let mut socket = WebSocket::open(&server).await;
    let refused = Frame::text(r#"44/random,{"message":"Invalid namespace"}"#);
    for _ in 0..2 {
        socket.send("40/random,").await;
        assert_eq!(socket.next().await, refused);
    }
    socket.send("40").await;
    socket.next().await;
    socket.next().await;

    for _ in 0..3 {
        socket.send("40/random,").await;
    }

    for _ in 0..2 {
        assert_eq!(socket.next().await, refused);
    }
    socket.assert_closed(None).await;
    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::RefusedTooOften)
    );
    assert_eq!(server.engine.counts().closes["refused_too_often"], 1);
}
