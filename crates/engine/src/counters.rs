use std::{collections::BTreeMap, sync::Arc};

use switchboard_metrics::{Counter, Tally};

use crate::{CloseReason, refused::Cause};

/// What an engine counts: of all its connections together, so that an idle one costs nothing.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Arc<Counter>,
    pub(crate) connections_refused: Counter,
    handshakes: Tally,
    closes: Tally,
}

/// What an engine has done since it was made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Bytes that came from clients: WebSocket frames, and bodies of requests.
    pub bytes_in: u64,
    /// Bytes that went to clients: WebSocket frames, and bodies of answers.
    pub bytes_out: u64,
    /// Requests to open a session, by what became of them: `accepted`, `malformed`, `forbidden`
    /// (the origin), `limited` (of one client), `unavailable` (full or going down).
    pub handshakes: BTreeMap<&'static str, u64>,
    /// Sessions that ended, by [`CloseReason::name`].
    pub closes: BTreeMap<&'static str, u64>,
    /// TCP connections that were closed at once, because there were too many.
    pub connections_refused: u64,
    /// Connections, requests and sessions that were turned away, by cause: the name of the limit,
    /// or what was wrong.
    pub refused: BTreeMap<&'static str, u64>,
}

/// What is queued in all outboxes together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Queued {
    /// Events that are not written yet.
    pub packets: usize,
    /// What they take on the wire.
    pub bytes: usize,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            bytes_in: Counter::new(),
            bytes_out: Arc::default(),
            connections_refused: Counter::new(),
            handshakes: Tally::of([ACCEPTED, MALFORMED, FORBIDDEN, LIMITED, UNAVAILABLE]),
            closes: Tally::of(CloseReason::NAMES),
        }
    }
}

impl Counters {
    /// Counts a request to open a session, by why it did not if it did not.
    pub(crate) fn shake_hands(&self, outcome: Result<(), Cause>) {
        self.handshakes.increment(match outcome {
            Ok(()) => ACCEPTED,
            Err(Cause::Origin) => FORBIDDEN,
            Err(Cause::ConnectionsPerAddress | Cause::ConnectionsPerAddressMax) => LIMITED,
            Err(
                Cause::ConnectionsMax
                | Cause::Draining
                | Cause::HandshakesPerSecondMax
                | Cause::Randomness
                | Cause::UnjoinedMax,
            ) => UNAVAILABLE,
            Err(_) => MALFORMED,
        });
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.closes.increment(reason.name());
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            handshakes: self.handshakes.counts(),
            closes: self.closes.counts(),
            connections_refused: self.connections_refused.get(),
            refused: BTreeMap::new(),
        }
    }
}

const ACCEPTED: &str = "accepted";
const MALFORMED: &str = "malformed";
const FORBIDDEN: &str = "forbidden";
const LIMITED: &str = "limited";
const UNAVAILABLE: &str = "unavailable";
