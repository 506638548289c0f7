//! Counters of what came in. Every label is one of a set that the code fixes.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use switchboard_metrics::{Counter, Histogram, HistogramSnapshot, Tally};

use crate::in_flight::InFlightCounts;
use crate::outcome::Published;
use crate::problem::Problem;
use crate::source::Ignored;

/// What the producers' side has taken and refused since it started.
#[derive(Debug)]
pub struct IngestStats {
    accepted: Counter,
    duplicate: Counter,
    fleeting: Counter,
    requests: Tally,
    refused: Tally,
    webhook_accepted: Counter,
    webhook_ignored: Tally,
    webhook_refused: Counter,
    appends: Histogram,
}

/// The counters at one time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IngestCounts {
    /// Events that became records.
    pub accepted: u64,
    /// Events that already were records.
    pub duplicate: u64,
    /// Events that were passed on for a moment, and made no record.
    pub fleeting: u64,
    /// Events and requests that were refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests to `/v1/events`, by what they were answered: `accepted`, `partial` (some of an
    /// array), `none` of an array, or the code of the problem.
    pub requests: BTreeMap<&'static str, u64>,
    /// What is being appended now.
    pub in_flight: InFlightCounts,
    /// Appends that were refused because too much was being appended, by the setting that says how
    /// much may be.
    pub overloaded: BTreeMap<&'static str, u64>,
    /// Requests and events beyond what comes by one API key in a time, by the setting that says how
    /// much.
    pub limited: BTreeMap<&'static str, u64>,
    /// Webhook bodies that were answered with 200.
    pub webhook_accepted: u64,
    /// Parts of webhook bodies that made no event, by reason.
    pub webhook_ignored: BTreeMap<&'static str, u64>,
    /// Webhook requests that were answered with anything but 200.
    pub webhook_refused: u64,
    /// How long the journal took to answer an append, whatever the answer.
    pub appends: HistogramSnapshot,
}

impl IngestStats {
    /// What has been counted so far.
    pub fn counts(&self) -> IngestCounts {
        IngestCounts {
            accepted: self.accepted.get(),
            duplicate: self.duplicate.get(),
            fleeting: self.fleeting.get(),
            refused: self.refused.counts(),
            requests: self.requests.counts(),
            limited: BTreeMap::new(),
            in_flight: InFlightCounts::default(),
            overloaded: BTreeMap::new(),
            webhook_accepted: self.webhook_accepted.get(),
            webhook_ignored: self.webhook_ignored.counts(),
            webhook_refused: self.webhook_refused.get(),
            appends: self.appends.snapshot(),
        }
    }

    pub(crate) fn take(&self, published: &Published) {
        match published.position {
            Some(_) => self.accept(published.duplicate),
            None => self.fleeting.increment(),
        }
    }

    pub(crate) fn accept(&self, duplicate: bool) {
        let counter = if duplicate {
            &self.duplicate
        } else {
            &self.accepted
        };
        counter.increment();
    }

    pub(crate) fn refuse(&self, code: &'static str) {
        self.refused.increment(code);
    }

    /// A request to `/v1/events` was answered.
    pub(crate) fn answer(&self, answer: Result<StatusCode, &Problem>) {
        self.requests.increment(match answer {
            Ok(StatusCode::ACCEPTED) => ACCEPTED,
            Ok(StatusCode::MULTI_STATUS) => PARTIAL,
            Ok(_) => NONE,
            Err(problem) => problem.code(),
        });
    }

    pub(crate) fn accept_webhook(&self, ignored: &BTreeMap<Ignored, u64>) {
        self.webhook_accepted.increment();
        for (reason, count) in ignored {
            self.webhook_ignored.add(reason.as_str(), *count);
        }
    }

    /// How much came for accounts that nobody registered.
    pub(crate) fn unknown_accounts(&self) -> u64 {
        let ignored = self.webhook_ignored.counts();
        let unknown = ignored.get(Ignored::UnknownAccount.as_str());
        unknown.copied().unwrap_or_default()
    }

    pub(crate) fn refuse_webhook(&self) {
        self.webhook_refused.increment();
    }

    pub(crate) fn append(&self, took: Duration) {
        self.appends.observe(took);
    }
}

impl Default for IngestStats {
    fn default() -> Self {
        Self {
            accepted: Counter::new(),
            duplicate: Counter::new(),
            fleeting: Counter::new(),
            requests: Tally::of([ACCEPTED, PARTIAL, NONE, "unauthorized", "unavailable"]),
            refused: Tally::default(),
            webhook_accepted: Counter::new(),
            webhook_ignored: Tally::of(Ignored::ALL.map(Ignored::as_str)),
            webhook_refused: Counter::new(),
            appends: Histogram::default(),
        }
    }
}

const ACCEPTED: &str = "accepted";
const PARTIAL: &str = "partial";
const NONE: &str = "none";
