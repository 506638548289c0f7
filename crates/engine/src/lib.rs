//! Serves any Socket.IO application: Engine.IO v4 over WebSocket, HTTP long-polling and the
//! upgrade between them, Socket.IO v5 on top. Every client of Socket.IO 3 and 4 works unchanged.
//!
//! An [`Application`] says who may join a namespace and what an event does; an [`Engine`] carries
//! bytes, keeps time and holds limits; [`serve`] runs it on a listener, next to an HTTP service
//! for everything outside of its path.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use switchboard_engine::{
//!     Admission, Application, Config, Connect, DisconnectReason, Engine, Handling, Incoming,
//!     NotFound, Refusal, SocketHandle, serve,
//! };
//! use tokio::net::TcpListener;
//!
//! /// Says back what it is told, and acknowledges it if the client wants that.
//! struct Echo;
//!
//! impl Application for Echo {
//!     type Socket = SocketHandle;
//!
//!     async fn connect(
//!         self: &Arc<Self>,
//!         request: Connect,
//!     ) -> Result<Admission<SocketHandle>, Refusal> {
//!         Ok(request.handle.into())
//!     }
//!
//!     fn event(self: &Arc<Self>, socket: &SocketHandle, event: Incoming) -> Handling {
//!         // Arguments stay the JSON that came; `event.args.parse()` reads them where needed.
//!         let args = event.args.as_str().as_bytes();
//!         socket.emit(&event.name, &[args], event.attachments);
//!         if let Some(ack) = event.ack {
//!             socket.ack(ack, &[br#"{"ok":true}"#], Vec::new());
//!         }
//!         Handling::Done
//!     }
//!
//!     fn disconnect(self: &Arc<Self>, _socket: SocketHandle, _reason: DisconnectReason) {}
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let engine = Engine::new(Arc::new(Echo), Config::default());
//!     let listener = TcpListener::bind("127.0.0.1:3000").await?;
//!     serve(listener, engine, NotFound, std::future::pending()).await
//! }
//! ```
//!
//! The examples of this crate are a chat with rooms, acks in both directions, binary values and
//! namespaces: `cargo run -p switchboard-engine --example chat`, `acks`, `binary`, `namespaces`.
//!
//! # What an application owns
//! The engine knows connections and nothing of what they are for, so these are the application's:
//!
//! - **Rooms and broadcasts.** A room is a collection of [`SocketHandle`]s, a broadcast one
//!   [`Packet`] in an [`Arc`](std::sync::Arc) that is posted to each of them: it is encoded once and
//!   its bytes are shared. Posting never waits, so it may be done under the lock of the collection.
//!   [`Application::disconnect`] is where a socket is taken out again.
//! - **Acks of the client, and how long to wait for them.** [`SocketHandle::ack_id`] makes an id,
//!   and [`Application::acked`] is told of whatever comes back: also too late, twice, or with an id
//!   that was never given out. Who keeps the ids that it waits for and takes each out once has
//!   ignored the others. The wait must not be a [`Handling::Later`], behind which the reply itself
//!   would have to wait: spawn it.
//! - **What is volatile.** [`Outbox::is_drained`] tells whether a client takes what it is sent; if it
//!   does not, leave out what will be out of date.
//! - **Falling behind.** What a slow client does not read is bounded. Who has the history of its
//!   events overrides [`Application::behind`] and goes on from the last mark that was
//!   [written](Outbox::written); by default the client is disconnected and comes back.
//! - **Recovery.** [`Admission::recoverable`] and [`Admission::recovered`] speak the protocol of
//!   Socket.IO's connection state recovery; what is kept, and where, is the application's.
//!
//! # Layout
//! `application`, `client` and `socket` are what an application sees, `packet` and `outbox` what it sends
//! through. `server` accepts, `request` checks and answers HTTP, `proxy`
//! says who asks, `connection` is the one task of a
//! session, over a `websocket` or a `polling` transport. `pen` is the right to write to a socket,
//! `wheel` the time of all connections.

mod admission;
mod application;
mod client;
mod config;
mod connection;
mod counters;
mod drain;
mod engine;
mod listener;
mod mailbox;
mod not_found;
mod origin;
mod outbox;
mod packet;
mod patience;
mod pen;
mod polling;
mod proxy;
mod refused;
mod request;
mod response;
mod server;
mod socket;
mod stream;
mod takeover;
mod websocket;
mod wheel;
mod writer;

pub use application::{
    AckId, Acked, Admission, Application, Connect, DisconnectReason, Handling, Handshake, Incoming,
    Refusal,
};
pub use client::Client;
pub use config::{Config, Doors, Layer, Origins};
pub use counters::{Counts, Queued};
pub use engine::{Engine, Stats};
pub use listener::Listener;
pub use not_found::NotFound;
pub use outbox::{Outbox, OutboxLimits, Posted};
pub use packet::Packet;
pub use proxy::{Cidr, InvalidCidr, Proxies, ProxyHeader};
pub use server::serve;
pub use socket::SocketHandle;
pub use switchboard_protocol::{
    session::CloseReason,
    socket_io::{Arguments, Namespace},
};
