//! Socket.IO, protocol version 5, with its default parser.
//!
//! JSON goes through as text: it is checked once, never built, and never written anew, so that the
//! order of keys and the digits of numbers stay what they were.

mod arguments;
mod decode;
mod decoder;
mod encode;
mod namespace;
mod packet;
mod placeholder;

pub use arguments::Arguments;
pub use decode::DecodeError;
pub use decoder::{Decoder, Limits};
pub use encode::{
    encode_ack, encode_connect, encode_connect_error, encode_disconnect, encode_event,
    encode_placeholder,
};
pub use namespace::{InvalidNamespace, Namespace};
pub use packet::{Ack, AckId, Body, Event, Packet, is_reserved};

#[cfg(test)]
mod tests;
