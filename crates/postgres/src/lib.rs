//! A way to the CRM's Postgres.
//!
//! # Layout
//!
//! - `address`: where it is, and whether with TLS.
//! - `connector`: connections to it, which end when they are dropped.
//!
//! What is asked there is the business of whoever connects.

mod address;
mod connector;

pub use address::{Address, InvalidAddress};
pub use connector::{Connection, Connector, OpenError, reason};
