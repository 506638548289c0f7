//! The same again and again: memory and file descriptors stay as they are.
//!
//! Each row runs in a process of its own, because other tests open sockets and hold memory too.

mod footprint;

use std::{sync::Arc, time::Duration};

use switchboard_engine::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::footprint::{repeat, run_alone};
use super::{answer_to, upgrade_request};
use crate::{
    client::{KeptAlive, PATIENCE, Pending, frame, request, sid},
    polling::start_push_to as start_push,
    server::{Server, quiet},
};

/// Makes of each row a test that runs it in a process of its own.
macro_rules! rows {
    ($($(#[$doc:meta])* $test:ident: $row:ident, $config:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $test() {
                run_alone(concat!("hostile::repeats::alone::", stringify!($row)));
            }
        )*

        mod alone {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "is run by another test, in a process of its own"]
                async fn $row() {
                    repeat($config, super::$row).await;
                }
            )*
        }
    };
}

rows! {
    /// CVE-2026-59725.
    bodies_of_bytes_leave_nothing_behind: body_of_bytes, quiet();
    /// CVE-2020-36048.
    bodies_beyond_the_limit_leave_nothing_behind: long_body, small();
    /// CVE-2022-41940.
    upgrades_that_are_reset_leave_nothing_behind: reset_upgrade, quiet();
    /// engineioxide 0.17.4.
    upgrades_that_are_abandoned_leave_nothing_behind: abandoned_upgrade, hasty();
    /// CVE-2022-21676, CVE-2026-1526.
    bytes_that_are_no_frame_leave_nothing_behind: no_frame, quiet();
    /// CVE-2016-10542.
    frames_that_stop_half_way_leave_nothing_behind: half_a_frame, quiet();
    /// CVE-2026-48779, CVE-2026-62389.
    floods_of_fragments_leave_nothing_behind: fragments, small();
    /// GHSA-55mf-67qm-4wpg, CVE-2026-33151, CVE-2026-69185.
    attachments_before_joining_leave_nothing_behind: early_attachments, quiet();
    /// CVE-2026-48804.
    attachments_that_stay_out_leave_nothing_behind: missing_attachments, quiet();
    /// CVE-2026-102599, CVE-2024-37890, CVE-2026-61666, CVE-2023-31125.
    requests_that_are_refused_leave_nothing_behind: refused_request, quiet();
    /// Slow handshakes, given up by the client.
    heads_that_stop_half_way_leave_nothing_behind: half_a_head, quiet();
    /// CVE-2022-2421, CVE-2023-32695.
    packets_that_are_refused_leave_nothing_behind: refused_packet, quiet();
    second_requests_leave_nothing_behind: second_request, hasty();
    requests_that_end_their_session_leave_nothing_behind: last_request, hasty();
    namespaces_without_end_leave_nothing_behind: many_namespaces, quiet();
}

fn small() -> Config {
    Config {
        payload_max: 1_000,
        fragments_max: 16,
        ..quiet()
    }
}

/// Sessions that join nothing end soon.
fn hasty() -> Config {
    Config {
        connect_timeout: Duration::from_millis(500),
        polling_close_timeout: Duration::from_millis(100),
        ..quiet()
    }
}

async fn body_of_bytes(server: Arc<Server>, _number: usize) {
    let sid = server.open().await;
    let query = format!("EIO=4&transport=polling&sid={sid}");
    let headers = "Content-Type: application/octet-stream\r\n";

    let answer = server
        .request_with("POST", &query, headers, "\x01\x02")
        .await;

    assert_eq!(answer.status, 400);
}

async fn long_body(server: Arc<Server>, number: usize) {
    let sid = server.open().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let announced = request("POST", &target, "", &"6".repeat(2_000));
    let chunks = format!("64\r\n{}\r\n", "6".repeat(100)).repeat(20);
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    let bytes = if number.is_multiple_of(2) {
        &announced[..]
    } else {
        chunked.as_bytes()
    };

    let answer = answer_to(&server, bytes).await.unwrap();

    assert_eq!(answer.status, 413);
    assert_eq!(server.push(&sid, "1").await.status, 200);
}

async fn reset_upgrade(server: Arc<Server>, number: usize) {
    let query = [
        "EIO=4&transport=websocket",
        "EIO=4&transport=polling",
        "transport=websocket",
        "EIO=4&transport=websocket&sid=x",
    ][number % 4];
    let request = upgrade_request(query, "");
    let cut = request.len() - number % 32;

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&request[..cut]).await.unwrap();
    stream.set_zero_linger().unwrap();
}

async fn abandoned_upgrade(server: Arc<Server>, number: usize) {
    let sid = server.open().await;
    let query = format!("EIO=4&transport=websocket&sid={sid}");
    let mut bytes = upgrade_request(&query, "");
    if number.is_multiple_of(2) {
        bytes.extend(frame(0x81, b"2probe"));
    }

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    if number.is_multiple_of(3) {
        stream.set_zero_linger().unwrap();
    }
}

async fn no_frame(server: Arc<Server>, number: usize) {
    let compressed = frame(0xC2, &[0xEC; 500]);
    let bytes = [&b"test"[..], b"GET / HTTP/1.1\r\n\r\n", &compressed][number % 3];

    let end = exchange(&server, &[bytes]).await;

    assert!(end.ends_with(&[0x88, 2, 0x03, 0xEA]), "{end:?}");
}

async fn half_a_frame(server: Arc<Server>, number: usize) {
    let mut bytes = upgrade_request("EIO=4&transport=websocket", "");
    bytes.extend([&[0x82, 0xFF][..], &1_000_000_u64.to_be_bytes(), &[0; 4]].concat());
    bytes.extend(vec![1; number % 5_000]);

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    // Until the session is there.
    stream.read_u8().await.unwrap();
}

async fn fragments(server: Arc<Server>, number: usize) {
    let empty = frame(0x00, &b"a"[..number % 2]).repeat(16);

    let end = exchange(&server, &[&frame(0x01, b"4"), &empty]).await;

    assert!(end.ends_with(&[0x88, 2, 0x03, 0xF0]), "{end:?}");
}

async fn early_attachments(server: Arc<Server>, number: usize) {
    let text = [
        r#"451-["a",{"_placeholder":true,"num":0}]"#,
        r#"4510-/custom,["a",{"_placeholder":true,"num":0}]"#,
        r#"450-["a"]"#,
        r#"4599999999999-["a"]"#,
    ][number % 4];

    let end = exchange(
        &server,
        &[&frame(0x81, text.as_bytes()), &frame(0x82, &[1; 1_000])],
    )
    .await;

    assert!(end.ends_with(&[0x88, 0]), "{end:?}");
}

async fn missing_attachments(server: Arc<Server>, number: usize) {
    let mut bytes = upgrade_request("EIO=4&transport=websocket", "");
    bytes.extend(frame(0x81, b"40"));
    bytes.extend(frame(0x81, br#"453-["a",{"_placeholder":true,"num":0}]"#));
    bytes.extend(frame(0x82, &[1; 5_000]).repeat(number % 3));

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    read_until(&mut stream, br#"42["auth",{}]"#).await;
    drop(stream);

    forget_socket(&server).await;
}

async fn refused_request(server: Arc<Server>, number: usize) {
    let headers = "a:\r\n".repeat(200);
    // A megabyte takes its time to send, so it is only one in a hundred.
    let long_len = if number.is_multiple_of(100) {
        1_000_000
    } else {
        20_000
    };
    let long = || format!("X-Long: {}\r\n", "a".repeat(long_len));
    let spaces = format!("Sec-WebSocket-Protocol: a{}b\r\n", " ".repeat(15_000));
    let more_spaces = format!("Sec-WebSocket-Protocol: a{}b\r\n", " ".repeat(32_000));
    let unknown = "EIO=4&transport=websocket&sid=aaaaaaaaaaaaaaaaaaaa";
    let (bytes, status) = match number % 10 {
        1 => (upgrade_request("EIO=4&transport=websocket", &headers), 431),
        2 if number.is_multiple_of(4) => (upgrade_request("EIO=3&transport=websocket", ""), 400),
        2 => (upgrade_request("EIO=4&transport=__proto__", ""), 400),
        3 => (upgrade_request("EIO=4&transport=websocket", "Origin: null\r\n"), 400),
        4 => (request("GET", "/socket.io/?EIO=4&transport=polling&sid=x", "", ""), 400),
        5 => (upgrade_request(unknown, ""), 400),
        6 => (upgrade_request("EIO=4&transport=websocket", &spaces), 400),
        7 => (upgrade_request("EIO=4&transport=websocket", &more_spaces), 431),
        0 | 8 => (upgrade_request("EIO=4&transport=websocket", &long()), 431),
        _ => (b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: [\r\nOrigin: http://(\r\nConnection: close\r\n\r\n".to_vec(), 403),
    };

    let answer = answer_to(&server, &bytes).await.unwrap();

    assert_eq!(answer.status, status);
}

async fn half_a_head(server: Arc<Server>, number: usize) {
    let head = upgrade_request(
        "EIO=4&transport=websocket",
        &format!("X: {}\r\n", "a".repeat(5_000)),
    );

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(&head[..=number % (head.len() - 1)])
        .await
        .unwrap();
}

async fn refused_packet(server: Arc<Server>, number: usize) {
    let digits = "9".repeat(number % 20_000);
    let attachments = format!("45{digits}0-[]");
    let ack = format!(r#"42{digits}99999999999999999999["a"]"#);
    let text = [
        &attachments,
        &ack,
        r#"451-["a",{"_placeholder":true,"num":"splice"}]"#,
        r#"451-["a",{"_placeholder":true,"num":1}]"#,
        r#"42[{"toString":"foo"}]"#,
        r#"42["connect"]"#,
        "4511-[]",
        "450-[]",
        "42{}",
        "4999",
        "40",
        "b",
    ][number % 12];

    let end = exchange(
        &server,
        &[&frame(0x81, b"40"), &frame(0x81, text.as_bytes())],
    )
    .await;

    assert!(end.ends_with(&[0x88, 0]), "{text}: {end:?}");
    forget_socket(&server).await;
}

/// A polling session, its address, and a connection to speak to it.
async fn open(server: &Server) -> (KeptAlive, String) {
    let mut connection = KeptAlive::connect(server).await;
    let target = "/socket.io/?EIO=4&transport=polling";
    let sid = sid(&connection.ask("GET", target, "").await.body);
    (connection, format!("{target}&sid={sid}"))
}

async fn second_request(server: Arc<Server>, number: usize) {
    let (mut connection, target) = open(&server).await;
    match number % 3 {
        0 => {
            let one = Pending::send(server.address, &request("GET", &target, "", "")).await;
            let other = connection.ask("GET", &target, "").await;
            let one = one.answer().await.unwrap();

            // Whichever came second.
            let mut answers = [(one.status, one.body), (other.status, other.body)];
            answers.sort();
            assert_eq!(answers, [(200, "1".to_owned()), (400, String::new())]);
        }
        1 => {
            let first = start_push(&server, &target).await;
            let second = connection.ask("POST", &target, "4b").await;

            assert_eq!(second.status, 400);
            assert!(first.answer().await.is_none());
        }
        _ => {
            second_websocket(&server, &target).await;
            assert_eq!(connection.ask("POST", &target, "1").await.body, "ok");
        }
    }
}

async fn second_websocket(server: &Server, target: &str) {
    let target = target.replace("polling", "websocket");
    let request = upgrade_request(target.split_once('?').unwrap().1, "");
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let probe = [&request[..], &frame(0x81, b"2probe")].concat();
    first.write_all(&probe).await.unwrap();
    read_until(&mut first, b"3probe").await;

    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(&request).await.unwrap();
    read_until(&mut second, &[0x88, 0]).await;
}

async fn last_request(server: Arc<Server>, number: usize) {
    let (mut connection, target) = open(&server).await;
    let (body, status) = match number % 8 {
        // Cancelled, perhaps before the server has seen it.
        0 => {
            drop(Pending::send(server.address, &request("GET", &target, "", "")).await);
            return;
        }
        1 => {
            drop(start_push(&server, &target).await);
            return;
        }
        2 => ("", 400),
        3 => ("abc", 400),
        4 => ("6\x1e", 400),
        5 => ("bnot*base64", 400),
        6 => ("2", 400),
        _ => ("1\x1e4a", 200),
    };

    let answer = connection.ask("POST", &target, body).await;

    assert_eq!(answer.status, status, "{body:?}");
}

async fn many_namespaces(server: Arc<Server>, number: usize) {
    let names = (0..16).map(|name| format!("40/{number}-{name}{},", "a".repeat(number % 200)));
    let frames: Vec<_> = names.map(|name| frame(0x81, name.as_bytes())).collect();

    let end = exchange(&server, &[&frames.concat()]).await;

    assert!(end.ends_with(&[0x88, 0]), "{end:?}");
}

/// Opens a WebSocket session, says `frames`, and returns all that the server says until its end.
async fn exchange(server: &Server, frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = upgrade_request("EIO=4&transport=websocket", "");
    bytes.extend(frames.concat());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    read.expect("an end").unwrap();
    said
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut said = Vec::new();
    let read = async {
        while !said.ends_with(end) {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0);
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an answer");
}

/// Lets the test's own application forget a socket whose end it was told.
async fn forget_socket(server: &Server) {
    server.next_end().await;
    let mut sockets = server.engine.application().sockets.lock().unwrap();
    sockets.retain(|socket| !socket.is_closed());
}
