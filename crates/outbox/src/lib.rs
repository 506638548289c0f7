//! Takes events out of a table of the CRM's Postgres, where its own transactions put them: the
//! transactional outbox. docs/outbox.md has it from the CRM's side.
//!
//! # Layout
//!
//! - [`Outbox`]: the worker, and what is told of it.
//! - [`config`]: where the table is, and how it is looked at. [`name`]: names that are safe in SQL.
//! - [`schema`]: the table as `switchboard outbox init` makes it.
//! - `pass`: one look at the table. `lease`: which tenants this node takes for.
//! - `row`: from a row to a draft. `store`: every statement, and the connections for them.
//! - `stats`: what is counted.
//!
//! A row becomes an event the way that every producer's draft does, through
//! [`Ingest::publish`](switchboard_ingest::Ingest::publish), under its own id. Nothing here logs a
//! payload, an id or a password.

pub mod config;
mod lease;
pub mod name;
mod outbox;
mod pass;
mod row;
pub mod schema;
mod stats;
mod store;

pub use config::{After, Config};
pub use name::{Channel, InvalidName, Table};
pub use outbox::{Outbox, STOP_TIMEOUT};
pub use schema::{Schema, apply};
pub use stats::Counts;
pub use store::StoreError;
