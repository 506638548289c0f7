use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use switchboard_metrics::Tally;
use tokio::time::Instant;

/// Why a connection, a request or a session was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    Draining,
    Origin,
    ConnectionsMax,
    ConnectionsPerAddress,
    ConnectionsPerAddressMax,
    HandshakesPerSecondMax,
    HttpConnectionsMax,
    TlsHandshake,
    UnjoinedMax,
    WriteTimeout,
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::Draining,
        Self::Origin,
        Self::ConnectionsMax,
        Self::ConnectionsPerAddress,
        Self::ConnectionsPerAddressMax,
        Self::HandshakesPerSecondMax,
        Self::HttpConnectionsMax,
        Self::TlsHandshake,
        Self::UnjoinedMax,
        Self::WriteTimeout,
    ];

    /// The cause as one word of a log line or a metric: the name of the limit, if it is one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Origin => "origin",
            Self::ConnectionsMax => "connections_max",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionsPerAddressMax => "connections_per_address_max",
            Self::HandshakesPerSecondMax => "handshakes_per_second_max",
            Self::HttpConnectionsMax => "http_connections_max",
            Self::TlsHandshake => "tls_handshake",
            Self::UnjoinedMax => "unjoined_max",
            Self::WriteTimeout => "write_timeout",
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
