//! Asks the CRM who may hear what.
//!
//! Knows neither sessions nor rooms' members: a [`Question`] goes in, a [`Verdict`] comes out, or
//! that it cannot be told now. Who may act on a verdict is somebody else's business.
//!
//! # Layout
//!
//! - [`question`]: what is asked, and what an invalidation is about.
//! - [`source`]: [`Source`], whoever answers; [`http`] is the CRM's backend, [`sql`] its database.
//! - [`decider`]: [`Decider`], the way to an answer: cached, one question in flight per key, bounded.
//! - `cache`: what was answered, with its end. `breaker`: when not to ask at all.
//! - `counters`: what is counted of all this.

mod breaker;
mod cache;
mod counters;
pub mod decider;
pub mod http;
pub mod question;
pub mod source;
pub mod sql;

pub use counters::Counts;
pub use decider::{Config, Decider, Desk, Unavailable, Verdict};
pub use http::{Http, HttpConfig};
pub use question::{Question, Selected, Selection, kind};
pub use source::{Answer, AskError, Source, Turn};
pub use sql::{Database, InvalidUrl, OpenError, Sql, SqlConfig, SqlUrl};
