//! The state machines: which change is legal, and what it makes.
//!
//! Pure. State and input come in, with the time; new state and what is to be told come out. Who
//! calls them stores the state and the events in one batch, so that a crash leaves both or none.
//! They run for what we derive, from webhooks and on the routes of campaigns; what a producer
//! publishes goes out as published, and they learn from it.
//!
//! - [`message`]: how far a message got.
//! - [`campaign`]: what came of a campaign so far.
//! - [`connection`]: whether an account is connected.

pub mod campaign;
pub mod connection;
pub mod message;
pub(crate) mod state;

pub use state::InvalidState;
