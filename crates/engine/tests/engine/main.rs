//! The engine against real sockets on loopback, spoken to byte by byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod busy;
mod client;
mod direct;
mod handshake;
mod heartbeat;
mod hostile;
mod limits;
mod logs;
mod official;
mod origin;
mod polling;
mod proxies;
mod refusals;
mod server;
mod socket_io;
mod tls;
mod upgrade;
mod websocket;
