//! Serves any Socket.IO application: Engine.IO v4 over WebSocket, HTTP long-polling and the
//! upgrade between them, Socket.IO v5 on top.
//!
//! An [`Application`] says who may join a namespace and what an event does; an [`Engine`] carries
//! bytes, keeps time and holds limits; [`serve`] runs it on a listener, next to an HTTP service
//! for everything outside of its path.
//!
//! # Layout
//! `application`, `client` and `socket` are what an application sees, `packet` and `outbox` what it sends
//! through. `server` accepts, `request` checks and answers HTTP, `proxy`
//! says who asks, `connection` is the one task of a
//! session, over a `websocket` or a `polling` transport.

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
mod origin;
mod outbox;
mod packet;
mod patience;
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
pub use outbox::{Outbox, OutboxLimits, Posted};
pub use packet::Packet;
pub use proxy::{Cidr, InvalidCidr, Proxies, ProxyHeader};
pub use server::serve;
pub use socket::SocketHandle;
pub use switchboard_protocol::{
    session::CloseReason,
    socket_io::{Arguments, Namespace},
};
