//! The ports of the journal on Redis: one log for many nodes.
//!
//! # Layout
//!
//! - [`RedisJournal`]: the ports together; `config` how it is made, `check` whether a Redis is fit.
//! - `core`, `shard`: what all ports share, and what is known of one partition.
//! - `append`, `read`, `feed`, `tail`: records and values in and out, and following them.
//! - `sessions`, `leases`, `fleeting`: the other ports.
//! - `script` and `scripts/`: what Redis does in one step. `codec`, `reply`: what lies there.
//! - `dial`, `link`, `router`, `keys`: connections, and which server has what.
//! - `upkeep`: what is done without being asked.
//!
//! docs/journal.md tells what lies on Redis, what is promised of it, and why it holds.

mod append;
mod check;
mod codec;
mod config;
mod core;
mod dial;
mod error;
mod feed;
mod fleeting;
mod journal;
mod keys;
mod leases;
mod link;
mod read;
mod reply;
mod router;
mod script;
mod sessions;
mod shard;
mod tail;
mod upkeep;

pub use config::RedisConfig;
pub use error::OpenError;
pub use journal::RedisJournal;
