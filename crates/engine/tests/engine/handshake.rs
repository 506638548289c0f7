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
async fn an_upgrade_on_another_path_opens_nothing() {
    let server = Server::start(quiet()).await;
    let target = "GET /other/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n";
    let upgrade = super::client::UPGRADE.replace(": Upgrade", ": Upgrade, close");
    let request = format!("{target}{upgrade}\r\n");
    let pending = super::client::Pending::send(server.address, request.as_bytes()).await;

    let answer = pending.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.body), (404, "127.0.0.1"));
    assert_eq!(server.engine.stats().websocket, 0);
}

/// As Node does: whatever follows the prefix.
#[tokio::test]
async fn a_path_below_the_prefix_is_the_same() {
    let server = Server::start(quiet()).await;
    for path in ["anything", "a/b/", "socket.io.js/", "socket.io"] {
        let target = format!("/socket.io/{path}?EIO=4&transport=polling");
        let request = super::client::request("GET", &target, "", "");

        let answer = super::client::Pending::send(server.address, &request)
            .await
            .answer()
            .await;

        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(super::client::sid(&answer.body).len(), 20, "{path}");
    }
}

#[tokio::test]
async fn whoever_asks_for_the_script_of_the_client_is_told_where_it_is() {
    let server = Server::start(quiet()).await;
    for file in [
        "socket.io.js",
        "socket.io.min.js?v=4",
        "socket.io.esm.min.js",
        "socket.io.msgpack.min.js",
        "socket.io.js.map",
    ] {
        let request = super::client::request("GET", &format!("/socket.io/{file}"), "", "");

        let answer = super::client::Pending::send(server.address, &request)
            .await
            .answer()
            .await;

        let answer = answer.unwrap();
        assert_eq!(answer.status, 404, "{file}");
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("text/plain; charset=UTF-8"), "{file}");
        assert!(answer.body.contains("socket.io-client"), "{}", answer.body);
    }
    let handshakes = server.engine.counts().handshakes;
    assert_eq!(handshakes.values().sum::<u64>(), 0);
}

/// 20 characters are all of what there is in 15 bytes: in each place each of 64 is as likely as the
/// others, so that among 1,000 ids one that never comes would be a fault.
#[tokio::test]
async fn ids_are_unlike_each_other_in_every_place() {
    let server = Server::start(quiet()).await;
    let mut connection = super::client::KeptAlive::connect(&server).await;
    let mut sids = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let target = "/socket.io/?EIO=4&transport=polling";
        let answer = connection.ask("GET", target, "").await;
        sids.insert(super::client::sid(&answer.body));
    }

    assert_eq!(sids.len(), 1_000);
    for place in 0..20 {
        let characters: std::collections::BTreeSet<u8> =
            sids.iter().map(|sid| sid.as_bytes()[place]).collect();
        assert!(characters.len() >= 62, "{place}: {}", characters.len());
        let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        assert!(characters.iter().all(is_known));
    }
}

#[tokio::test]
async fn a_session_that_ended_is_unknown() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "1").await;

    let answer = server.poll(&sid).await;

    assert_eq!((answer.status, &*answer.body), (400, SESSION_UNKNOWN));
}
