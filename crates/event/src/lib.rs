//! What happens in a WhatsApp CRM, and who hears it.
//!
//! # Layout
//!
//! - [`id`], [`room`], [`position`], [`time`], [`clock`]: the words of the domain, valid by
//!   construction.
//! - [`draft`]: what a producer sends.
//! - [`catalogue`]: all events that there are; [`Catalogue::accept`] is the one way from a draft
//!   to an event. [`rejected`] says why not, [`accepted`] what came of it.
//! - [`event`]: what a draft becomes. Nothing validates again after it.
//! - [`fleeting`]: what is said of a fact that ends by itself.
//! - [`message`]: what is remembered of a message. [`binary`]: binary values in payloads.
//! - [`receipt`]: who got an event.
//! - [`order`]: what the server tells its own nodes; [`revoked`]: what is remembered of it.
//! - [`machine`]: the state machines of messages, campaigns and connections.
//! - [`snapshot`]: the current values of a room, and which event changes them.
//! - [`shape`], [`payload`], [`built_in`]: the contract, each payload described once.
//!
//! Pure: no I/O, no clock of its own, no randomness. What depends on those is an argument.

pub mod accepted;
pub mod binary;
pub mod built_in;
pub mod catalogue;
mod check;
pub mod clock;
pub mod draft;
pub mod event;
mod field;
pub mod fleeting;
pub mod id;
mod json;
pub mod machine;
pub mod message;
pub mod order;
pub mod payload;
pub mod position;
pub mod receipt;
pub mod rejected;
pub mod revoked;
pub mod room;
pub mod shape;
pub mod snapshot;
pub mod template;
pub mod time;

pub use accepted::{Accepted, AcceptedEvent, NeedsMessage};
pub use binary::InvalidBinary;
pub use built_in::{BUILT_IN, BuiltIn, DefaultAudience, Payload};
pub use catalogue::{
    Catalogue, CatalogueConfig, CatalogueError, Context, CustomEvent, Maker, UnknownCounts,
};
pub use clock::Clock;
pub use draft::Draft;
pub use event::{Audience, Event, EventParts};
pub use fleeting::FleetingEvent;
pub use id::{EventId, ID_LEN_MAX, Id, InvalidId, TenantId, UserId};
pub use message::{InvalidMessageState, MessageFact, MessageKey, MessageState};
pub use order::{InvalidOrder, InvalidTokenId, Invalidation, Order, Revocation, TokenId};
pub use position::{Epoch, InvalidPosition, Offset, Position};
pub use receipt::{
    InvalidReceipt, InvalidReceiptTimeout, RECEIPT_SETTLE, Reached, ReceiptKey, ReceiptState,
    ReceiptTimeout, ReceiptView,
};
pub use rejected::Rejected;
pub use revoked::{
    InvalidRevocations, ROOMS_TAKEN_MAX, RevokedKey, TooManyRoomsTaken, UserRevocations, is_before,
};
pub use room::{InvalidRoom, Room, RoomKind};
pub use template::InvalidTemplate;
pub use time::{InvalidTimestamp, Timestamp, WireTime};
