//! Bodies that are too large, lie about their length, or hold what no body may.

use std::time::Duration;

use switchboard_engine::Config;

use super::{Bystander, answer_to};
use crate::{
    client::{request, sid},
    server::{Server, quiet},
};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// CVE-2020-36048: a body beyond the limit, announced or not.
#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_however_it_comes() {
    let server = Server::start(Config {
        payload_max: 1_000,
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    let chunk = format!("64\r\n{}\r\n", "6".repeat(100));
    let chunks = chunk.repeat(11);
    let tiny = "1\r\n6\r\n".repeat(1_001);
    for bytes in [
        push(&sid, "Content-Length: 1001\r\n", &"6".repeat(1_001)),
        // The body never comes: the length alone is enough.
        push(&sid, "Content-Length: 9999999999\r\n", ""),
        // The body never ends.
        push(&sid, "Transfer-Encoding: chunked\r\n", &chunks),
        push(
            &sid,
            "Transfer-Encoding: chunked\r\n",
            &format!("{chunks}0\r\n\r\n"),
        ),
        push(&sid, "Transfer-Encoding: chunked\r\n", &tiny),
        push(
            &sid,
            "Transfer-Encoding: chunked\r\n",
            &format!("FFFFFFFF\r\n{}", "6".repeat(1_001)),
        ),
    ] {
        let answer = answer_to(&server, &bytes).await.unwrap();

        assert_eq!((answer.status, &*answer.body), (413, ""));
        server.assert_open(&sid).await;
    }
    bystander.assert_served().await;
}

#[tokio::test]
async fn a_length_that_is_a_lie_ends_the_request_and_at_most_its_session() {
    let server = Server::start(Config {
        body_timeout: Duration::from_millis(100),
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    for (headers, body, status) in [
        // More is announced than comes.
        ("Content-Length: 100\r\n", "6", 408),
        ("Transfer-Encoding: chunked\r\n", "5\r\n6", 408),
        ("Transfer-Encoding: chunked\r\n", "1\r\n6\r\n", 408),
        // What is announced is no length.
        ("Content-Length: -1\r\n", "6", 400),
        ("Content-Length: 1, 2\r\n", "6", 400),
        ("Content-Length: 0x1\r\n", "6", 400),
        ("Content-Length: 99999999999999999999999\r\n", "6", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "66", 400),
        ("Transfer-Encoding: identity\r\n", "6", 400),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            "1\r\n6\r\n0\r\n\r\n",
            400,
        ),
        // More comes than is announced: it is no packet of this request.
        ("Content-Length: 1\r\n", "6\x1e1", 200),
        // Nothing is announced.
        ("", "6", 400),
    ] {
        let sid = server.open().await;

        let answer = answer_to(&server, &push(&sid, headers, body)).await;

        assert_eq!(answer.unwrap().status, status, "{headers}{body}");
    }
    for body in [
        "x\r\n6\r\n0\r\n\r\n",
        "-1\r\n6\r\n",
        "FFFFFFFFFFFFFFFFFF\r\n6",
        "1\r\n6x\r\n0\r\n\r\n",
        "1;a",
    ] {
        let sid = server.open().await;

        let bytes = push(&sid, "Transfer-Encoding: chunked\r\n", body);
        let answer = answer_to(&server, &bytes).await;

        // A body that is broken ends the session without an answer, or late.
        assert!(
            answer.is_none_or(|answer| matches!(answer.status, 400 | 408)),
            "{body}"
        );
        server.assert_unknown(&sid).await;
    }
    bystander.assert_served().await;
}

/// With two lengths, a proxy and a server may disagree where the next request begins.
#[tokio::test]
async fn a_request_with_two_kinds_of_length_smuggles_nothing() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    let smuggled =
        format!("0\r\n\r\nPOST {OPEN}&sid={sid} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1");
    let headers = format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
        smuggled.len()
    );

    let other = server.open().await;
    let answer = answer_to(&server, &push(&other, &headers, &smuggled)).await;

    // Refused, or answered once, and then nothing more is read on this connection.
    if let Some(answer) = answer {
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        assert!(!answer.body.contains("HTTP/1.1"), "{answer:?}");
    }
    server.assert_open(&sid).await;
    bystander.assert_served().await;
}

/// CVE-2026-59725: the answer to a body of bytes never ended.
#[tokio::test]
async fn a_body_of_bytes_is_answered_on_a_connection_that_stays_usable() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for kind in [
        "application/octet-stream",
        "Application/Octet-Stream",
        "application/octet-stream; charset=binary",
    ] {
        let session = server.open().await;
        let first = format!(
            "POST {OPEN}&sid={session} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 4\r\n\r\n\x01\x02\x03\x04"
        );
        let mut both = first.into_bytes();
        both.extend(request("GET", OPEN, "", ""));

        let answer = answer_to(&server, &both).await.unwrap();

        assert_eq!(answer.status, 400, "{kind}");
        // The body of the first answer is empty, so what follows is the second one.
        let (second, body) = answer.body.split_once("\r\n\r\n").unwrap();
        assert!(second.starts_with("HTTP/1.1 200 "), "{second}");
        assert_eq!(sid(body).len(), 20);
        server.assert_unknown(&session).await;
    }
    bystander.assert_served().await;
}

/// A POST whose head is written by hand.
fn push(sid: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {OPEN}&sid={sid} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}
