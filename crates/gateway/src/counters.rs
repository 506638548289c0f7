//! What the clients' side counts.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_event::Payload;
use switchboard_event::payload::{ContactTyping, PresenceUpdate, PresenceViewing, TypingIndicator};
use switchboard_metrics::{Counter, Histogram, HistogramSnapshot, Tally};

use crate::receipts::Acknowledged;
use crate::reply::Refused;
use crate::unauthorized::Unauthorized;

/// Counts of all clients together. Each label is a word of this crate.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) falls: Counter,
    pub(crate) lost: Counter,
    fleeting: Tally,
    pub(crate) receipts_truncated: Counter,
    receipt_acks: Tally,
    records: Counter,
    deliveries: Tally,
    recoveries: Tally,
    subscriptions: Tally,
    unauthorized: Tally,
    ends: Tally,
    refreshes: Tally,
    fan_out: Histogram,
    lag: Histogram,
}

/// What the clients' side has done since it was made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records that were fanned out.
    pub records: u64,
    /// Records that were handed to clients, by path: `live`, `missed` (read for a client that came
    /// back or fell behind), `replayed` (what a room said before a subscription), `fleeting` (no
    /// records: what is so for a moment).
    pub deliveries: BTreeMap<&'static str, u64>,
    /// How often a client fell behind.
    pub falls: u64,
    /// What was told that is so for a moment, by event.
    pub fleeting: BTreeMap<&'static str, u64>,
    /// What was said for a moment and not heard, because too much was said at once.
    pub fleeting_lost: u64,
    /// Clients that were let in, or not, by how they went on: `new` (did not ask to go on),
    /// `recovered`, `unknown` (nothing is kept of the session), `history_lost` (retention took what
    /// it missed), `refused` (told to try again).
    pub recoveries: BTreeMap<&'static str, u64>,
    /// Answers of clients to events whose producers want a receipt: `counted`, `claimed` (by
    /// somebody whom this node did not send it: it counts if another one did), or `ignored` because
    /// they are late, repeated or made up.
    pub receipt_acks: BTreeMap<&'static str, u64>,
    /// How often this node had no space for all whom an event with a receipt was sent to.
    pub receipts_truncated: u64,
    /// Subscriptions by `ok` or the code of the refusal.
    pub subscriptions: BTreeMap<&'static str, u64>,
    /// Events and connections beyond what a user may do, by the setting that says how much; as
    /// `refusals` the connections that were closed for going on.
    pub limited: BTreeMap<&'static str, u64>,
    /// Clients that were not let in, by code.
    pub unauthorized: BTreeMap<&'static str, u64>,
    /// Sessions whose connection was closed because a right ended, by reason: `token_expired`,
    /// `revoked`, `disconnected`.
    pub ends: BTreeMap<&'static str, u64>,
    /// Tokens that were renewed on a live connection, by `ok` or the code of the refusal.
    pub refreshes: BTreeMap<&'static str, u64>,
    /// How long it took to hand one record to all who hear it.
    pub fan_out: HistogramSnapshot,
    /// How long after its acceptance a record was handed to those who hear it.
    pub lag: HistogramSnapshot,
}

/// How records reach a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    Live,
    Missed,
    Replayed,
    Fleeting,
}

/// How a client that was authenticated went on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Continuation {
    New,
    Recovered,
    Unknown,
    HistoryLost,
    Refused,
}

/// Why a session was ended that its client had not left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionEnd {
    TokenExpired,
    Revoked,
    Disconnected,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            falls: Counter::new(),
            lost: Counter::new(),
            fleeting: Tally::of([
                TypingIndicator::EVENT,
                ContactTyping::EVENT,
                PresenceViewing::EVENT,
                PresenceUpdate::EVENT,
            ]),
            receipts_truncated: Counter::new(),
            receipt_acks: Tally::of(Acknowledged::ALL.map(Acknowledged::name)),
            records: Counter::new(),
            deliveries: Tally::of(Path::ALL.map(Path::name)),
            recoveries: Tally::of(Continuation::ALL.map(Continuation::name)),
            subscriptions: Tally::of([OK, "forbidden"]),
            unauthorized: Tally::of(["unauthorized", "token_expired", "unavailable"]),
            ends: Tally::of(SessionEnd::ALL.map(SessionEnd::name)),
            refreshes: Tally::of([OK, "unauthorized", "token_expired"]),
            fan_out: Histogram::default(),
            lag: Histogram::default(),
        }
    }
}

impl Counters {
    /// A record was handed to so many recipients.
    pub(crate) fn fan_out(&self, recipients: usize, took: Duration, lag: Duration) {
        self.records.increment();
        self.deliver(Path::Live, recipients);
        self.fan_out.observe(took);
        self.lag.observe(lag);
    }

    /// Something that is so for a moment was told to so many recipients.
    pub(crate) fn tell(&self, event: &'static str, recipients: usize) {
        self.fleeting.increment(event);
        self.deliver(Path::Fleeting, recipients);
    }

    pub(crate) fn deliver(&self, path: Path, count: usize) {
        self.deliveries.add(path.name(), count as u64);
    }

    pub(crate) fn go_on(&self, continuation: Continuation) {
        self.recoveries.increment(continuation.name());
    }

    pub(crate) fn subscribe(&self, outcome: Result<(), &Refused>) {
        let code = outcome.err().map_or(OK, Refused::code);
        self.subscriptions.increment(code);
    }

    pub(crate) fn end(&self, reason: SessionEnd) {
        self.ends.increment(reason.name());
    }

    pub(crate) fn refresh(&self, outcome: Result<(), &Refused>) {
        let code = outcome.err().map_or(OK, Refused::code);
        self.refreshes.increment(code);
    }

    pub(crate) fn acknowledge(&self, outcome: Acknowledged) {
        self.receipt_acks.increment(outcome.name());
    }

    pub(crate) fn refuse(&self, reason: &Unauthorized) {
        self.unauthorized.increment(reason.code());
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.records.get(),
            deliveries: self.deliveries.counts(),
            falls: self.falls.get(),
            fleeting: self.fleeting.counts(),
            fleeting_lost: self.lost.get(),
            receipt_acks: self.receipt_acks.counts(),
            receipts_truncated: self.receipts_truncated.get(),
            recoveries: self.recoveries.counts(),
            subscriptions: self.subscriptions.counts(),
            unauthorized: self.unauthorized.counts(),
            limited: BTreeMap::new(),
            ends: self.ends.counts(),
            refreshes: self.refreshes.counts(),
            fan_out: self.fan_out.snapshot(),
            lag: self.lag.snapshot(),
        }
    }
}

impl Path {
    const ALL: [Self; 4] = [Self::Live, Self::Missed, Self::Replayed, Self::Fleeting];

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Missed => "missed",
            Self::Replayed => "replayed",
            Self::Fleeting => "fleeting",
        }
    }
}

impl Continuation {
    const ALL: [Self; 5] = [
        Self::New,
        Self::Recovered,
        Self::Unknown,
        Self::HistoryLost,
        Self::Refused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
            Self::HistoryLost => "history_lost",
            Self::Refused => "refused",
        }
    }
}

impl SessionEnd {
    const ALL: [Self; 3] = [Self::TokenExpired, Self::Revoked, Self::Disconnected];

    /// What the client is told, as `reason`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Disconnected => "disconnected",
        }
    }
}

/// The code of a subscription that was taken, or of a token.
const OK: &str = "ok";
