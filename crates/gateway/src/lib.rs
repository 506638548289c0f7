//! The clients' side: who are you, what may you hear, subscribe, replay, live.
//!
//! # Layout
//!
//! - [`gateway`]: [`Gateway`], the engine's application; one entry for each thing a client does.
//! - [`auth`]: from a token to an [`Identity`].
//! - [`access`]: from a wish to a grant. `leases`: those that somebody else made, which end.
//! - `ports`: what all of it stands on.
//! - `pool`: what many sessions have alike, kept once.
//! - `credentials`: what a client shows on connecting.
//! - `command`: what a client asks for, from an event's name and arguments.
//! - `subscription`: hearing rooms at a client's wish, and ceasing to.
//! - `session`: one client's rights, seat and rooms; subscribing and leaving.
//! - `present`: the clients of a partition; `lifetime`: what happens when their tokens end, and
//!   `refresh` when they are renewed.
//! - `order`: the records that end rights; `revocation`: those from before a token was shown.
//! - `replay`: what a room said before a client joined it; `snapshot`: what is so in it now.
//! - `missed`: what a line was not sent yet; `recovery`: coming back to it after a reconnect;
//!   `catch_up`: reading it because the client is slow.
//! - `lane`: one partition's hub and the task that fans its records out.
//! - `floor`: what is so right now: who is there, who types, who looks at a contact.
//! - `delivery`: a record, encoded once for everybody, and the line that it goes to. `cork`: writing
//!   what a whole batch of records brings to a line in one go.
//! - `receipts`: who of this node's clients got which event, and its `clerk`, who writes it down.
//! - `limits`: how much a user may do in a time. [`audit`]: what happened to whom.
//! - `requests`: events that a client repeats have their effect once.
//! - `reply`: acks, refusals and their codes. `counters`: what is counted of all this.

pub mod access;
pub mod audit;
pub mod auth;
mod catch_up;
mod command;
mod cork;
mod counters;
mod credentials;
mod delivery;
mod floor;
pub mod gateway;
mod lane;
mod leases;
mod lifetime;
mod limits;
mod missed;
mod order;
mod pace;
mod pool;
mod ports;
mod present;
mod receipts;
mod recovery;
mod refresh;
mod replay;
mod reply;
mod requests;
mod revocation;
mod session;
mod snapshot;
mod subscription;
mod unauthorized;

pub use access::Access;
pub use auth::{
    Algorithm, AuthConfig, Authenticator, Identity, InvalidAuth, InvalidJwks, InvalidKey,
    IssuerConfig, KeyKind, KeyServerConfig, KeyServerStats, KeySource, LinkDefault,
    UnknownAlgorithm, Verification,
};
pub use command::{CLIENT_EVENTS, check_client_event};
pub use counters::Counts;
pub use floor::FloorConfig;
pub use gateway::{Config, Gateway, Stats};
pub use lifetime::OnExpiry;
pub use limits::LimitConfig;
pub use ports::Ports;
pub use session::Session;
pub use unauthorized::{ClaimFault, InvalidToken, KeyUnavailable, Unauthorized};
