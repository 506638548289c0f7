use std::time::Duration;

use switchboard_engine::Config;

use super::{
    client::{Frame, WebSocket},
    server::{Server, config, echo, quiet},
};

async fn probe(server: &Server, sid: &str) -> WebSocket {
    WebSocket::connect(server, &format!("EIO=4&transport=websocket&sid={sid}")).await
}

/// Opens a polling session and moves it to a WebSocket.
async fn upgrade(server: &Server) -> (String, WebSocket) {
    let sid = server.open().await;
    let mut socket = probe(server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));
    socket.send("5").await;
    socket.send("4hello").await;
    assert_eq!(socket.next().await, Frame::text("4hello"));
    (sid, socket)
}

#[tokio::test]
async fn a_websocket_takes_a_polling_session_over() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    assert_eq!(
        (
            server.engine.stats().polling,
            server.engine.stats().websocket
        ),
        (1, 0)
    );
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;
    let mut socket = probe(&server, &sid).await;

    socket.send("2probe").await;

    assert_eq!(socket.next().await, Frame::text("3probe"));
    assert_eq!(poll.body().await, "6");
    assert_eq!(server.poll(&sid).await.body, "6");
    socket.send("5").await;
    socket.send("4hello").await;
    assert_eq!(socket.next().await, Frame::text("4hello"));
    assert_eq!(
        (
            server.engine.stats().polling,
            server.engine.stats().websocket
        ),
        (0, 1)
    );
}

#[tokio::test]
async fn what_is_queued_during_the_probe_comes_after_the_switch() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    server.push(&sid, "4a\x1ebAQID").await;
    socket.send("5").await;
    socket.send("4b").await;

    assert_eq!(socket.next().await, Frame::text("4a"));
    assert_eq!(socket.next().await, Frame::Binary(vec![1, 2, 3]));
    assert_eq!(socket.next().await, Frame::text("4b"));
}

#[tokio::test]
async fn messages_flow_on_polling_during_the_probe() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    server.push(&sid, "4a").await;

    assert_eq!(server.poll(&sid).await.body, "4a");
}

#[tokio::test]
async fn polling_is_refused_after_the_upgrade() {
    let server = Server::start(echo(quiet())).await;
    let (sid, mut socket) = upgrade(&server).await;

    for method in ["GET", "POST"] {
        let answer = server
            .request(method, &format!("EIO=4&transport=polling&sid={sid}"))
            .await;
        assert_eq!(answer.body, r#"{"code":3,"message":"Bad request"}"#);
    }

    socket.send("4still here").await;
    assert_eq!(socket.next().await, Frame::text("4still here"));
}

#[tokio::test]
async fn a_second_websocket_is_opened_and_closed() {
    let server = Server::start(echo(quiet())).await;
    let (sid, mut socket) = upgrade(&server).await;

    probe(&server, &sid).await.assert_closed(None).await;

    socket.send("4still here").await;
    assert_eq!(socket.next().await, Frame::text("4still here"));
}

#[tokio::test]
async fn a_websocket_that_probes_beside_another_is_opened_and_closed() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let mut first = probe(&server, &sid).await;
    first.send("2probe").await;
    assert_eq!(first.next().await, Frame::text("3probe"));

    probe(&server, &sid).await.assert_closed(None).await;

    first.send("5").await;
    first.send("4hello").await;
    assert_eq!(first.next().await, Frame::text("4hello"));
}

#[tokio::test]
async fn a_websocket_session_is_not_taken_over() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::connect(&server, "EIO=4&transport=websocket").await;
    let Frame::Text(open) = socket.next().await else {
        panic!("the first frame is the open packet");
    };

    probe(&server, &super::client::sid(&open))
        .await
        .assert_closed(None)
        .await;

    socket.send("4still here").await;
    assert_eq!(socket.next().await, Frame::text("4still here"));
}

#[tokio::test]
async fn anything_but_a_probe_closes_the_socket_and_the_session_lives() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    for text in ["5", "2", "2probes", "3probe", "4hello", "test", ""] {
        let mut socket = probe(&server, &sid).await;

        socket.send(text).await;

        assert_eq!(socket.next().await, Frame::Close(Vec::new()), "{text:?}");
        server.assert_open(&sid).await;
    }
    for bytes in [&b"test"[..], b"\xff\xff", &[0x81, 0x01, b'2']] {
        let mut socket = probe(&server, &sid).await;

        socket.send_raw(bytes).await;

        assert_eq!(socket.next().await, Frame::Close(Vec::new()), "{bytes:?}");
        server.assert_open(&sid).await;
    }
}

#[tokio::test]
async fn a_probe_that_is_reset_leaves_the_session_alone() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    socket.reset();

    server.push(&sid, "4a").await;
    assert_eq!(server.poll(&sid).await.body, "4a");
}

#[tokio::test]
async fn an_abandoned_probe_is_closed_in_time_and_the_session_lives() {
    let server = Server::start(echo(Config {
        upgrade_timeout: Duration::from_millis(50),
        ..quiet()
    }))
    .await;
    let sid = server.open().await;
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    assert_eq!(socket.next().await, Frame::Close(Vec::new()));

    server.push(&sid, "4a").await;
    assert_eq!(server.poll(&sid).await.body, "4a");
}

#[tokio::test]
async fn the_heartbeat_goes_on_after_the_switch_though_a_pong_was_lost() {
    let server = Server::start(echo(config())).await;
    let sid = server.open().await;
    assert_eq!(server.poll(&sid).await.body, "2");
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    socket.send("5").await;

    assert_eq!(socket.next().await, Frame::text("2"));
    socket.send("3").await;
    assert_eq!(socket.next().await, Frame::text("2"));
}

#[tokio::test]
async fn a_session_that_ends_takes_its_probe_along() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    server.push(&sid, "1").await;

    assert_eq!(socket.next().await, Frame::End);
}

#[tokio::test]
async fn a_session_that_ends_during_the_probe_is_told_so_where_its_client_moves_to() {
    let server = Server::start(quiet()).await;
    for ending in ["40/closed,", "42[\"close\"]"] {
        let sid = server.open().await;
        server.push(&sid, "40").await;
        assert!(server.poll(&sid).await.body.starts_with("40"));
        let mut socket = probe(&server, &sid).await;
        socket.send("2probe").await;
        assert_eq!(socket.next().await, Frame::text("3probe"));

        // The client has paused polling by now: nobody asks.
        server.push(&sid, ending).await;
        socket.send("5").await;

        assert_eq!(socket.next().await, Frame::Close(Vec::new()));
    }
}

#[tokio::test]
async fn a_session_that_ends_during_the_probe_is_told_so_where_its_client_still_polls() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    assert!(server.poll(&sid).await.body.starts_with("40"));
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));
    server.push(&sid, "42[\"close\"]").await;

    assert_eq!(server.poll(&sid).await.body, "6\u{1e}1");

    assert_eq!(socket.next().await, Frame::End);
}

#[tokio::test]
async fn what_is_left_to_say_at_the_end_comes_with_it_to_a_client_that_is_about_to_move() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    assert!(server.poll(&sid).await.body.starts_with("40"));
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    server
        .push(&sid, "42[\"message\",1]\u{1e}42[\"close\"]")
        .await;

    let body = server.poll(&sid).await.body;
    assert_eq!(body, "42[\"message-back\",1]\u{1e}1");
}
