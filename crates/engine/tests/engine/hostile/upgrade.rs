//! Upgrades: handshakes that offer too much, and probes that never become a transport.

use std::time::{Duration, Instant};

use switchboard_engine::{Config, Stats};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Bystander, answer_to, until, upgrade_request};
use crate::{
    client::{Frame, WebSocket, frame},
    server::{Server, quiet},
};

async fn probe(server: &Server, sid: &str) -> WebSocket {
    WebSocket::connect(server, &format!("EIO=4&transport=websocket&sid={sid}")).await
}

/// CVE-2026-102599: an upgrade of another version than its session, and a heartbeat packet then.
#[tokio::test]
async fn an_upgrade_of_another_version_is_refused_whatever_follows_it() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    for version in [
        "EIO=&",
        "EIO=3&",
        "EIO=5&",
        "EIO=04&",
        "EIO=4%20&",
        "EIO=__proto__&",
        "EIO=4&EIO=3&",
    ] {
        for packet in [&b"2"[..], b"3", b"2probe", b"5"] {
            let query = format!("{version}transport=websocket&sid={sid}");
            let mut bytes = upgrade_request(&query, "");
            bytes.extend(frame(0x81, packet));

            let answer = answer_to(&server, &bytes).await.unwrap();

            assert_eq!(
                (answer.status, &*answer.body),
                (400, "Unsupported protocol version"),
                "{version:?}"
            );
        }
    }
    server.assert_open(&sid).await;
    bystander.assert_served().await;
}

/// CVE-2022-21676: bytes that are no frame, in the same segment as the handshake.
#[tokio::test]
async fn bytes_that_are_no_frame_behind_a_handshake_end_that_socket_only() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    for bytes in [
        &b"test"[..],
        b"\xff\xff\xff\xff",
        b"\0\0",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        for query in [
            "EIO=4&transport=websocket".to_owned(),
            format!("EIO=4&transport=websocket&sid={sid}"),
        ] {
            let mut request = upgrade_request(&query, "");
            request.extend(bytes);

            let answer = raw_end(&server, &request).await;

            assert!(answer.starts_with(b"HTTP/1.1 101 "), "{bytes:?}");
        }
        server.assert_open(&sid).await;
    }
    until("sessions end", || server.engine.stats().websocket == 1).await;
    bystander.assert_served().await;
}

/// Everything that the server says until it ends the connection.
async fn raw_end(server: &Server, request: &[u8]) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(crate::client::PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end like any other.
    let _ = read.expect("an end");
    bytes
}

/// CVE-2022-41940: an invalid upgrade whose connection is reset.
#[tokio::test]
async fn a_reset_in_the_middle_of_an_upgrade_harms_nobody() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    for query in [
        "EIO=4&transport=websocket".to_owned(),
        format!("EIO=4&transport=websocket&sid={sid}"),
        "EIO=4&transport=websocket&sid=unknown".to_owned(),
        "EIO=4&transport=abc".to_owned(),
        "EIO=4&transport=polling".to_owned(),
    ] {
        let request = upgrade_request(&query, "");
        for cut in (0..=request.len()).step_by(9).chain([request.len()]) {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(&request[..cut]).await.unwrap();
            stream.set_zero_linger().unwrap();
        }
    }
    let before = Stats {
        websocket: 1,
        polling: 1,
        sockets: 1,
        http: 0,
    };
    until("what was reset is gone", || server.engine.stats() == before).await;
    server.assert_open(&sid).await;
    // Whoever was reset must not have left its probe behind.
    let mut socket = probe(&server, &sid).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));
    bystander.assert_served().await;
}

/// engineioxide leaked a session whose upgrade began and never ended.
#[tokio::test]
async fn an_abandoned_upgrade_ends_with_its_session() {
    let server = Server::start(Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..quiet()
    })
    .await;
    let mut abandoned = Vec::new();
    for _ in 0..20 {
        let sid = server.open().await;
        let mut socket = probe(&server, &sid).await;
        socket.send("2probe").await;
        abandoned.push(socket);
    }

    until("abandoned sessions end", || {
        server.engine.stats() == Stats::default()
    })
    .await;

    for mut socket in abandoned {
        while socket.next().await != Frame::End {}
    }
}

#[tokio::test]
async fn a_probe_is_held_to_the_limits_of_every_websocket() {
    let server = Server::start(Config {
        payload_max: 10_000,
        fragments_max: 16,
        ..quiet()
    })
    .await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    let too_long = [&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let fragments = [frame(0x01, b"2"), frame(0x00, b"").repeat(16)].concat();
    for bytes in [
        too_long,
        frame(0x82, &[0; 10_001]),
        fragments,
        frame(0xC1, b"2probe"),
    ] {
        let mut socket = probe(&server, &sid).await;

        socket.send_raw(&bytes).await;

        assert!(matches!(socket.next().await, Frame::Close(_) | Frame::End));
        server.assert_open(&sid).await;
    }
    bystander.assert_served().await;
}

/// CVE-2021-32640: quadratic time on one protocol, many spaces and another.
#[tokio::test]
async fn a_protocol_with_many_spaces_is_refused_in_no_time() {
    let spaces = format!("Sec-WebSocket-Protocol: b{}x\r\n", " ".repeat(32 << 10));
    for (header_bytes_max, status) in [(Config::default().header_bytes_max, 431), (64 << 10, 400)] {
        let server = Server::start(Config {
            header_bytes_max,
            ..quiet()
        })
        .await;
        let mut bystander = Bystander::join(&server).await;
        let started = Instant::now();
        for _ in 0..20 {
            let request = upgrade_request("EIO=4&transport=websocket", &spaces);

            assert_eq!(answer_to(&server, &request).await.unwrap().status, status);
        }
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        bystander.assert_served().await;
    }
}

#[tokio::test]
async fn only_the_first_protocol_is_echoed_and_never_more_than_a_token() {
    let server = Server::start(quiet()).await;
    for (offered, chosen) in [
        ("chat, superchat", Some("chat")),
        ("constructor", Some("constructor")),
        ("a b", None),
        ("a;b", None),
        ("\"a\"", None),
        ("", None),
        (",", None),
        ("\u{e9}", None),
    ] {
        let headers = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let mut request = upgrade_request("EIO=4&transport=websocket", &headers);
        request.extend(frame(0x88, b""));

        let head = raw_end(&server, &request).await;

        let head = String::from_utf8_lossy(&head);
        let echoed = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(echoed, chosen, "{offered}");
        let status = if chosen.is_some() { "101" } else { "400" };
        assert_eq!(&head[9..12], status, "{offered}");
    }
}

/// GHSA-5v72-xg48-5rpm, CVE-2018-1000518, CVE-2026-27571, CVE-2026-1526: names of properties, and
/// bombs, offered as extensions.
#[tokio::test]
async fn compression_is_never_agreed_to_so_there_is_nothing_to_inflate() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "permessage-deflate; client_max_window_bits=99999999999",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "constructor",
        "__proto__, toString; hasOwnProperty=\"\\",
        ";;;,,,===",
        "\u{e9}",
    ] {
        let headers = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let mut request = upgrade_request("EIO=4&transport=websocket", &headers);
        // A compressed message: a kilobyte that would inflate to a megabyte.
        request.extend(frame(0xC2, &[0xEC; 1_000]));

        let bytes = raw_end(&server, &request).await;

        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(text.starts_with("http/1.1 101 "), "{offer}");
        assert!(!text.contains("sec-websocket-extensions"), "{offer}");
        assert!(
            bytes.ends_with(&[0x88, 0x02, 0x03, 0xEA]),
            "{offer}: {bytes:?}"
        );
    }
    bystander.assert_served().await;
}

/// Pongs are for those who read them: a probe is nobody yet.
#[tokio::test]
async fn pings_on_a_probe_that_reads_nothing_end_it() {
    let server = Server::start(quiet()).await;
    let mut bystander = Bystander::join(&server).await;
    let sid = server.open().await;
    let socket = probe(&server, &sid).await;
    let flood = frame(0x89, &[7; 100]).repeat(1_000);

    // Far more than the kernel holds on the way back.
    let stopped_after = socket.flood(&flood, 1_000).await;

    assert!(stopped_after < 1_000, "a probe may ping for ever");
    server.assert_open(&sid).await;
    bystander.assert_served().await;
}
