//! A chat with rooms: who joins a room hears what is said in it.
//!
//! ```text
//! cargo run -p switchboard-engine --example chat [port]
//! ```
//!
//! ```js
//! const socket = io("http://localhost:3000");
//! socket.on("said", (room, name, text) => console.log(room, name, text));
//! socket.emit("join", "lobby", "Ana", (members) => socket.emit("say", "lobby", "hello"));
//! ```

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use switchboard_engine::{
    Admission, Application, Arguments, Config, Connect, DisconnectReason, Engine, Handling,
    Incoming, Namespace, NotFound, Packet, Refusal, SocketHandle, serve,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(3000), |port| port.parse());
    let port = port.map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let engine = Engine::new(Arc::new(Chat::default()), Config::default());
    serve(listener, engine, NotFound, std::future::pending()).await
}

/// Who is in which room: a room is what the application says it is.
#[derive(Default)]
struct Chat {
    rooms: Mutex<HashMap<String, Vec<Member>>>,
}

struct Member {
    name: String,
    socket: SocketHandle,
}

/// Rooms one socket may be in. What a client can make the server keep has a limit.
const ROOMS_MAX: usize = 16;

impl Application for Chat {
    type Socket = SocketHandle;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<SocketHandle>, Refusal> {
        if !request.namespace.is_root() {
            return Err(Refusal::invalid_namespace());
        }
        Ok(request.handle.into())
    }

    fn event(self: &Arc<Self>, socket: &SocketHandle, event: Incoming) -> Handling {
        let args = &event.args;
        let done = match &*event.name {
            "join" => args
                .parse()
                .map(|(room, name)| self.join(socket, room, name)),
            "leave" => one(args).map(|room| self.leave(socket, &room)),
            "say" => args
                .parse()
                .map(|(room, text): (String, String)| self.say(socket, &room, &text)),
            "typing" => one(args).map(|room| self.typing(socket, &room)),
            _ => return Handling::Done,
        };
        if let Some(ack) = event.ack {
            // How many are in the room, or none if the arguments could not be read.
            let members = json!(done.ok()).to_string();
            socket.ack(ack, &[members.as_bytes()], Vec::new());
        }
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, socket: SocketHandle, _reason: DisconnectReason) {
        self.with_rooms(|rooms| {
            rooms.retain(|_, members| {
                members.retain(|member| member.socket.id() != socket.id());
                !members.is_empty()
            });
        });
    }
}

impl Chat {
    fn join(&self, socket: &SocketHandle, room: String, name: String) -> usize {
        self.with_rooms(|rooms| {
            let is_here = |member: &Member| member.socket.id() == socket.id();
            let joined = rooms
                .values()
                .filter(|room| room.iter().any(is_here))
                .count();
            if joined >= ROOMS_MAX {
                return 0;
            }
            let members = rooms.entry(room).or_default();
            members.retain(|member| !is_here(member));
            members.push(Member {
                name,
                socket: socket.clone(),
            });
            members.len()
        })
    }

    fn leave(&self, socket: &SocketHandle, room: &str) -> usize {
        self.with_rooms(|rooms| {
            let Some(members) = rooms.get_mut(room) else {
                return 0;
            };
            members.retain(|member| member.socket.id() != socket.id());
            let left = members.len();
            if left == 0 {
                rooms.remove(room);
            }
            left
        })
    }

    /// Everybody in the room hears it, the speaker too; only a member may speak.
    fn say(&self, socket: &SocketHandle, room: &str, text: &str) -> usize {
        self.broadcast(socket, room, |name| {
            let args = json!([room, name, text]).to_string();
            event("said", &args)
        })
    }

    /// Everybody but the speaker hears it now or never: whoever still has something to read will
    /// not want to know later who was typing.
    fn typing(&self, socket: &SocketHandle, room: &str) -> usize {
        self.with_rooms(|rooms| {
            let members = rooms.get(room).map_or(&[][..], Vec::as_slice);
            let is_here = |member: &&Member| member.socket.id() == socket.id();
            let Some(speaker) = members.iter().find(is_here) else {
                return 0;
            };
            let packet = Arc::new(event("typing", &json!([room, speaker.name]).to_string()));
            let others = members.iter().filter(|member| !is_here(member));
            for member in others.filter(|member| member.socket.outbox().is_drained()) {
                member.socket.post(packet.clone(), 0);
            }
            members.len()
        })
    }

    /// Encodes once and shares the bytes. Posting never waits, so it may happen under the lock,
    /// which keeps what is said in one order for everybody.
    fn broadcast(
        &self,
        socket: &SocketHandle,
        room: &str,
        packet: impl FnOnce(&str) -> Packet,
    ) -> usize {
        self.with_rooms(|rooms| {
            let members = rooms.get(room).map_or(&[][..], Vec::as_slice);
            let speaker = members.iter().find(|one| one.socket.id() == socket.id());
            let Some(speaker) = speaker else {
                return 0;
            };
            let packet = Arc::new(packet(&speaker.name));
            for member in members {
                member.socket.post(packet.clone(), 0);
            }
            members.len()
        })
    }

    fn with_rooms<T>(&self, act: impl FnOnce(&mut HashMap<String, Vec<Member>>) -> T) -> T {
        act(&mut self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn one(args: &Arguments<'_>) -> Result<String, serde_json::Error> {
    args.parse().map(|(one,)| one)
}

/// An event of the main namespace. `args` is a JSON array; a packet wants what is between its
/// brackets.
fn event(name: &str, args: &str) -> Packet {
    let args = &args[1..args.len() - 1];
    Packet::event(&Namespace::ROOT, None, name, &[args.as_bytes()], Vec::new())
}
