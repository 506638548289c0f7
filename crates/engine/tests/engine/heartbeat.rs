use std::time::{Duration, Instant};

use super::{
    client::{Frame, KeptAlive, SESSION_UNKNOWN, WebSocket, until},
    server::{Server, config, echo},
};

#[tokio::test]
async fn a_polling_client_that_answers_pings_lives() {
    let server = Server::start(echo(config())).await;
    let sid = server.open().await;

    for _ in 0..3 {
        assert_eq!(server.poll(&sid).await.body, "2");
        assert_eq!(server.push(&sid, "3").await.body, "ok");
    }
}

#[tokio::test]
async fn a_polling_client_that_answers_no_ping_is_closed_in_time() {
    let server = Server::start(echo(config())).await;
    let opened = Instant::now();
    let sid = server.open().await;
    assert_eq!(server.poll(&sid).await.body, "2");

    let answer = server.poll(&sid).await;

    assert_eq!((answer.status, &*answer.body), (200, "1"));
    assert!(opened.elapsed() >= Duration::from_millis(500));
    server.assert_unknown(&sid).await;
}

/// As the official suites have it: nothing of 500 ms is forgiven. To wait longer changes nothing.
#[tokio::test]
async fn whoever_does_not_poll_for_interval_and_timeout_finds_no_session() {
    let server = Server::start(echo(config())).await;
    let mut connection = KeptAlive::connect(&server).await;
    let opened = [
        server.open().await,
        server.open().await,
        server.open().await,
    ];
    let [anew, kept, pushed] = &opened;

    tokio::time::sleep(Duration::from_millis(500)).await;

    let polling = format!("/socket.io/?EIO=4&transport=polling&sid={kept}");
    let answers = [
        connection.ask("GET", &polling, "").await,
        server.poll(anew).await,
        server.push(pushed, "3").await,
    ];
    for answer in answers {
        assert_eq!((answer.status, &*answer.body), (400, SESSION_UNKNOWN));
    }
    for sid in &opened {
        server.assert_unknown(sid).await;
    }
    until("the sessions end", || {
        server.engine.counts().closes["ping_timeout"] == 3
    })
    .await;
}

#[tokio::test]
async fn a_websocket_client_that_answers_pings_lives() {
    let server = Server::start(echo(config())).await;
    let mut socket = WebSocket::open(&server).await;

    for _ in 0..3 {
        assert_eq!(socket.next().await, Frame::text("2"));
        socket.send("3").await;
    }
}

#[tokio::test]
async fn a_websocket_client_that_answers_no_ping_is_closed() {
    let server = Server::start(echo(config())).await;
    let mut socket = WebSocket::open(&server).await;
    assert_eq!(socket.next().await, Frame::text("2"));

    assert_eq!(socket.next().await, Frame::Close(Vec::new()));
}

#[tokio::test]
async fn other_traffic_is_no_pong() {
    let server = Server::start(echo(config())).await;
    let mut socket = WebSocket::open(&server).await;
    assert_eq!(socket.next().await, Frame::text("2"));
    socket.send("4hello").await;

    assert_eq!(socket.next().await, Frame::text("4hello"));
    assert_eq!(socket.next().await, Frame::Close(Vec::new()));
}
