//! What the catalogue accepts, refuses, and whom it sends it to.
#![allow(
    clippy::unwrap_used,
    reason = "a test may end at what it does not expect"
)]

mod audience;
mod contract;
mod custom;
mod examples;
mod properties;
mod receipts;
mod refusals;
mod relay;
mod support;
