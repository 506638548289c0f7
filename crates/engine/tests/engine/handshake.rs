use super::{
    client::{Frame, SESSION_UNKNOWN, WebSocket},
    server::{Server, config, echo, quiet},
};

#[tokio::test]
async fn the_open_packet_has_exactly_five_keys_in_order() {
    let server = Server::start(config()).await;

    let answer = server.request("GET", "EIO=4&transport=polling").await;

    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let sid = super::client::sid(&answer.body);
    assert_eq!(
        answer.body,
        format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}"#
        )
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_wrong_request_has_its_code() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    for (method, query, code, message) in [
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=abc", 0, "Transport unknown"),
        (
            "GET",
            "EIO=4&transport=webtransport",
            0,
            "Transport unknown",
        ),
        ("GET", "EIO=4&transport=__proto__", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=constructor", 0, "Transport unknown"),
        (
            "GET",
            "EIO=4&transport=polling&sid=abc",
            1,
            "Session ID unknown",
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=__proto__",
            1,
            "Session ID unknown",
        ),
        (
            "POST",
            "EIO=4&transport=polling&sid=01234567890123456789",
            1,
            "Session ID unknown",
        ),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        (
            "OPTIONS",
            "EIO=4&transport=polling",
            2,
            "Bad handshake method",
        ),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        (
            "GET",
            &format!("EIO=4&transport=websocket&sid={sid}"),
            3,
            "Bad request",
        ),
        (
            "GET",
            "transport=polling",
            5,
            "Unsupported protocol version",
        ),
        (
            "GET",
            "EIO=abc&transport=polling",
            5,
            "Unsupported protocol version",
        ),
        (
            "GET",
            "EIO=3&transport=polling",
            5,
            "Unsupported protocol version",
        ),
        (
            "GET",
            &format!("EIO=3&transport=polling&sid={sid}"),
            5,
            "Unsupported protocol version",
        ),
    ] {
        let answer = server.request(method, query).await;

        assert_eq!(answer.status, 400, "{method} {query}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{method} {query}"
        );
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        assert_eq!(answer.body, body, "{method} {query}");
    }
    server.assert_open(&sid).await;
}

#[tokio::test]
async fn every_wrong_upgrade_is_refused_before_the_101() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    for (query, message) in [
        ("EIO=4", "Transport unknown"),
        ("EIO=4&transport=abc", "Transport unknown"),
        ("EIO=4&transport=__proto__", "Transport unknown"),
        (
            "EIO=4&transport=websocket&sid=01234567890123456789",
            "Session ID unknown",
        ),
        ("transport=websocket", "Unsupported protocol version"),
        (
            "EIO=abc&transport=websocket",
            "Unsupported protocol version",
        ),
        (
            &format!("EIO=3&transport=websocket&sid={sid}"),
            "Unsupported protocol version",
        ),
    ] {
        let Err(answer) = WebSocket::try_connect(&server, query, "").await else {
            panic!("{query} was upgraded");
        };

        assert_eq!((answer.status, &*answer.body), (400, message), "{query}");
        assert_eq!(answer.header("connection"), Some("close"), "{query}");
    }
    server.assert_open(&sid).await;
}

#[tokio::test]
async fn a_session_has_told_its_version_once() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let query = format!("transport=polling&sid={sid}");

    let push = server.request_with("POST", &query, "", "4hello").await;
    let poll = server.request("GET", &query).await;
    let mut socket = WebSocket::connect(&server, &format!("transport=websocket&sid={sid}")).await;
    socket.send("2probe").await;

    assert_eq!((push.status, &*push.body), (200, "ok"));
    assert_eq!((poll.status, &*poll.body), (200, "4hello"));
    assert_eq!(socket.next().await, Frame::text("3probe"));
}

#[tokio::test]
async fn an_upgrade_with_the_polling_transport_is_opened_and_closed() {
    let server = Server::start(quiet()).await;

    let mut socket = WebSocket::connect(&server, "EIO=4&transport=polling").await;

    socket.assert_closed(None).await;
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_refused() {
    let server = Server::start(quiet()).await;
    for (headers, status) in [
        ("Upgrade: websocket\r\n", 400),
        ("Upgrade: h2c\r\nConnection: Upgrade\r\n", 400),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            426,
        ),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
            400,
        ),
    ] {
        let target = "/socket.io/?EIO=4&transport=websocket";
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let pending = super::client::Pending::send(server.address, request.as_bytes()).await;

        assert_eq!(pending.answer().await.unwrap().status, status, "{headers}");
    }
}

#[tokio::test]
async fn another_path_belongs_to_the_fallback_which_learns_who_asks() {
    let server = Server::start(quiet()).await;

    let request = super::client::request("GET", "/other/?EIO=4&transport=polling", "", "");
    let answer = super::client::Pending::send(server.address, &request)
        .await
        .answer()
        .await;

    let answer = answer.unwrap();
    assert_eq!((answer.status, &*answer.body), (404, "127.0.0.1"));
}

#[tokio::test]
async fn a_session_that_ended_is_unknown() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "1").await;

    let answer = server.poll(&sid).await;

    assert_eq!((answer.status, &*answer.body), (400, SESSION_UNKNOWN));
}
