//! `switchboard compare`: what a client of a Node server and a client of ours are told.

mod tally;

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use self::tally::{Side, Tally, Told};
use super::address::Address;
use super::dial::{Authorities, Dialer, Stream};
use super::listen::{Client, End, HANDSHAKE_TIMEOUT, Output, object, open};
use super::{Failure, say};

/// Listen to a Node server and to Switchboard for a while, and print what one told and the other did
/// not
///
/// For each room there is a client on either side, which subscribes as the contract has it; and one
/// that is only in the rooms that everybody is in. An event is the same on both sides if its name and
/// its payload are, in any order. The exit code is 1 if anything differs.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard compare http://localhost:3000 http://localhost:5000 \\
    --auth '{\"token\":\"...\"}' --subscribe contact:42 --subscribe whatsapp:support --seconds 600")]
pub(crate) struct Compare {
    /// The Node server, http:// or https://
    node: Address,

    /// Switchboard, http:// or https://
    #[arg(default_value = "http://localhost:5000")]
    url: Address,

    #[command(flatten)]
    authorities: Authorities,

    /// What clients say when they connect, to either side: {"token":"..."}
    #[arg(long, value_name = "JSON", value_parser = object)]
    auth: Option<Box<RawValue>>,

    /// The namespace of the Node server
    #[arg(long, value_name = "NAME", default_value = "/")]
    namespace: String,

    /// A room to compare, such as contact:42 (repeatable)
    #[arg(long = "subscribe", value_name = "ROOM", value_parser = room)]
    rooms: Vec<Room>,

    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,

    /// A field of payloads that may differ, such as timestamp (repeatable)
    #[arg(long = "ignore", value_name = "FIELD")]
    ignored: Vec<String>,
}

/// A room, as the contract's requests name it.
#[derive(Clone, Debug)]
struct Room {
    kind: String,
    id: String,
}

impl Compare {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (tell, mut told) = mpsc::channel(TOLD_MAX);
        let mut clients = JoinSet::new();
        let (node, here) = (
            self.authorities.dialer(&self.node)?,
            self.authorities.dialer(&self.url)?,
        );
        let rooms = || std::iter::once(None).chain(self.rooms.iter().map(Some));
        for room in rooms() {
            for (side, server, namespace) in [
                (Side::Node, &node, &*self.namespace),
                (Side::Here, &here, "/"),
            ] {
                let client = Client::new(self.auth.clone(), Vec::new()).in_namespace(namespace);
                let ear = Ear {
                    side,
                    room: room.cloned(),
                    client,
                    tell: tell.clone(),
                };
                let socket = ear.connect(server).await?;
                clients.spawn(ear.listen(socket));
            }
        }
        drop(tell);
        // Until subscriptions are in force, one side may be ahead.
        sleep(SETTLE).await;
        while told.try_recv().is_ok() {}
        notice(self.seconds);

        let mut tally = Tally::new(self.ignored);
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let listening = async {
            while let Ok(Some(one)) = timeout_at(end, told.recv()).await {
                tally.count(&one);
            }
            // What one side told in time, the other may tell a little later.
            let grace = Instant::now() + GRACE;
            while let Ok(Some(one)) = timeout_at(grace, told.recv()).await {
                tally.match_late(&one);
            }
            sleep_until(end).await;
        };
        tokio::select! {
            () = listening => {}
            Some(ended) = clients.join_next() => {
                return Err(ended.map_or_else(|error| Failure::new(error.to_string()), Lost::into_failure));
            }
        }
        for line in tally.lines() {
            say(line)?;
        }
        match tally.differences() {
            0 => Ok(()),
            count => Err(Failure::new(format_args!(
                "{count} events were told on one side only"
            ))),
        }
    }
}

/// A client that says what it is told.
struct Ear {
    side: Side,
    room: Option<Room>,
    client: Client,
    tell: mpsc::Sender<Told>,
}

/// A connection that ended before its time.
struct Lost {
    side: Side,
    reason: String,
}

impl Lost {
    fn into_failure(self) -> Failure {
        let Self { side, reason } = self;
        Failure::new(format_args!("lost the connection to {side}: {reason}"))
            .advise("what came in between would be told as a difference; compare again")
    }
}

impl Ear {
    async fn connect(&self, server: &Dialer) -> Result<WebSocketStream<Stream>, Failure> {
        let side = self.side;
        let failure = match timeout(HANDSHAKE_TIMEOUT, open(server)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(End::Untrusted(error))) => return Err(error.into_failure()),
            Ok(Err(End::Lost(reason) | End::Refused(reason))) => reason,
            Ok(Err(End::Unheard)) => "it was closed".to_owned(),
            Err(_) => format!("no handshake within {HANDSHAKE_TIMEOUT:?}"),
        };
        Err(Failure::new(format_args!(
            "cannot connect to {side}: {failure}"
        )))
    }

    async fn listen(mut self, mut socket: WebSocketStream<Stream>) -> Lost {
        let side = self.side;
        let lost = |reason: String| Lost { side, reason };
        let mut silence_max = HANDSHAKE_TIMEOUT;
        loop {
            let message = match timeout(silence_max, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return lost(error.to_string()),
                Ok(None) => return lost("transport close".to_owned()),
                Err(_) => return lost("ping timeout".to_owned()),
            };
            let outputs = match &message {
                Message::Text(text) => self.client.handle_text(text),
                Message::Binary(bytes) => self.client.handle_binary(bytes),
                Message::Close(_) => return lost("transport close".to_owned()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let outputs = match outputs {
                Ok(outputs) => outputs,
                Err(error) => return lost(error.to_string()),
            };
            for output in outputs {
                let text = match output {
                    Output::Send(text) => text,
                    Output::Notice(notice) if notice["notice"] == "connected" => {
                        let Some(Room { kind, id }) = &self.room else {
                            continue;
                        };
                        self.client.event(&json!([format!("subscribe:{kind}"), id]))
                    }
                    Output::Event(line) => {
                        let room = self.room.as_ref();
                        let room = room.map(|Room { kind, id }| format!("{kind}:{id}"));
                        let told = Told { side, room, line };
                        // Nobody counts any more.
                        let _ = self.tell.send(told).await;
                        continue;
                    }
                    Output::Heartbeat(allowed) => {
                        silence_max = allowed;
                        continue;
                    }
                    Output::Refused(message) => return lost(format!("refused: {message}")),
                    Output::Notice(_) => continue,
                };
                if let Err(error) = socket.send(Message::text(text)).await {
                    return lost(error.to_string());
                }
            }
        }
    }
}

fn notice(seconds: u64) {
    // Nothing is left to be done if stderr is closed.
    let _ = writeln!(io::stderr(), "comparing for {seconds} s");
}

fn room(text: &str) -> Result<Room, String> {
    let (kind, id) = text.split_once(':').ok_or("is not kind:id")?;
    if !["whatsapp", "campaign", "contact", "flow"].contains(&kind) {
        return Err(
            "is of no kind that clients subscribe to: whatsapp, campaign, contact, flow".to_owned(),
        );
    }
    Ok(Room {
        kind: kind.to_owned(),
        id: id.to_owned(),
    })
}

/// How many events wait to be counted.
const TOLD_MAX: usize = 4_096;
/// How long subscriptions may take.
const SETTLE: Duration = Duration::from_secs(1);
/// How much later one side may be.
const GRACE: Duration = Duration::from_secs(2);
