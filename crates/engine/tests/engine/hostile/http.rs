//! Requests: heads that are too large, mean two things, or do not come.

use std::time::{Duration, Instant};

use switchboard_engine::{Config, Stats};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Bystander, answer_to, until, upgrade_request};
use crate::{
    client::{PATIENCE, Pending, UPGRADE, request},
    server::{Server, quiet},
};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off_however_steadily_it_drips() {
    let server = Server::start(Config {
        header_timeout: Duration::from_millis(200),
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();

    // Never slower than one byte in 10 ms, and never done.
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let drips = async {
        let mut bytes = b"GET /socket.io/ HTTP/1.1\r\nX-A: ".to_vec();
        bytes.resize(10_000, b'a');
        for byte in bytes {
            tick.tick().await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    };

    tokio::time::timeout(PATIENCE, drips).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200));
    bystander.assert_served().await;
}

/// CVE-2024-37890: more headers than the server counts, on a request for a WebSocket.
#[tokio::test]
async fn too_many_headers_are_refused_with_an_upgrade_too() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for count in [100, 2_000, 3_000] {
        let many = "a:\r\n".repeat(count);
        let websocket = upgrade_request("EIO=4&transport=websocket", &many);
        let polling = request("GET", OPEN, &many, "");

        assert_eq!(answer_to(&server, &websocket).await.unwrap().status, 431);
        assert_eq!(answer_to(&server, &polling).await.unwrap().status, 431);
    }
    bystander.assert_served().await;
}

/// CVE-2023-43669: a peer read long headers in quadratic time.
#[tokio::test]
async fn a_header_of_a_megabyte_is_refused_in_no_time() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let started = Instant::now();
    for name in [
        "X-Long",
        "Cookie",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Extensions",
    ] {
        let long = format!("{name}: {}\r\n", "a".repeat(1_000_000));

        let answer = answer_to(
            &server,
            &upgrade_request("EIO=4&transport=websocket", &long),
        )
        .await;

        assert_eq!(answer.unwrap().status, 431, "{name}");
    }
    let long_target = "a".repeat(1_000_000);
    let answer = answer_to(
        &server,
        &request("GET", &format!("{OPEN}&{long_target}"), "", ""),
    )
    .await;
    assert!(matches!(answer.unwrap().status, 414 | 431));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    bystander.assert_served().await;
}

/// CVE-2026-61666: a peer failed on a Host that is none.
#[tokio::test]
async fn a_host_that_is_none_harms_nobody() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for host in [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: :\r\n",
        "Host: :80\r\n",
        "Host: a:b:c\r\n",
        "Host: [\r\n",
        "Host: [::1\r\n",
        "Host: ]:80[\r\n",
        "Host: a b\r\n",
        "Host: localhost:99999999999\r\n",
        "Host: http://localhost/\r\n",
        "Host: %00\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: \x7f\r\n",
        "Host: \u{e9}\r\n",
        "Host: ../../etc\r\n",
        "Host: \"\r\n",
        "Host: @\r\n",
        "Host: a@b\r\n",
    ] {
        for origin in [
            "",
            "Origin: http://\r\n",
            "Origin: http://a\r\n",
            "Origin: http://(\r\n",
        ] {
            let head = format!("{host}{origin}Connection: close\r\n\r\n");
            let polling = format!("GET {OPEN} HTTP/1.1\r\n{head}");
            let websocket = format!(
                "GET /socket.io/?EIO=4&transport=websocket&sid=x HTTP/1.1\r\n{UPGRADE}{head}"
            );

            let polling = answer_to(&server, polling.as_bytes()).await.unwrap();
            let websocket = answer_to(&server, websocket.as_bytes()).await.unwrap();

            assert!(
                matches!(polling.status, 200 | 400 | 403),
                "{head}: {polling:?}"
            );
            assert_eq!(websocket.status, 400, "{head}");
            // Nobody is let in as a page of a host that is not the one the request went to.
            if !origin.is_empty() && !host.contains("Host: a\r\n") {
                assert_ne!(polling.status, 200, "{head}");
            }
        }
    }
    let two = format!(
        "GET {OPEN} HTTP/1.1\r\nHost: a\r\nHost: b\r\nOrigin: http://a\r\nConnection: close\r\n\r\n"
    );
    assert_ne!(
        answer_to(&server, two.as_bytes()).await.unwrap().status,
        200
    );
    bystander.assert_served().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_harms_nobody() {
    let server = Server::start(Config {
        header_timeout: Duration::from_millis(100),
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let mut noise = vec![0; 20_000];
    for (index, byte) in noise.iter_mut().enumerate() {
        *byte = u8::try_from((index * 7919) % 251).unwrap();
    }
    let spaces = " ".repeat(5_000);
    for bytes in [
        &b"\0\0\0\0"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /socket.io/ HTTP/9.9\r\n\r\n",
        b"GET /socket.io/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /socket.io/ HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET /socket.io/ HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        b"GET /socket.io/ HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET /socket.io/ HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        &noise,
        spaces.as_bytes(),
    ] {
        let answer = answer_to(&server, bytes).await;

        assert!(
            answer.is_none_or(|answer| matches!(answer.status, 400 | 408 | 431 | 505)),
            "{bytes:?}"
        );
    }
    bystander.assert_served().await;
}

#[tokio::test]
async fn every_form_of_target_has_one_meaning() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for (method, target, status) in [
        (
            "GET",
            "http://evil.example/socket.io/?EIO=4&transport=polling",
            200,
        ),
        ("GET", "//socket.io/?EIO=4&transport=polling", 404),
        ("GET", "/socket.io?EIO=4&transport=polling", 404),
        ("GET", "/SOCKET.IO/?EIO=4&transport=polling", 404),
        ("GET", "/x/../socket.io/?EIO=4&transport=polling", 404),
        ("GET", "/%73ocket.io/?EIO=4&transport=polling", 404),
        ("GET", "/socket.io/", 400),
        ("GET", "/socket.io/?", 400),
        ("GET", "/socket.io/?EIO=4&transport=polling&EIO=%ff", 400),
        ("OPTIONS", "*", 404),
        ("CONNECT", "evil.example:443", 404),
        ("TRACE", "/socket.io/?EIO=4&transport=polling", 400),
        ("XYZZY", "/socket.io/?EIO=4&transport=polling", 400),
    ] {
        let answer = answer_to(&server, &request(method, target, "", ""))
            .await
            .unwrap();

        assert_eq!(answer.status, status, "{method} {target}");
    }
    bystander.assert_served().await;
}

#[tokio::test]
async fn polls_in_the_shadow_of_another_wait_their_turn_and_end_with_their_session() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(200),
        ..quiet()
    })
    .await;
    let sid = server.open().await;
    let poll = format!("GET {OPEN}&sid={sid} HTTP/1.1\r\nHost: localhost\r\n\r\n");

    // Hundreds of polls in one go: one is answered at a time, so none is a second one.
    let pending = Pending::send(server.address, poll.repeat(500).as_bytes()).await;
    server.assert_open(&sid).await;
    drop(pending);

    until("the session ends", || {
        server.engine.stats() == Stats::default()
    })
    .await;
}
