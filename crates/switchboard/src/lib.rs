//! Switchboard: what happens in a WhatsApp CRM reaches the screens, and nothing is lost on the way.
//!
//! This crate is the program and the embedding API. It wires the other crates and decides nothing
//! about the domain.
//!
//! # Layout
//!
//! - [`settings`]: what the server is told before it starts. [`telemetry`]: what it says.
//! - [`server`]: one running server, put together with `opening` and `wiring`.
//! - [`emitter`]: the contract's events from Rust, organised by feature.
//! - [`command`]: the command line, one file per command.
//! - [`demo`]: a busy day at an imaginary shop, for `switchboard demo`.
//! - [`health`] and [`readiness`]: whether the server is well. [`listener`]: its sockets.
//! - `reload`: what changes when the settings are read again.
//! - `admin`: the operator's listener. `metrics`: what it tells.
//! - [`nodes`]: who else serves the clients of the same journal.
//! - [`clock`], [`random`], [`shutdown`]: the only places that read time, randomness and signals.

mod admin;
pub mod clock;
pub mod command;
pub mod demo;
pub mod emitter;
pub mod health;
pub mod listener;
mod metrics;
pub mod nodes;
mod opening;
pub mod random;
pub mod readiness;
mod reload;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
mod tls;
pub mod token;
mod wiring;

pub use emitter::Emitter;
pub use server::{Server, StartError};
pub use settings::Settings;
/// Events, payloads, ids and rooms, for programs that embed a server.
pub use switchboard_event as event;
