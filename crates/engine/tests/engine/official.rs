//! What the two official suites check, by their titles, against the settings of their fixtures.
//!
//! The suites themselves can be run against `--example fixture`; these need no Node.

mod engine_io;
mod socket_io;

use std::time::Duration;

use super::{
    client::{Frame, KeptAlive, Pending, WebSocket, request, sid},
    server::Server,
};

/// Makes of each title a test against a fixture of its own.
macro_rules! titles {
    ($fixture:expr; $($title:ident)*) => {
        $(
            #[tokio::test]
            async fn $title() {
                let server = crate::server::Server::start($fixture).await;
                checks::$title(&server).await;
            }
        )*
    };
}

/// The titles that both suites have.
macro_rules! engine_io_titles {
    ($fixture:expr) => {
        mod of_both {
            use super::*;
            use crate::official as checks;

            titles! {
            $fixture;
            polling_handshake_successfully_opens_a_session
            polling_handshake_fails_with_an_invalid_eio_query_parameter
            polling_handshake_fails_with_an_invalid_transport_query_parameter
            polling_handshake_fails_with_an_invalid_request_method
            websocket_handshake_successfully_opens_a_session
            websocket_handshake_fails_with_an_invalid_eio_query_parameter
            websocket_handshake_fails_with_an_invalid_transport_query_parameter
            polling_heartbeat_sends_ping_pong_packets
            polling_heartbeat_closes_the_session_upon_ping_timeout
            websocket_heartbeat_sends_ping_pong_packets
            websocket_heartbeat_closes_the_session_upon_ping_timeout
            polling_close_forcefully_closes_the_session
            websocket_close_forcefully_closes_the_session
            upgrade_successfully_upgrades_from_polling_to_websocket
            upgrade_ignores_http_requests_with_same_sid_after_upgrade
            upgrade_ignores_websocket_connection_with_same_sid_after_upgrade
            }
        }
    };
}

use {engine_io_titles, titles};

async fn polling_handshake_successfully_opens_a_session(server: &Server) {
    let answer = server.request("GET", "EIO=4&transport=polling").await;

    assert_eq!(answer.status, 200);
    assert_open_packet(&answer.body, &["websocket"]);
}

async fn polling_handshake_fails_with_an_invalid_eio_query_parameter(server: &Server) {
    for query in ["transport=polling", "EIO=abc&transport=polling"] {
        assert_eq!(server.request("GET", query).await.status, 400, "{query}");
    }
}

async fn polling_handshake_fails_with_an_invalid_transport_query_parameter(server: &Server) {
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        assert_eq!(server.request("GET", query).await.status, 400, "{query}");
    }
}

async fn polling_handshake_fails_with_an_invalid_request_method(server: &Server) {
    for method in ["POST", "PUT"] {
        let answer = server.request(method, "EIO=4&transport=polling").await;
        assert_eq!(answer.status, 400, "{method}");
    }
}

async fn websocket_handshake_successfully_opens_a_session(server: &Server) {
    let mut socket = WebSocket::connect(server, "EIO=4&transport=websocket").await;

    let Frame::Text(open) = socket.next().await else {
        panic!("the first frame is the open packet");
    };
    assert_open_packet(&open, &[]);
}

async fn websocket_handshake_fails_with_an_invalid_eio_query_parameter(server: &Server) {
    for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
        let opened = WebSocket::try_connect(server, query, "").await;
        assert_eq!(opened.err().map(|answer| answer.status), Some(400));
    }
}

async fn websocket_handshake_fails_with_an_invalid_transport_query_parameter(server: &Server) {
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        let opened = WebSocket::try_connect(server, query, "").await;
        assert_eq!(opened.err().map(|answer| answer.status), Some(400));
    }
}

async fn polling_heartbeat_sends_ping_pong_packets(server: &Server) {
    let sid = server.open().await;
    for _ in 0..3 {
        let poll = server.poll(&sid).await;
        assert_eq!((poll.status, &*poll.body), (200, "2"));
        assert_eq!(server.push(&sid, "3").await.status, 200);
    }
}

/// The client sleeps for just as long as it has, on its connection from before.
async fn polling_heartbeat_closes_the_session_upon_ping_timeout(server: &Server) {
    let mut connection = KeptAlive::connect(server).await;
    let target = "/socket.io/?EIO=4&transport=polling";
    let sid = sid(&connection.ask("GET", target, "").await.body);

    tokio::time::sleep(Duration::from_millis(500)).await;

    let target = format!("{target}&sid={sid}");
    assert_eq!(connection.ask("GET", &target, "").await.status, 400);
}

async fn websocket_heartbeat_sends_ping_pong_packets(server: &Server) {
    let mut socket = WebSocket::open(server).await;
    for _ in 0..3 {
        assert_eq!(socket.next().await, Frame::text("2"));
        socket.send("3").await;
    }
}

async fn websocket_heartbeat_closes_the_session_upon_ping_timeout(server: &Server) {
    let mut socket = WebSocket::open(server).await;
    assert_eq!(socket.next().await, Frame::text("2"));

    assert_closed(&mut socket).await;
}

async fn polling_close_forcefully_closes_the_session(server: &Server) {
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    assert_eq!(server.push(&sid, "1").await.status, 200);

    assert_eq!(poll.body().await, "6");
    assert_eq!(server.poll(&sid).await.status, 400);
}

async fn websocket_close_forcefully_closes_the_session(server: &Server) {
    let mut socket = WebSocket::open(server).await;

    socket.send("1").await;

    assert_closed(&mut socket).await;
}

async fn upgrade_successfully_upgrades_from_polling_to_websocket(server: &Server) {
    let sid = server.open().await;
    let mut socket = connect(server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));

    // One that comes only now.
    let poll = server.poll(&sid).await;
    socket.send("5").await;

    assert_eq!((poll.status, &*poll.body), (200, "6"));
    assert_alive(&mut socket).await;
}

async fn upgrade_ignores_http_requests_with_same_sid_after_upgrade(server: &Server) {
    let (sid, mut socket) = upgraded(server).await;

    assert_eq!(server.poll(&sid).await.status, 400);

    assert_alive(&mut socket).await;
}

/// An answer that is no WebSocket would end the suite itself.
async fn upgrade_ignores_websocket_connection_with_same_sid_after_upgrade(server: &Server) {
    let (sid, mut socket) = upgraded(server).await;

    assert_closed(&mut connect(server, &sid).await).await;

    assert_alive(&mut socket).await;
}

async fn upgraded(server: &Server) -> (String, WebSocket) {
    let sid = server.open().await;
    let mut socket = connect(server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));
    socket.send("5").await;
    (sid, socket)
}

async fn connect(server: &Server, sid: &str) -> WebSocket {
    WebSocket::connect(server, &format!("EIO=4&transport=websocket&sid={sid}")).await
}

/// Exactly these keys.
fn assert_open_packet(open: &str, upgrades: &[&str]) {
    let upgrades = serde_json::json!(upgrades);
    let sid = sid(open);
    let expected = format!(
        r#"0{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}"#
    );
    assert_eq!(open, expected);
}

async fn assert_closed(socket: &mut WebSocket) {
    assert!(matches!(socket.next_message().await, Frame::Close(_)));
    assert_eq!(socket.next().await, Frame::End);
}

/// Whether the other side hears: it answers a ping of WebSocket, whatever it speaks inside.
async fn assert_alive(socket: &mut WebSocket) {
    socket.send_frame(0x89, b"alive").await;
    assert_eq!(socket.next_message().await, Frame::Pong(b"alive".to_vec()));
}
