//! What is counted of an outbox, and how it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_metrics::{Counter, Tally};
use tokio::time::Instant;

/// What an outbox has counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) taken: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) refused: Tally,
    state: Mutex<State>,
}

/// How an outbox is, and what it has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Rows that became events.
    pub taken: u64,
    /// Rows whose events were there already: taken before a crash, and not deleted any more.
    pub duplicates: u64,
    /// Rows that were marked with an error, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// How long the oldest row waits that can be taken.
    pub lag: Duration,
    /// Whether the table can be read, as far as is known.
    pub is_connected: bool,
}

#[derive(Debug, Default)]
struct State {
    lag: Duration,
    /// Since when the table cannot be read, and why.
    away: Option<(Instant, String)>,
    is_connected: bool,
}

/// Held by whoever takes rows: that it broke off must not look like rest.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) Arc<Stats>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("taking broke off".to_owned());
        }
    }
}

impl Stats {
    /// The table was read. Answers whether that is news.
    pub(crate) fn read(&self, lag: Duration) -> bool {
        let mut state = self.state.lock();
        let is_news = !state.is_connected;
        *state = State {
            lag,
            away: None,
            is_connected: true,
        };
        is_news
    }

    /// The table cannot be read. Answers whether that is news.
    pub(crate) fn fail(&self, reason: String) -> bool {
        let mut state = self.state.lock();
        let known = state.away.take();
        let is_news = known.as_ref().is_none_or(|(_, known)| *known != reason);
        let since = known.map_or_else(Instant::now, |(since, _)| since);
        state.away = Some((since, reason));
        state.is_connected = false;
        is_news
    }

    pub(crate) fn degraded(&self) -> Option<String> {
        let state = self.state.lock();
        let away = state.away.as_ref();
        away.map(|(_, reason)| format!("the outbox cannot be read: {reason}"))
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        // What is not seen goes on waiting.
        let since = state.away.as_ref().map(|(since, _)| since.elapsed());
        Counts {
            taken: self.taken.get(),
            duplicates: self.duplicates.get(),
            refused: self.refused.counts(),
            lag: state.lag.saturating_add(since.unwrap_or_default()),
            is_connected: state.is_connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn while_nothing_can_be_read_the_lag_grows_and_the_reason_is_told_once() {
        let stats = Stats::default();

        assert!(stats.read(Duration::from_secs(1)));
        assert!(!stats.read(Duration::from_secs(2)));
        assert!(stats.fail("away".to_owned()));
        assert!(!stats.fail("away".to_owned()));
        tokio::time::advance(Duration::from_secs(5)).await;

        assert_eq!(stats.counts().lag, Duration::from_secs(7));
        assert!(!stats.counts().is_connected);
        assert_eq!(
            stats.degraded().as_deref(),
            Some("the outbox cannot be read: away")
        );
        assert!(stats.read(Duration::ZERO));
        assert_eq!(stats.degraded(), None);
    }
}
