//! Node's Socket.IO on the same Redis: what emitters and servers there tell their clients becomes
//! records, and records are told to clients of Node servers.
//!
//! # Layout
//!
//! - [`Bridge`]: the worker, and what is told of it. [`config`]: which namespace is whose, and where.
//! - `dial`: connections to Redis. `seat`: which node works for a mapping. `place`: how far it came.
//! - `heard`: from a broadcast to a draft. `inbox`, with `sighting`: what Pub/Sub said, until it is
//!   durable, and the ids that it has none of.
//! - `listen`: Pub/Sub in. `stream`: a stream in. `tell`: records out.
//! - `stats`: what is counted.
//!
//! Everything on Redis is taken for hostile until `switchboard-dialect` has read it. Nobody subscribes
//! to channels of requests, so no Node server ever waits for us. Nothing here logs a payload, a room
//! or a password.

mod bridge;
pub mod config;
mod dial;
mod heard;
mod inbox;
mod listen;
mod place;
mod seat;
mod sighting;
mod stats;
mod stream;
mod tell;

pub use bridge::{Bridge, Parts, STOP_TIMEOUT};
pub use config::{Config, Direction, Kind, Mapping, Validate};
pub use dial::{Connection, Dial, InvalidConnection};
pub use stats::Counts;
