//! The producers' side: what comes in over HTTP becomes durable events.
//!
//! # Layout
//!
//! - [`Ingest`]: what the side is made of; its router, and `publish` for programs.
//! - `publish`, with `queue` and `messages`: the one way from drafts to the journal. `outcome` is
//!   what comes of it.
//! - `events`, with `draft`: `POST /v1/events`. `producer`, with `api_key` and `scope`: who asks.
//! - `receipts`: who got an event.
//! - `producers`: making and revoking API keys; `keys`: those in force, `key_store`: those in the
//!   journal. `limits`: how much comes by one in a time.
//! - `orders`, with `administrator` and `form`: what ends rights and connections. `erasures`: what
//!   takes payloads.
//! - `campaigns`: `/v1/campaigns`; `tally`: their counts, also those that statuses make. `accounts`:
//!   the connections of accounts, as gateways tell them. `stage`: from what the machines tell to
//!   events and snapshots; `turns` and `alarms`: one after the other, and later.
//! - `webhook`: who may call back; `source`: what every source makes; [`meta`]: Meta's Cloud API;
//!   `lenient` and `node`: reading what nobody promises.
//! - `problem`, `body`, `stats`, `config`: how we refuse, how much we read, what we count, the limits.
//!
//! Nothing here logs a payload, an address, a message id, or a key.

mod accounts;
mod administrator;
mod alarms;
mod api_key;
mod body;
mod campaigns;
mod config;
mod derived;
mod draft;
mod erasures;
mod events;
mod form;
mod hex;
mod history;
mod in_flight;
mod ingest;
mod key_store;
mod keys;
mod lenient;
mod limits;
mod messages;
pub mod meta;
mod node;
mod orders;
mod outcome;
mod problem;
mod producer;
mod producers;
mod publish;
mod queue;
mod receipts;
mod scope;
mod source;
mod stage;
mod stats;
mod tally;
mod turns;
mod waiting;
mod webhook;

pub use api_key::{ApiKey, InvalidKeyHash, InvalidKeyId, KeyHash, KeyId};
pub use config::Config;
pub use derived::{Address, contact_id, message_id};
pub use draft::{DRAFTS_MAX, InvalidDraft, read as read_draft};
pub use events::tenant_of;
pub use in_flight::InFlightCounts;
pub use ingest::{Ingest, KEYS_INTERVAL, KeysUnreadable, Parts, PublishError};
pub use limits::ProducerLimits;
pub use outcome::{Published, Refusal, Refused, Unavailable};
pub use problem::Problem;
pub use producer::{Producer, Reach};
pub use scope::{InvalidScope, NoScope, Scope, Scopes};
pub use source::{Fact, Ignored, Item, Mapped};
pub use stats::{IngestCounts, IngestStats};
pub use webhook::{Endpoints, MetaEndpoint};
