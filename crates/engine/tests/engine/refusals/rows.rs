//! What clients do to be turned away, one row each.

use std::time::Duration;

use switchboard_engine::Config;

use super::{
    Act, Row, Told, behind, many_controls, no_pong, polling_by_websocket, probe, second_poll,
    second_push, second_websocket, stalled, unread_events, unread_poll,
};
use crate::{
    client::{UPGRADE, frame},
    server::quiet,
};

fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

fn upgrade(query: &str) -> Act {
    let target = format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    Act::Raw(target.into_bytes())
}

/// `SID` in a request is the id of a polling session that is open.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn refused() -> Vec<Row> {
    use Act::{Do, Raw, Request};
    use Told::{Close, End, Nothing, Status};
    let soon = Duration::from_millis(50);
    let open = "EIO=4&transport=polling";
    let of_session = "EIO=4&transport=polling&sid=SID";
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    let chunked = "POST /socket.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n4aaaa\r\n5\r\naaaaa\r\n0\r\n\r\n";
    let half = "POST /socket.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n4";
    let octets = "POST /socket.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\n4a";
    let foreign = |upgrade: &str| {
        let target = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1";
        format!("{target}\r\nHost: localhost\r\nOrigin: https://evil.example\r\n{upgrade}\r\n")
    };
    let two_origins = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: http://a\r\nOrigin: http://a\r\n\r\n";
    let no_key = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let small = Config {
        payload_max: 9,
        ..quiet()
    };
    let full = |change: fn(&mut Config)| {
        let mut config = quiet();
        change(&mut config);
        config
    };
    vec![
        (
            "connections_max",
            full(|c| c.connections_max = 0),
            Request("GET", open, ""),
            Status(503),
        ),
        (
            "connections_max",
            full(|c| c.connections_max = 0),
            upgrade("EIO=4&transport=websocket"),
            Status(503),
        ),
        (
            "connections_per_address",
            full(|c| c.doors.connections_per_address = "1/h".parse().unwrap()),
            Request("GET", open, ""),
            Status(429),
        ),
        (
            "connections_per_address_max",
            full(|c| c.connections_per_address_max = 0),
            Request("GET", open, ""),
            Status(429),
        ),
        (
            "handshakes_per_second_max",
            full(|c| c.handshakes_per_second_max = 1),
            Request("GET", open, ""),
            Status(503),
        ),
        (
            "unjoined_max",
            full(|c| c.unjoined_max = 0),
            Request("GET", open, ""),
            Status(503),
        ),
        (
            "http_connections_max",
            full(|c| c.http_connections_max = 0),
            Raw(b"GET".to_vec()),
            End,
        ),
        (
            "header_timeout",
            Config {
                header_timeout: soon,
                ..quiet()
            },
            Raw(b"GET / HTTP/1.1\r\nHo".to_vec()),
            End,
        ),
        (
            "head_too_large",
            quiet(),
            Raw(large.into_bytes()),
            Status(431),
        ),
        (
            "head_too_large",
            quiet(),
            Raw(many.into_bytes()),
            Status(431),
        ),
        (
            "not_http",
            quiet(),
            Raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
            Status(400),
        ),
        (
            "not_http",
            quiet(),
            Raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
            End,
        ),
        (
            "payload_max",
            small.clone(),
            Request("POST", of_session, "4123456789"),
            Status(413),
        ),
        ("payload_max", small, Raw(chunked.into()), Status(413)),
        (
            "body_timeout",
            Config {
                body_timeout: soon,
                ..quiet()
            },
            Raw(half.into()),
            Status(408),
        ),
        (
            "write_timeout",
            stalled(),
            Do(|server| Box::pin(unread_poll(server))),
            Nothing,
        ),
        (
            "upgrade_timeout",
            Config {
                upgrade_timeout: soon,
                ..quiet()
            },
            Do(|server| Box::pin(probe(server, "2probe"))),
            Close(None),
        ),
        (
            "client_file",
            quiet(),
            Raw(
                b"GET /socket.io/socket.io.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                    .to_vec(),
            ),
            Status(404),
        ),
        (
            "probe_invalid",
            quiet(),
            Do(|server| Box::pin(probe(server, "4hello"))),
            Close(None),
        ),
        ("binary_body", quiet(), Raw(octets.into()), Status(400)),
        ("method", quiet(), Request("POST", open, ""), Status(400)),
        ("method", quiet(), Request("HEAD", open, ""), Status(400)),
        (
            "method",
            quiet(),
            Request("PUT", of_session, ""),
            Status(500),
        ),
        (
            "origin",
            quiet(),
            Raw(foreign("Connection: close\r\n").into_bytes()),
            Status(403),
        ),
        (
            "origin",
            quiet(),
            Raw(foreign(UPGRADE).into_bytes()),
            Status(400),
        ),
        (
            "origin_malformed",
            quiet(),
            Raw(two_origins.into()),
            Status(400),
        ),
        (
            "second_poll",
            quiet(),
            Do(|server| Box::pin(second_poll(server))),
            Status(400),
        ),
        (
            "second_push",
            quiet(),
            Do(|server| Box::pin(second_push(server))),
            Status(400),
        ),
        (
            "second_websocket",
            quiet(),
            Do(|server| Box::pin(second_websocket(server))),
            Close(None),
        ),
        (
            "session_unknown",
            quiet(),
            Request("GET", "EIO=4&transport=polling&sid=x", ""),
            Status(400),
        ),
        (
            "session_unknown",
            quiet(),
            Request(
                "POST",
                "EIO=4&transport=polling&sid=aaaaaaaaaaaaaaaaaaaa",
                "",
            ),
            Status(400),
        ),
        (
            "session_unknown",
            quiet(),
            upgrade("EIO=4&transport=websocket&sid=aaaaaaaaaaaaaaaaaaaa"),
            Status(400),
        ),
        (
            "transport_mismatch",
            quiet(),
            Request("GET", "EIO=4&transport=websocket", ""),
            Status(400),
        ),
        (
            "transport_mismatch",
            quiet(),
            Request("GET", "EIO=4&transport=websocket&sid=SID", ""),
            Status(400),
        ),
        (
            "transport_mismatch",
            quiet(),
            Do(|server| Box::pin(polling_by_websocket(server))),
            Close(None),
        ),
        (
            "transport_unknown",
            quiet(),
            Request("GET", "EIO=4&transport=carrier-pigeon", ""),
            Status(400),
        ),
        ("transport_unknown", quiet(), upgrade("EIO=4"), Status(400)),
        (
            "version_unsupported",
            quiet(),
            Request("GET", "EIO=3&transport=polling", ""),
            Status(400),
        ),
        (
            "version_unsupported",
            quiet(),
            upgrade("EIO=3&transport=websocket"),
            Status(400),
        ),
        (
            "websocket_handshake",
            quiet(),
            Raw(no_key.into()),
            Status(400),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn closed() -> Vec<Row> {
    use Act::{Do, Join, Say};
    use Told::{Close, Nothing};
    let soon = Duration::from_millis(50);
    let one = r#"["a",{"_placeholder":true,"num":0}]"#;
    let fragments = [frame(0x01, b"4"), frame(0x00, b"").repeat(4)].concat();
    let soon_pinged = Config {
        ping_interval: soon,
        ping_timeout: soon,
        ..quiet()
    };
    vec![
        (
            "invalid_frame",
            quiet(),
            Say(b"test".to_vec()),
            Close(Some(1002)),
        ),
        (
            "invalid_utf8",
            quiet(),
            Say(frame(0x81, b"4\xff")),
            Close(Some(1007)),
        ),
        (
            "message_too_large",
            Config {
                payload_max: 9,
                ..quiet()
            },
            Say(text("4123456789")),
            Close(Some(1009)),
        ),
        (
            "too_many_fragments",
            Config {
                fragments_max: 4,
                ..quiet()
            },
            Say(fragments),
            Close(Some(1008)),
        ),
        ("parse_error", quiet(), Say(text("x")), Close(None)),
        ("packet_invalid", quiet(), Say(text("4x")), Close(None)),
        ("misused", quiet(), Say(text(r#"42["a"]"#)), Close(None)),
        (
            "attachments_early",
            quiet(),
            Say(text(&format!("451-{one}"))),
            Close(None),
        ),
        (
            "too_many_namespaces",
            Config {
                namespaces_max: 1,
                ..quiet()
            },
            Join(text("40/custom,")),
            Close(None),
        ),
        (
            "refused_too_often",
            Config {
                refusals_max: 1,
                ..quiet()
            },
            Join(text("40/nowhere,")),
            Close(None),
        ),
        (
            "connect_timeout",
            Config {
                connect_timeout: soon,
                ..quiet()
            },
            Say(text("6")),
            Close(None),
        ),
        (
            "attachments_timeout",
            Config {
                attachments_timeout: soon,
                ..quiet()
            },
            Join(text(&format!("451-{one}"))),
            Close(None),
        ),
        (
            "handling_timeout",
            Config {
                handling_timeout: soon,
                ..quiet()
            },
            Join(text(r#"421["later"]"#)),
            Close(None),
        ),
        (
            "ping_timeout",
            soon_pinged,
            Do(|server| Box::pin(no_pong(server))),
            Close(None),
        ),
        ("transport_error", quiet(), Say(text("2")), Close(None)),
        (
            "write_timeout",
            stalled(),
            Do(|server| Box::pin(unread_events(server))),
            Nothing,
        ),
        (
            "controls_overflow",
            Config {
                controls_max: 4,
                ..quiet()
            },
            Do(|server| Box::pin(many_controls(server))),
            Close(None),
        ),
        (
            "lagged",
            quiet(),
            Do(|server| Box::pin(behind(server))),
            Close(None),
        ),
    ]
}
