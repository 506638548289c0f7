//! What is counted of a bridge, and how it is.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use switchboard_metrics::{Counter, Tally};
use tracing::{info, warn};

/// What a bridge has counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) taken: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) invalid: Tally,
    pub(crate) dropped: Tally,
    pub(crate) ignored: Tally,
    pub(crate) told: Counter,
    pub(crate) untold: Tally,
    pub(crate) gaps: Counter,
    state: Mutex<State>,
}

/// What a bridge has done, and how it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Broadcasts that became events.
    pub taken: u64,
    /// Broadcasts whose events were there already, as after another node took over.
    pub duplicates: u64,
    /// Broadcasts that passed with a payload that is not what it should be, by code.
    pub invalid: BTreeMap<&'static str, u64>,
    /// Messages that became nothing, by reason: what cannot be read, what the mapping refuses, and
    /// what came faster than it could be stored.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Messages that are not for us, by what they are.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Records that were told to Node servers.
    pub told: u64,
    /// Records that were not, by reason.
    pub untold: BTreeMap<&'static str, u64>,
    /// How often it could not go on where it had stopped.
    pub gaps: u64,
    /// Whether Redis answers on all connections, as far as is known.
    pub is_connected: bool,
    /// How many connections to Redis work.
    pub connections: usize,
    /// How many mappings this node works for.
    pub held: usize,
}

#[derive(Debug, Default)]
struct State {
    /// What cannot be reached, and why.
    away: BTreeMap<String, String>,
    works: BTreeSet<String>,
    held: BTreeSet<String>,
}

impl Stats {
    /// A connection of that name is to be made.
    pub(crate) fn begin(&self, name: &str) {
        let mut state = self.state.lock();
        let reason = || "not connected yet".to_owned();
        state.away.entry(name.to_owned()).or_insert_with(reason);
    }

    /// It works.
    pub(crate) fn connect(&self, name: &str) {
        let mut state = self.state.lock();
        state.away.remove(name);
        let is_news = state.works.insert(name.to_owned());
        drop(state);
        if is_news {
            info!(bridge = name, "redis answers the bridge");
        }
    }

    /// It is not needed any more, because another node works.
    pub(crate) fn rest(&self, name: &str) {
        let mut state = self.state.lock();
        state.away.remove(name);
        state.works.remove(name);
    }

    /// It does not.
    pub(crate) fn fail(&self, name: &str, reason: &str) {
        let mut state = self.state.lock();
        let known = state.away.insert(name.to_owned(), reason.to_owned());
        state.works.remove(name);
        drop(state);
        if known.is_none_or(|known| known != reason) {
            warn!(bridge = name, reason, "redis does not answer the bridge");
        }
    }

    /// Whether this node works for a mapping.
    pub(crate) fn hold(&self, name: &str, is_held: bool) {
        let mut state = self.state.lock();
        let is_news = if is_held {
            state.held.insert(name.to_owned())
        } else {
            state.held.remove(name)
        };
        drop(state);
        if is_news {
            info!(bridge = name, is_held, "the bridge changed hands");
        }
    }

    pub(crate) fn degraded(&self) -> Option<String> {
        let state = self.state.lock();
        let (_, reason) = state.away.first_key_value()?;
        Some(format!("the bridge is cut off: {reason}"))
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            taken: self.taken.get(),
            duplicates: self.duplicates.get(),
            invalid: self.invalid.counts(),
            dropped: self.dropped.counts(),
            ignored: self.ignored.counts(),
            told: self.told.get(),
            untold: self.untold.counts(),
            gaps: self.gaps.get(),
            is_connected: state.away.is_empty(),
            connections: state.works.len(),
            held: state.held.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_that_is_away_is_told_until_it_is_back() {
        let stats = Stats::default();

        stats.begin("a");
        stats.fail("a", "refused");
        stats.connect("b");
        assert_eq!(
            (stats.counts().is_connected, stats.counts().connections),
            (false, 1)
        );
        assert_eq!(
            stats.degraded().as_deref(),
            Some("the bridge is cut off: refused")
        );

        stats.connect("a");
        assert_eq!(
            (stats.degraded(), stats.counts().is_connected),
            (None, true)
        );
    }
}
