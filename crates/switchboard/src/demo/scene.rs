//! What the actors share.

use std::time::Duration;

use serde_json::Value;
use switchboard_event::Timestamp;

use super::chance::Chance;

/// The stage: its clock, its dice, and which accounts are connected.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) now: Timestamp,
    pub(super) chance: Chance,
    pub(super) is_connected: [bool; 2],
    /// Makes ids differ between two runs that share a journal.
    run: u32,
    ids: u64,
}

/// What an actor does when it is its turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Events, by name and payload.
    pub(super) events: Vec<(&'static str, Value)>,
    /// When it is its turn again.
    pub(super) wait: Duration,
}

impl Scene {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let mut chance = Chance::new(seed);
        let run = u32::try_from(chance.below(1 << 32)).unwrap_or_default();
        Self {
            now,
            chance,
            is_connected: [false; 2],
            run,
            ids: 0,
        }
    }

    /// An id that this run has not given yet.
    pub(super) fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{:08x}-{}", self.run, self.ids)
    }

    /// The time, as payloads have it.
    pub(super) fn time(&self) -> String {
        self.now.to_string()
    }

    /// The time in a while.
    pub(super) fn time_in(&self, wait: Duration) -> String {
        self.now.checked_add(wait).unwrap_or(self.now).to_string()
    }
}

impl Turn {
    /// Does nothing but wait.
    pub(super) fn wait(wait: Duration) -> Self {
        Self {
            events: Vec::new(),
            wait,
        }
    }

    /// One event, then a wait.
    pub(super) fn say(event: &'static str, payload: Value, wait: Duration) -> Self {
        Self {
            events: vec![(event, payload)],
            wait,
        }
    }

    /// One more event at the same moment.
    pub(super) fn and(mut self, event: &'static str, payload: Value) -> Self {
        self.events.push((event, payload));
        self
    }
}
