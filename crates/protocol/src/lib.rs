//! WebSocket, Engine.IO v4 and Socket.IO v5 for a server, without I/O and without a clock.
//!
//! Bytes go in, values come out; what is read is checked once, here, and every refusal says why.
//! Nothing in this crate keeps memory for a connection that has nothing half-read.
//!
//! # Layout
//!
//! - [`websocket`]: RFC 6455, the server's side: handshake, frames, close codes.
//! - [`engine_io`]: packets, polling bodies, the opening packet, the query, error codes.
//! - [`socket_io`]: packets of namespaces: connect, events, acks, binary attachments.
//! - [`session`]: one client's state over all of it: heartbeat, namespaces, reasons to close.

pub mod engine_io;
pub mod session;
pub mod socket_io;
pub mod websocket;

mod id;
mod json;
mod redacted;

pub use id::{InvalidId, RecoveryId, SessionId, SocketId};
