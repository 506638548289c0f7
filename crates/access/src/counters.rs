//! What is counted of questions.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_metrics::{Histogram, HistogramSnapshot, Tally};

use crate::source::AskError;

/// Counts of all questions together. Each label is a word of this crate.
#[derive(Debug)]
pub(crate) struct Counters {
    decisions: Tally,
    questions: Tally,
    took: Histogram,
}

/// What has been decided since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Decisions by how they were come by: `cached`, `joined` (a question that was under way),
    /// `asked`, `refused` (the source is down, or had
    /// no answer to this question a moment ago), `busy` (too many questions are under way).
    pub decisions: BTreeMap<&'static str, u64>,
    /// Questions by what came of them: `allowed`, `denied`, `busy` (there was no turn
    /// in time), `timeout`, `unreachable`, `unanswered` (this one only), `invalid`.
    pub questions: BTreeMap<&'static str, u64>,
    /// How long answers took.
    pub took: HistogramSnapshot,
    /// Answers that are kept.
    pub cached: usize,
    /// Questions that are under way.
    pub in_flight: usize,
}

/// How a decision was come by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Cached,
    Joined,
    Asked,
    Refused,
    Busy,
}

impl Default for Counters {
    fn default() -> Self {
        let all = [By::Cached, By::Joined, By::Asked, By::Refused, By::Busy];
        let questions = [
            "allowed",
            "denied",
            "busy",
            "timeout",
            "unreachable",
            "unanswered",
            "invalid",
        ];
        Self {
            decisions: Tally::of(all.map(By::name)),
            questions: Tally::of(questions),
            took: Histogram::default(),
        }
    }
}

impl Counters {
    pub(crate) fn decide(&self, by: By) {
        self.decisions.increment(by.name());
    }

    pub(crate) fn answered(&self, is_allowed: bool, took: Duration) {
        let name = if is_allowed { "allowed" } else { "denied" };
        self.questions.increment(name);
        self.took.observe(took);
    }

    /// Counts a question that was not put.
    pub(crate) fn unasked(&self, error: &AskError) {
        self.questions.increment(error.name());
    }

    pub(crate) fn failed(&self, error: &AskError, took: Duration) {
        self.questions.increment(error.name());
        self.took.observe(took);
    }

    pub(crate) fn counts(&self, cached: usize, in_flight: usize) -> Counts {
        Counts {
            decisions: self.decisions.counts(),
            questions: self.questions.counts(),
            took: self.took.snapshot(),
            cached,
            in_flight,
        }
    }
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Joined => "joined",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}
