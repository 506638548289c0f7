//! What the writer tells of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use switchboard_metrics::{Counter, Histogram};

use crate::Stats;
use crate::disk::ledger::Ledger;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) appended: Counter,
    pub(super) commits: Histogram,
    bytes: AtomicU64,
    sessions: AtomicU64,
}

impl Counters {
    /// Takes note of what is stored now.
    pub(super) fn note(&self, ledger: &Ledger) {
        self.bytes.store(ledger.bytes, Relaxed);
        self.sessions.store(ledger.sessions, Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            appended: self.appended.get(),
            bytes: self.bytes.load(Relaxed),
            sessions: self.sessions.load(Relaxed),
            reads: BTreeMap::new(),
            records_read: 0,
            commits: self.commits.snapshot(),
        }
    }
}
