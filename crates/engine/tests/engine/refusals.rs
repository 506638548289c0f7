//! Every way to be turned away: what the client is told, what the log says, and what is counted.

mod rows;

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use switchboard_engine::{Config, Packet, Posted};

use super::{
    client::{Frame, Pending, WebSocket, until},
    logs::Log,
    server::{Server, quiet},
};
use rows::{closed, refused};

/// What a client that is turned away learns.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Status(u16),
    /// A close frame, with a code if it broke the rules of WebSocket.
    Close(Option<u16>),
    /// The end of its connection.
    End,
    /// It reads nothing.
    Nothing,
}

/// What the client does; the server of each row is its own.
enum Act {
    /// Asks until the answer is no 200.
    Request(&'static str, &'static str, &'static str),
    /// The same with a request as it is, or what is none.
    Raw(Vec<u8>),
    /// Says this on a WebSocket that has joined nothing.
    Say(Vec<u8>),
    /// Says this on one that has joined the main namespace.
    Join(Vec<u8>),
    Do(for<'a> fn(&'a Server) -> Pin<Box<dyn Future<Output = Told> + 'a>>),
}

/// The reason, its server, what the client does, and what it is told.
type Row = (&'static str, Config, Act, Told);

/// Counted, but not here: nothing makes the system lack randomness, and a server that drains accepts
/// no test (`a_session_that_asks_during_the_drain_is_turned_away_and_counted`), and a server without
/// TLS shakes no hands (`tls::` has it).
const UNSHOWN: [&str; 3] = ["draining", "randomness", "tls_handshake"];

/// Ends that are nobody's refusal, or the application's.
const WANTED: [&str; 4] = [
    "transport_closed",
    "requested",
    "shutting_down",
    "rate_limited",
];

#[tokio::test]
async fn whoever_is_turned_away_is_told_counted_and_logged() {
    let mut shown: BTreeSet<_> = UNSHOWN.into();
    for (cause, config, act, told) in refused() {
        shown.insert(cause);
        let log = Log::default();
        let _guard = log.keep();
        let server = Server::start(config).await;

        let is = turned_away(&server, act).await;

        assert_eq!(is, told, "{cause}");
        until(cause, || server.engine.counts().refused[cause] == 1).await;
        let counts = server.engine.counts().refused;
        assert_eq!(counts.values().sum::<u64>(), 1, "{cause}: {counts:?}");
        let lines = log.lines("suppressed=0");
        let [line] = &lines[..] else {
            panic!("{cause}: {lines:?}");
        };
        let says = [
            format!("cause=\"{cause}\""),
            format!("{cause} refused"),
            format!("{cause}="),
        ];
        assert!(
            says.iter().any(|says| line.contains(says)),
            "{cause}: {line}"
        );
        assert!(line.contains("client=127.0.0.1:"), "{cause}: {line}");
    }

    let server = Server::start(quiet()).await;
    let counts = server.engine.counts().refused;
    assert_eq!(shown, counts.into_keys().collect());
}

#[tokio::test]
async fn a_session_that_is_ended_is_told_counted_and_logged() {
    let mut shown: BTreeSet<_> = WANTED.into();
    for (reason, config, act, told) in closed() {
        shown.insert(reason);
        let log = Log::default();
        let _guard = log.keep();
        let server = Server::start(config).await;

        let is = turned_away(&server, act).await;

        assert_eq!(is, told, "{reason}");
        until(reason, || server.engine.counts().closes[reason] == 1).await;
        let counts = server.engine.counts().closes;
        assert_eq!(counts.values().sum::<u64>(), 1, "{reason}: {counts:?}");
        let lines = log.lines("session ended");
        let is_said = lines[..].len() == 1 && lines[0].contains(&format!("cause=\"{reason}\""));
        assert!(is_said, "{reason}: {lines:?}");
    }

    let server = Server::start(quiet()).await;
    let counts = server.engine.counts().closes;
    assert_eq!(shown, counts.into_keys().collect());
}

/// By what was wrong, whatever the status is: to a WebSocket it is 400 for everything.
#[tokio::test]
async fn a_handshake_counts_by_what_became_of_it_on_either_transport() {
    let results = [
        ("connections_max", "unavailable"),
        ("connections_per_address", "limited"),
        ("connections_per_address_max", "limited"),
        ("handshakes_per_second_max", "unavailable"),
        ("unjoined_max", "unavailable"),
        ("method", "malformed"),
        ("origin", "forbidden"),
        ("origin_malformed", "malformed"),
        ("transport_unknown", "malformed"),
        ("version_unsupported", "malformed"),
        ("websocket_handshake", "malformed"),
    ];
    for (cause, config, act, _) in refused() {
        let Some((_, result)) = results.iter().find(|(of, _)| *of == cause) else {
            continue;
        };
        let is_of_session = matches!(&act, Act::Request(_, query, _) if query.contains("SID"));
        let server = Server::start(config).await;

        turned_away(&server, act).await;

        let counts = server.engine.counts().handshakes;
        let expected = u64::from(!is_of_session);
        assert_eq!(counts[result], expected, "{cause}: {counts:?}");
    }
    let server = Server::start(quiet()).await;
    polling_by_websocket(&server).await;
    assert_eq!(server.engine.counts().handshakes["malformed"], 1);
}

async fn turned_away(server: &Server, act: Act) -> Told {
    match act {
        Act::Request(method, query, body) => loop {
            let query = with_session(server, query).await;
            let answer = server.request_with(method, &query, "", body).await;
            if answer.status != 200 {
                return Told::Status(answer.status);
            }
        },
        Act::Raw(bytes) => {
            let bytes = match String::from_utf8(bytes) {
                Ok(text) => with_session(server, &text).await.into_bytes(),
                Err(no_text) => no_text.into_bytes(),
            };
            match Pending::send(server.address, &bytes).await.answer().await {
                Some(answer) => Told::Status(answer.status),
                None => Told::End,
            }
        }
        Act::Say(bytes) => said(WebSocket::open(server).await, &bytes).await,
        Act::Join(bytes) => said(WebSocket::join(server).await, &bytes).await,
        Act::Do(act) => act(server).await,
    }
}

async fn with_session(server: &Server, text: &str) -> String {
    if !text.contains("SID") {
        return text.to_owned();
    }
    text.replace("SID", &server.open().await)
}

async fn said(mut socket: WebSocket, bytes: &[u8]) -> Told {
    socket.send_raw(bytes).await;
    end_of(socket).await
}

async fn end_of(mut socket: WebSocket) -> Told {
    loop {
        match socket.next().await {
            Frame::Close(payload) => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                return Told::Close(code);
            }
            Frame::End => return Told::End,
            _ => {}
        }
    }
}

async fn probe(server: &Server, text: &str) -> Told {
    let query = format!("EIO=4&transport=websocket&sid={}", server.open().await);
    let mut socket = WebSocket::connect(server, &query).await;
    socket.send(text).await;
    end_of(socket).await
}

async fn second_websocket(server: &Server) -> Told {
    let query = format!("EIO=4&transport=websocket&sid={}", server.open().await);
    let mut first = WebSocket::connect(server, &query).await;
    first.send("2probe").await;
    assert_eq!(first.next().await, Frame::text("3probe"));
    let told = end_of(WebSocket::connect(server, &query).await).await;
    drop(first);
    told
}

async fn polling_by_websocket(server: &Server) -> Told {
    end_of(WebSocket::connect(server, "EIO=4&transport=polling").await).await
}

async fn second_poll(server: &Server) -> Told {
    let sid = server.open().await;
    let first = server.start_poll(&sid).await;
    server.assert_open(&sid).await;
    let second = server.poll(&sid).await;
    assert_eq!(first.body().await, "1");
    Told::Status(second.status)
}

async fn second_push(server: &Server) -> Told {
    let sid = server.open().await;
    let first = super::polling::start_push(server, &sid).await;
    let second = server.push(&sid, "4b").await;
    assert!(first.answer().await.is_none());
    Told::Status(second.status)
}

/// What a peer that reads nothing cannot take.
const MUCH: usize = 16 << 20;

fn stalled() -> Config {
    Config {
        write_timeout: Duration::from_millis(100),
        payload_max: 2 * MUCH,
        outbox_bytes_max: 4 * MUCH,
        ..quiet()
    }
}

async fn unread_poll(server: &Server) -> Told {
    let sid = server.open().await;
    server.push(&sid, "40").await;
    let event = Packet::text(format!(r#"42["{}"]"#, "a".repeat(MUCH)));
    server.socket().post(event.into(), 2);
    let poll = server.start_poll(&sid).await;
    until("the poll is given up", || {
        server.engine.counts().refused["write_timeout"] == 1
    })
    .await;
    drop(poll);
    Told::Nothing
}

async fn unread_events(server: &Server) -> Told {
    let socket = WebSocket::join(server).await;
    for mark in [2, 3] {
        let event = Packet::text(format!(r#"42["{}"]"#, "a".repeat(MUCH)));
        server.socket().post(event.into(), mark);
    }
    server.next_end().await;
    drop(socket);
    Told::Nothing
}

async fn no_pong(server: &Server) -> Told {
    end_of(WebSocket::open(server).await).await
}

async fn many_controls(server: &Server) -> Told {
    let socket = WebSocket::join(server).await;
    while server.socket().emit("a", &[], Vec::new()) == Posted::Queued {}
    end_of(socket).await
}

async fn behind(server: &Server) -> Told {
    let socket = WebSocket::join(server).await;
    server.socket().outbox().fall_behind();
    end_of(socket).await
}
