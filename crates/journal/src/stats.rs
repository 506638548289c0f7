use std::collections::BTreeMap;

use switchboard_metrics::HistogramSnapshot;

/// What a journal has done since it was opened, and what it holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Records that were appended; an event that was one already is not among them.
    pub appended: u64,
    /// What the records that are kept take up, as the retention counts them.
    pub bytes: u64,
    /// Sessions that clients may come back to.
    pub sessions: u64,
    /// Reads of the storage, by what was read: `page` (records of rooms), `recent` (the newest records,
    /// to have them in memory), `tail`, `values`, `receipts`, `leases`. What memory answers is not among them.
    pub reads: BTreeMap<&'static str, u64>,
    /// Records that these brought.
    pub records_read: u64,
    /// How long it took to make each group of appends durable. Empty where nothing is.
    pub commits: HistogramSnapshot,
}
