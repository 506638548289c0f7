//! `switchboard listen`: the contract's test client.

mod client;

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub(super) use self::client::{Client, Output};
use super::Failure;
use super::address::Address;
use super::dial::{Authorities, DialError, Dialer, Stream};
use crate::{random, shutdown};

/// Connect as a client, and print every event as a line of JSON
///
/// Events go to stdout: {"event":"...","args":[...]}. What becomes of the connection and of the
/// subscriptions goes to stderr. A lost connection is made again and goes on where it was; a
/// refusal by the server is final. Ctrl-C ends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  TOKEN=$(switchboard token --user 7 --room 'whatsapp:*')
  switchboard listen --auth '{\"token\":\"'$TOKEN'\"}' --subscribe whatsapp:support")]
pub(crate) struct Listen {
    /// The server, http:// or https://
    #[arg(default_value = "http://localhost:5000")]
    url: Address,

    #[command(flatten)]
    authorities: Authorities,

    /// What the client says when it connects: {"token":"..."}
    #[arg(long, value_name = "JSON", value_parser = object)]
    auth: Option<Box<RawValue>>,

    /// A room to subscribe to, by its whole name (repeatable)
    #[arg(long = "subscribe", value_name = "ROOM")]
    rooms: Vec<String>,
}

/// Why a connection ended.
pub(super) enum End {
    /// It can be made again.
    Lost(String),
    /// The server does not want this client.
    Refused(String),
    /// Whoever answers is not known to be the server, and must not be told a token.
    Untrusted(DialError),
    /// Nobody reads what is printed.
    Unheard,
}

impl Listen {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let server = self.authorities.dialer(&self.url)?;
        let mut client = Client::new(self.auth, self.rooms);
        tokio::select! {
            ended = listen(&server, &mut client) => ended,
            stopped = shutdown::requested() => Ok(stopped?),
        }
    }
}

async fn listen(server: &Dialer, client: &mut Client) -> Result<(), Failure> {
    let mut attempt = 0;
    loop {
        let reason = match session(server, client, &mut attempt).await {
            End::Lost(reason) => reason,
            End::Unheard => return Ok(()),
            End::Untrusted(error) => return Err(error.into_failure()),
            End::Refused(message) => {
                return Err(Failure::new(format_args!(
                    "the server refused the connection: {message}"
                ))
                .advise("`switchboard token` signs a token for --auth '{\"token\":\"...\"}'"));
            }
        };
        client.handle_disconnect();
        let wait = backoff(attempt, random::bytes::<1>()?[0]);
        attempt += 1;
        let retry_in_ms = wait.as_millis();
        notice(&json!({"notice": "disconnected", "reason": reason, "retryInMs": retry_in_ms}));
        sleep(wait).await;
    }
}

/// One connection, from its start to its end. `attempt` starts again once it is open.
async fn session(server: &Dialer, client: &mut Client, attempt: &mut u32) -> End {
    let mut socket = match timeout(HANDSHAKE_TIMEOUT, open(server)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(end)) => return end,
        Err(_) => return End::Lost(format!("no handshake within {HANDSHAKE_TIMEOUT:?}")),
    };
    let mut silence_max = HANDSHAKE_TIMEOUT;
    loop {
        let message = match timeout(silence_max, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return End::Lost(error.to_string()),
            Ok(None) => return End::Lost("transport close".to_owned()),
            Err(_) => return End::Lost("ping timeout".to_owned()),
        };
        let outputs = match &message {
            Message::Text(text) => client.handle_text(text),
            Message::Binary(bytes) => client.handle_binary(bytes),
            Message::Close(frame) => {
                let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
                return End::Lost(format!("transport close ({code})"));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        for output in match outputs {
            Ok(outputs) => outputs,
            Err(error) => return End::Lost(error.to_string()),
        } {
            match output {
                Output::Send(text) => {
                    if let Err(error) = socket.send(Message::text(text)).await {
                        return End::Lost(error.to_string());
                    }
                }
                Output::Event(line) => {
                    if writeln!(io::stdout(), "{line}").is_err() {
                        return End::Unheard;
                    }
                }
                Output::Notice(line) => notice(&line),
                Output::Heartbeat(allowed) => (silence_max, *attempt) = (allowed, 0),
                Output::Refused(message) => return End::Refused(message),
            }
        }
    }
}

pub(super) async fn open(server: &Dialer) -> Result<WebSocketStream<Stream>, End> {
    let stream = server.connect().await.map_err(|error| match error {
        error @ DialError::Untrusted { .. } => End::Untrusted(error),
        error => End::Lost(error.to_string()),
    })?;
    // Also over TLS, which is the stream's business.
    let request = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        server.address().authority()
    );
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LEN_MAX));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    opened
        .map(|(socket, _)| socket)
        .map_err(|error| End::Lost(error.to_string()))
}

fn notice(line: &serde_json::Value) {
    // Nothing is left to be done if stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

/// As the stock client waits: from one second, doubled up to five, and spread by a half.
fn backoff(attempt: u32, chance: u8) -> Duration {
    let wait = (RECONNECT_WAIT * 2_u32.saturating_pow(attempt.min(8))).min(RECONNECT_WAIT_MAX);
    wait.mul_f64(0.5 + f64::from(chance) / 256.0)
}

pub(super) fn object(text: &str) -> Result<Box<RawValue>, String> {
    let value: Box<RawValue> =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if value.get().starts_with('{') {
        Ok(value)
    } else {
        Err("not a JSON object".to_owned())
    }
}

pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_attempts_grows_and_is_bounded() {
        assert_eq!(backoff(0, 128), Duration::from_secs(1));
        assert_eq!(backoff(1, 128), Duration::from_secs(2));
        assert_eq!(backoff(40, 128), Duration::from_secs(5));
        assert!(backoff(40, 255) < Duration::from_millis(7500));
        assert_eq!(backoff(0, 0), Duration::from_millis(500));
    }
}
