//! The producers' side, from requests to records.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what goes wrong in them has failed"
)]

mod accounts;
mod bodies;
mod campaigns;
mod erasures;
mod events;
mod facts;
mod history;
mod in_flight;
mod learned;
mod limits;
mod logs;
mod mapping;
mod mutation;
mod orders;
mod producers;
mod receipts;
mod scripted;
mod snapshots;
mod statuses;
mod webhooks;
mod world;
