//! What Node's Socket.IO adapters and emitters say to each other on Redis. No I/O, no clock.
//!
//! # Layout
//!
//! - [`Broadcast`], [`Message`]: what was said, whoever said it.
//! - [`classic`]: the Pub/Sub of `@socket.io/redis-adapter` and `@socket.io/redis-emitter`, both ways.
//! - [`streams`]: entries of `@socket.io/redis-streams-emitter`.
//! - `msgpack`: reading MessagePack within limits; `transcode`: from there to JSON text; `date`: how
//!   JavaScript writes a date; `encode`: from JSON text to MessagePack.
//!
//! Everything that is read here is hostile until proven otherwise: what is reserved is never more
//! than what came, nothing recurses deeper than [`DEPTH_MAX`], and nothing panics.

mod broadcast;
pub mod classic;
mod date;
mod encode;
mod msgpack;
pub mod streams;
mod transcode;

pub use broadcast::{
    ARGUMENTS_MAX, Broadcast, MESSAGE_LEN_MAX, Message, NAME_LEN_MAX, ROOMS_MAX, Undecodable,
};
pub use encode::Unencodable;
pub use transcode::DEPTH_MAX;
