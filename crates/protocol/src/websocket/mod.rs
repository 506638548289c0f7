//! RFC 6455, the server's side.
//!
//! No extension is ever negotiated, so no frame is compressed and every reserved bit is an error.

mod close;
mod decoder;
mod error;
mod handshake;
mod header;
mod input;
mod mask;
mod message;
mod partial;

pub use close::{CloseCode, CloseFrame, InvalidCloseCode};
pub use decoder::{FrameDecoder, Limits};
pub use error::FrameError;
pub use handshake::{Handshake, HandshakeError, accept_key};
pub use header::FrameHeader;
pub use input::Input;
pub use message::Message;

#[cfg(test)]
mod tests;
