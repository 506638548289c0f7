use std::{collections::BTreeMap, fmt, time::Duration};

use parking_lot::Mutex;
use switchboard_metrics::Tally;
use switchboard_protocol::engine_io::ErrorCode;
use tokio::time::Instant;
use tracing::debug;

/// Why a connection, a request or a session was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    // Of ours: the client did nothing wrong.
    Draining,
    Randomness,
    // Limits.
    BodyTimeout,
    ConnectionsMax,
    ConnectionsPerAddress,
    ConnectionsPerAddressMax,
    HandshakesPerSecondMax,
    HeadTooLarge,
    HeaderTimeout,
    HttpConnectionsMax,
    PayloadMax,
    TlsHandshake,
    UnjoinedMax,
    UpgradeTimeout,
    WriteTimeout,
    // Of the client.
    BinaryBody,
    ClientFile,
    Method,
    NotHttp,
    Origin,
    OriginMalformed,
    ProbeInvalid,
    SecondPoll,
    SecondPush,
    SecondWebSocket,
    SessionUnknown,
    TransportMismatch,
    TransportUnknown,
    VersionUnsupported,
    WebSocketHandshake,
}

impl Cause {
    const ALL: [Self; 30] = [
        Self::Draining,
        Self::Randomness,
        Self::BodyTimeout,
        Self::ConnectionsMax,
        Self::ConnectionsPerAddress,
        Self::ConnectionsPerAddressMax,
        Self::HandshakesPerSecondMax,
        Self::HeadTooLarge,
        Self::HeaderTimeout,
        Self::HttpConnectionsMax,
        Self::PayloadMax,
        Self::TlsHandshake,
        Self::UnjoinedMax,
        Self::UpgradeTimeout,
        Self::WriteTimeout,
        Self::BinaryBody,
        Self::ClientFile,
        Self::Method,
        Self::NotHttp,
        Self::Origin,
        Self::OriginMalformed,
        Self::ProbeInvalid,
        Self::SecondPoll,
        Self::SecondPush,
        Self::SecondWebSocket,
        Self::SessionUnknown,
        Self::TransportMismatch,
        Self::TransportUnknown,
        Self::VersionUnsupported,
        Self::WebSocketHandshake,
    ];

    /// The cause as one word of a log line or a metric: the name of the limit, if it is one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Randomness => "randomness",
            Self::BodyTimeout => "body_timeout",
            Self::ConnectionsMax => "connections_max",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionsPerAddressMax => "connections_per_address_max",
            Self::HandshakesPerSecondMax => "handshakes_per_second_max",
            Self::HeadTooLarge => "head_too_large",
            Self::HeaderTimeout => "header_timeout",
            Self::HttpConnectionsMax => "http_connections_max",
            Self::PayloadMax => "payload_max",
            Self::TlsHandshake => "tls_handshake",
            Self::UnjoinedMax => "unjoined_max",
            Self::UpgradeTimeout => "upgrade_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::BinaryBody => "binary_body",
            Self::ClientFile => "client_file",
            Self::Method => "method",
            Self::NotHttp => "not_http",
            Self::Origin => "origin",
            Self::OriginMalformed => "origin_malformed",
            Self::ProbeInvalid => "probe_invalid",
            Self::SecondPoll => "second_poll",
            Self::SecondPush => "second_push",
            Self::SecondWebSocket => "second_websocket",
            Self::SessionUnknown => "session_unknown",
            Self::TransportMismatch => "transport_mismatch",
            Self::TransportUnknown => "transport_unknown",
            Self::VersionUnsupported => "version_unsupported",
            Self::WebSocketHandshake => "websocket_handshake",
        }
    }

    /// What Engine.IO clients know it as.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::TransportUnknown => ErrorCode::TransportUnknown,
            Self::SessionUnknown => ErrorCode::SessionUnknown,
            Self::Method => ErrorCode::BadHandshakeMethod,
            Self::Origin => ErrorCode::Forbidden,
            Self::VersionUnsupported => ErrorCode::UnsupportedProtocolVersion,
            _ => ErrorCode::BadRequest,
        }
    }
}

/// Counts who was turned away, and says when that is worth a line in the log: whoever is turned
/// away again and again must not fill it.
#[derive(Debug)]
pub(crate) struct Refused {
    tally: Tally,
    /// By the place of the cause.
    lines: [Mutex<Line>; Cause::ALL.len()],
}

/// The lines about one cause.
#[derive(Debug, Default)]
struct Line {
    /// When there may be another.
    next: Option<Instant>,
    suppressed: u64,
}

/// Between two lines about one cause.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

impl Default for Refused {
    fn default() -> Self {
        Self {
            tally: Tally::of(Cause::ALL.map(Cause::name)),
            lines: Default::default(),
        }
    }
}

impl Refused {
    /// Counts one. If it is worth a line, tells how many before it were not.
    pub(crate) fn note(&self, cause: Cause, now: Instant) -> Option<u64> {
        self.tally.increment(cause.name());
        let mut line = self.lines[cause as usize].lock();
        if line.next.is_some_and(|next| now < next) {
            line.suppressed += 1;
            return None;
        }
        line.next = Some(now + LINE_INTERVAL);
        Some(std::mem::take(&mut line.suppressed))
    }

    /// Counts what a client did wrong, and logs it: at `debug`, because anybody can do it.
    pub(crate) fn fault(&self, client: impl fmt::Display, cause: Cause, now: Instant) {
        if let Some(suppressed) = self.note(cause, now) {
            debug!(%client, cause = cause.name(), suppressed, "request refused");
        }
    }

    /// The same of a connection that ended with what is no request. One that ended between two
    /// requests was not turned away.
    pub(crate) fn no_request(
        &self,
        client: impl fmt::Display,
        error: &hyper::Error,
        is_begun: bool,
        now: Instant,
    ) {
        let cause = if error.is_parse_too_large() {
            Cause::HeadTooLarge
        } else if error.is_parse() {
            Cause::NotHttp
        } else if error.is_timeout() && is_begun {
            Cause::HeaderTimeout
        } else {
            debug!(%client, %error, "request failed");
            return;
        };
        if let Some(suppressed) = self.note(cause, now) {
            debug!(%client, %error, cause = cause.name(), suppressed, "request refused");
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.tally.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_line_a_second_for_each_cause_and_it_tells_how_many_were_left_out() {
        let refused = Refused::default();
        let start = Instant::now();
        let note = |cause, ms| refused.note(cause, start + Duration::from_millis(ms));

        assert_eq!(note(Cause::UnjoinedMax, 0), Some(0));
        assert_eq!(note(Cause::UnjoinedMax, 10), None);
        assert_eq!(note(Cause::Origin, 20), Some(0));
        assert_eq!(note(Cause::UnjoinedMax, 999), None);
        assert_eq!(note(Cause::UnjoinedMax, 1_000), Some(2));
        assert_eq!(note(Cause::UnjoinedMax, 1_001), None);

        let counts = refused.counts();
        assert_eq!(counts["unjoined_max"], 5);
        assert_eq!(counts["origin"], 1);
        assert_eq!(counts["write_timeout"], 0);
    }
}
