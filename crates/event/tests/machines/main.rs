//! The state machines in simulated time, also under any order and repetition of inputs.
#![allow(
    clippy::unwrap_used,
    reason = "a test may end at what it does not expect"
)]

mod campaign;
mod connection;
mod message;
