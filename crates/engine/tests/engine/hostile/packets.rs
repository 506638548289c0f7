//! Packets: what Socket.IO's parsers fell for.

use std::time::{Duration, Instant};

use switchboard_engine::{CloseReason, Config, DisconnectReason};

use super::Bystander;
use crate::{
    client::{Frame, WebSocket},
    server::{Server, quiet},
};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

/// GHSA-55mf-67qm-4wpg, CVE-2026-48804, CVE-2026-33151: attachments of somebody who has joined
/// nothing, in every form.
#[tokio::test]
async fn before_joining_no_attachment_is_waited_for() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for text in [
        format!(r#"451-["a",{PLACEHOLDER}]"#),
        format!(r#"451-/custom,["a",{PLACEHOLDER}]"#),
        format!(r#"451-/nowhere,["a",{PLACEHOLDER}]"#),
        format!("461-1[{PLACEHOLDER}]"),
        format!(r#"4510-["a",{PLACEHOLDER}]"#),
        format!(r#"45999999999-["a",{PLACEHOLDER}]"#),
    ] {
        let mut socket = WebSocket::open(&server).await;
        socket.send(&text).await;
        socket.assert_closed(None).await;

        let sid = server.open().await;
        server.push(&sid, &text).await;
        server.poll(&sid).await;
        server.assert_unknown(&sid).await;
    }
    // Nor is one taken that was not announced.
    let mut socket = WebSocket::open(&server).await;
    socket.send_binary(&[0; 1_000]).await;
    socket.assert_closed(None).await;
    let sid = server.open().await;
    server.push(&sid, "bAQIDBA==").await;
    server.poll(&sid).await;
    server.assert_unknown(&sid).await;
    // Nor by a namespace whose door is still closed.
    let mut socket = WebSocket::open(&server).await;
    socket.send("40/private").await;
    assert!(
        matches!(socket.next_message().await, Frame::Text(text) if text.starts_with("44/private,"))
    );
    socket
        .send(&format!(r#"451-/private,["a",{PLACEHOLDER}]"#))
        .await;
    socket.assert_closed(None).await;
    // All but those that nobody may send, or that were not announced.
    let counts = server.engine.counts();
    assert_eq!(counts.closes["attachments_early"], 11);
    bystander.assert_served().await;
}

/// CVE-2026-33151 and CVE-2026-69185: how many attachments there are.
#[tokio::test]
async fn a_number_of_attachments_that_nobody_sends_is_refused() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for count in [
        "0",
        "00",
        "11",
        "4294967296",
        "18446744073709551616",
        "-1",
        "1.0",
        "1e1",
        "",
        "+1",
        " 1",
        "0x1",
        "\u{661}",
    ] {
        for text in [
            format!(r#"45{count}-["message",{PLACEHOLDER}]"#),
            format!("46{count}-1[{PLACEHOLDER}]"),
        ] {
            assert_refused(&server, &text).await;
        }
    }
    assert_refused(&server, r#"450-["a"]"#).await;
    bystander.assert_served().await;
}

/// CVE-2022-2421: a placeholder whose number is no index.
#[tokio::test]
async fn a_placeholder_that_is_no_index_is_refused() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for num in [
        "1",
        "-1",
        "0.5",
        "1e0",
        r#""0""#,
        r#""splice""#,
        r#""__proto__""#,
        "null",
        "true",
        "[0]",
        "{}",
        "99999999999999999999",
    ] {
        assert_refused(
            &server,
            &format!(r#"451-["message",{{"_placeholder":true,"num":{num}}}]"#),
        )
        .await;
    }
    assert_refused(&server, r#"451-["message",{"_placeholder":true}]"#).await;
    bystander.assert_served().await;
}

/// CVE-2023-32695 and B.1: the list of upstream's own tests.
#[tokio::test]
async fn what_upstream_refuses_is_refused() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for text in [
        r#"442["some","data""#,
        r#"40/admin,"invalid""#,
        "40[]",
        "41/admin,{}",
        r#"42/admin,"invalid"#,
        "42/admin,{}",
        r#"42[{"toString":"foo"}]"#,
        r#"42[true,"foo"]"#,
        r#"42[null,"bar"]"#,
        r#"42["connect"]"#,
        r#"42["disconnect","123"]"#,
        "45",
        "451",
        "45a-",
        "451.23-",
        "4999",
        "42",
        r#"42 1["a"]"#,
        r#"42[["a"]]"#,
        "42[]",
        r#"42["connect_error"]"#,
        r#"42["disconnecting"]"#,
        r#"42["newListener"]"#,
        r#"42["removeListener"]"#,
        "43[]",
        "431",
        "431{}",
        "4",
        "4\0",
        "4\u{20ac}",
    ] {
        assert_refused(&server, text).await;
    }
    bystander.assert_served().await;
}

/// CVE-2024-38355: an event named `error` ended the process; so did names of properties elsewhere.
#[tokio::test]
async fn names_with_a_meaning_elsewhere_are_names_like_any_other() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    for name in [
        "error",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "then",
        "connection",
        "",
        " ",
        "\u{20ac}",
    ] {
        socket.send(&format!(r#"42["{name}",1]"#)).await;
    }
    // And as namespaces, which just do not exist.
    for namespace in ["/__proto__", "/constructor", "/toString"] {
        socket.send(&format!("40{namespace},")).await;

        let refused = format!(r#"44{namespace},{{"message":"Invalid namespace"}}"#);
        assert_eq!(socket.next_message().await, Frame::Text(refused));
    }
    socket
        .send(r#"42["message",{"__proto__":1,"constructor":{"prototype":2}}]"#)
        .await;
    let back = r#"42["message-back",{"__proto__":1,"constructor":{"prototype":2}}]"#;
    assert_eq!(socket.next_message().await, Frame::text(back));
}

/// CVE-2020-36049: quadratic time and memory on long numbers and names.
#[tokio::test]
async fn huge_runs_of_digits_are_read_once() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let digits = "1".repeat(900_000);
    let nested = "[".repeat(400_000) + &"]".repeat(400_000);
    let started = Instant::now();
    for text in [
        format!("45{digits}"),
        format!("45{digits}-[]"),
        format!("42{digits}"),
        format!(r#"42{digits}["a"]"#),
        format!("43{digits}[]"),
        format!("42/{digits},[\"a\"]"),
        format!("40/{digits}"),
        format!("42[{digits}"),
        format!("42{}", "[".repeat(900_000)),
        format!("42[\"message\",{nested}]"),
        format!("40{}", r#"{"a":"#.repeat(180_000)),
        format!("42[\"{}", "\\\\".repeat(400_000)),
    ] {
        let mut socket = WebSocket::join(&server).await;
        socket.send(&text).await;
        socket.assert_closed(None).await;

        let sid = server.open().await;
        server.push(&sid, "40").await;
        server.poll(&sid).await;
        server.push(&sid, &text).await;
        assert_eq!(server.poll(&sid).await.body, "6\x1e1");
    }
    // 24 megabytes in a debug build: quadratic time would be hours.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    // A number of a million digits is a number.
    let mut socket = WebSocket::join(&server).await;
    socket.send(&format!(r#"42["message",{digits}]"#)).await;
    assert_eq!(
        socket.next_message().await,
        Frame::Text(format!(r#"42["message-back",{digits}]"#))
    );
    bystander.assert_served().await;
}

/// CVE-2026-48804: attachments that stay out hold memory for a while only, and are counted.
#[tokio::test]
async fn attachments_that_stay_out_end_the_session() {
    let server = Server::start(Config {
        attachments_timeout: Duration::from_millis(100),
        attachments_bytes_max: 10_000,
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let header = format!(r#"4510-["message",{PLACEHOLDER}]"#);

    let mut socket = WebSocket::join(&server).await;
    socket.send(&header).await;
    socket.send_binary(&[0; 9_000]).await;
    let reason = server.next_end().await;
    assert_eq!(
        reason,
        DisconnectReason::Closed(CloseReason::AttachmentsTimeout)
    );
    socket.assert_closed(None).await;

    let mut socket = WebSocket::join(&server).await;
    socket.send(&header).await;
    for len in [9_000, 1_001] {
        socket.send_binary(&vec![0; len]).await;
    }
    socket.assert_closed(None).await;
    let reason = server.next_end().await;
    assert_eq!(reason, DisconnectReason::Closed(CloseReason::PacketInvalid));
    bystander.assert_served().await;
}

/// CVE-2026-56811: one connection joined without end.
#[tokio::test]
async fn one_connection_joins_a_bounded_number_of_namespaces() {
    let server = Server::start(Config {
        namespaces_max: 2,
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send("40/custom,").await;
    assert!(
        matches!(socket.next_message().await, Frame::Text(text) if text.starts_with("40/custom,"))
    );
    assert!(matches!(socket.next_message().await, Frame::Text(_)));

    socket.send("40/more,").await;

    socket.assert_closed(None).await;
    assert_eq!(server.engine.counts().closes["too_many_namespaces"], 1);
    bystander.assert_served().await;
}

/// Refused on WebSocket, and over polling told to the next poll.
async fn assert_refused(server: &Server, text: &str) {
    let mut socket = WebSocket::join(server).await;
    socket.send(text).await;
    assert_eq!(
        socket.next_message().await,
        Frame::Close(Vec::new()),
        "{text}"
    );
    let reason = server.next_end().await;
    let is_refusal = matches!(
        reason,
        DisconnectReason::Closed(CloseReason::PacketInvalid | CloseReason::Misused)
    );
    assert!(is_refusal, "{text}: {reason:?}");
}
