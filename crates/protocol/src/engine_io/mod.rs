//! Engine.IO, protocol version 4.

mod error_code;
mod open;
mod packet;
mod payload;
mod query;

pub use error_code::ErrorCode;
pub use open::{Open, Transport};
pub use packet::{Packet, PacketError};
pub use payload::{Payload, Payloads};
pub use query::{Query, SessionParameter, Version};
