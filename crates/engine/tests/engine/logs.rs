//! What a log tells of a client that was sent away, and what it does not.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use super::{
    client::WebSocket,
    server::{Server, quiet},
};

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps what this thread logs, which is the only one of a test.
    pub(crate) fn keep(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn lines(&self, message: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines()
            .filter(|line| line.contains(message))
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test]
async fn what_was_wrong_with_a_packet_is_told_without_the_packet() {
    let log = Log::default();
    let _guard = log.keep();
    let server = Server::start(quiet()).await;
    for (packet, reason) in [
        (r#"42["a",{"token":"hunter2"]"#, "payload is not json"),
        (
            r#"42{"token":"hunter2"}"#,
            "payload does not fit the type of the packet",
        ),
        (
            r#"4511-["a","hunter2"]"#,
            "packet has more than 10 attachments",
        ),
    ] {
        let mut socket = WebSocket::join(&server).await;
        socket.send(packet).await;
        socket.assert_closed(None).await;

        let line = log.lines("packet refused").pop().unwrap();
        assert!(line.contains(reason), "{line}");
        assert!(line.contains("client=127.0.0.1:"), "{line}");
    }
    assert!(log.lines("hunter2").is_empty());
}

#[tokio::test]
async fn clients_that_are_turned_away_do_not_fill_the_log() {
    let log = Log::default();
    let _guard = log.keep();
    let server = Server::start(switchboard_engine::Config {
        unjoined_max: 0,
        ..quiet()
    })
    .await;

    for _ in 0..100 {
        server.request("GET", "EIO=4&transport=polling").await;
    }

    let lines = log.lines("session refused");
    assert!((1..50).contains(&lines.len()), "{lines:?}");
    assert!(
        lines[0].contains(r#"cause="unjoined_max" suppressed=0"#),
        "{lines:?}"
    );
    assert_eq!(server.engine.counts().refused["unjoined_max"], 100);
}
