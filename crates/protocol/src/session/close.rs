use std::fmt;

use crate::websocket::{CloseCode, FrameError};

/// Why a session ended. `Display` gives the words of Node's server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed its transport.
    TransportClosed,
    /// The transport broke, or the client broke the rules of Engine.IO.
    TransportError,
    /// The client broke the rules of WebSocket; the code says which.
    FrameInvalid(CloseCode),
    /// No pong came in time.
    PingTimeout,
    /// A packet that is no Engine.IO.
    ParseError,
    /// A packet that is no Socket.IO.
    PacketInvalid,
    /// A packet that has no place where it came, such as an event before CONNECT.
    Misused,
    /// Attachments were announced before a namespace was joined.
    AttachmentsEarly,
    /// The client asked for more namespaces than the limit allows.
    TooManyNamespaces,
    /// No namespace was joined in time.
    ConnectTimeout,
    /// The client asked for namespaces that it may not join until the limit.
    RefusedTooOften,
    /// The attachments of a packet did not come in time.
    AttachmentsTimeout,
    /// The client takes nothing of what is written.
    WriteTimeout,
    /// The application did not handle an event in time.
    HandlingTimeout,
    /// More acks and replies were queued than the limit allows.
    ControlsOverflow,
    /// More events were queued than the limit allows, and the application does not catch up.
    Lagged,
    /// The client went on and on beyond what it may do in a time.
    RateLimited,
    /// The application closed the connection.
    Requested,
    /// The server goes down.
    ShuttingDown,
}

impl CloseReason {
    /// Every [`name`](Self::name) there is.
    pub const NAMES: [&'static str; 22] = [
        "transport_closed",
        "transport_error",
        "invalid_frame",
        "invalid_utf8",
        "message_too_large",
        "too_many_fragments",
        "ping_timeout",
        "parse_error",
        "packet_invalid",
        "misused",
        "attachments_early",
        "too_many_namespaces",
        "connect_timeout",
        "refused_too_often",
        "attachments_timeout",
        "write_timeout",
        "handling_timeout",
        "controls_overflow",
        "lagged",
        "rate_limited",
        "requested",
        "shutting_down",
    ];

    /// Whether what is queued is written before the transport is closed.
    pub fn is_graceful(&self) -> bool {
        match self {
            Self::PacketInvalid
            | Self::Misused
            | Self::AttachmentsEarly
            | Self::TooManyNamespaces
            | Self::ConnectTimeout
            | Self::RefusedTooOften
            | Self::AttachmentsTimeout
            | Self::HandlingTimeout
            | Self::RateLimited
            | Self::Requested => true,
            Self::TransportClosed
            | Self::TransportError
            | Self::FrameInvalid(_)
            | Self::PingTimeout
            | Self::ParseError
            | Self::WriteTimeout
            | Self::ControlsOverflow
            | Self::Lagged
            | Self::ShuttingDown => false,
        }
    }

    /// The reason as one word of a log line or a metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TransportClosed => "transport_closed",
            Self::TransportError => "transport_error",
            Self::FrameInvalid(CloseCode::INVALID_PAYLOAD) => "invalid_utf8",
            Self::FrameInvalid(CloseCode::MESSAGE_TOO_BIG) => "message_too_large",
            Self::FrameInvalid(CloseCode::POLICY_VIOLATION) => "too_many_fragments",
            Self::FrameInvalid(_) => "invalid_frame",
            Self::PingTimeout => "ping_timeout",
            Self::ParseError => "parse_error",
            Self::PacketInvalid => "packet_invalid",
            Self::Misused => "misused",
            Self::AttachmentsEarly => "attachments_early",
            Self::TooManyNamespaces => "too_many_namespaces",
            Self::ConnectTimeout => "connect_timeout",
            Self::RefusedTooOften => "refused_too_often",
            Self::AttachmentsTimeout => "attachments_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::HandlingTimeout => "handling_timeout",
            Self::ControlsOverflow => "controls_overflow",
            Self::Lagged => "lagged",
            Self::RateLimited => "rate_limited",
            Self::Requested => "requested",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// What the close frame says. Node's server says nothing, and clients come back after all of
    /// these; only what breaks the rules of WebSocket has a number.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::FrameInvalid(code) => Some(*code),
            _ => None,
        }
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        Self::FrameInvalid(error.close_code())
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransportClosed => "transport close",
            Self::TransportError
            | Self::FrameInvalid(_)
            | Self::WriteTimeout
            | Self::ControlsOverflow
            | Self::Lagged => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::PacketInvalid => "forced close",
            Self::Misused
            | Self::AttachmentsEarly
            | Self::TooManyNamespaces
            | Self::ConnectTimeout
            | Self::RefusedTooOften
            | Self::AttachmentsTimeout
            | Self::HandlingTimeout
            | Self::RateLimited
            | Self::Requested => "forced server close",
            Self::ShuttingDown => "server shutting down",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let reasons = [
            CloseReason::TransportClosed,
            CloseReason::TransportError,
            CloseReason::FrameInvalid(CloseCode::PROTOCOL_ERROR),
            CloseReason::FrameInvalid(CloseCode::INVALID_PAYLOAD),
            CloseReason::FrameInvalid(CloseCode::MESSAGE_TOO_BIG),
            CloseReason::FrameInvalid(CloseCode::POLICY_VIOLATION),
            CloseReason::PingTimeout,
            CloseReason::ParseError,
            CloseReason::PacketInvalid,
            CloseReason::Misused,
            CloseReason::AttachmentsEarly,
            CloseReason::TooManyNamespaces,
            CloseReason::ConnectTimeout,
            CloseReason::RefusedTooOften,
            CloseReason::AttachmentsTimeout,
            CloseReason::WriteTimeout,
            CloseReason::HandlingTimeout,
            CloseReason::ControlsOverflow,
            CloseReason::Lagged,
            CloseReason::RateLimited,
            CloseReason::Requested,
            CloseReason::ShuttingDown,
        ];

        assert_eq!(reasons.map(|reason| reason.name()), CloseReason::NAMES);
    }
}
