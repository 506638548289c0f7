//! Who got what, and when the last one did.

use std::time::Instant;

/// Counts the deliveries of the messages that are under way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    first: u64,
    expected: u32,
    counts: Vec<u32>,
    incomplete: usize,
    last_at: Option<Instant>,
    surplus: u64,
}

impl Tally {
    /// Expects each of `count` messages, numbered from `first`, at `expected` sockets.
    pub(crate) fn expect(&mut self, first: u64, count: u64, expected: usize) {
        self.first = first;
        self.expected = u32::try_from(expected).unwrap_or(u32::MAX);
        self.counts.clear();
        self.counts.resize(usize::try_from(count).unwrap_or(0), 0);
        self.incomplete = self.counts.len();
        self.last_at = None;
    }

    /// One socket got one message.
    pub(crate) fn count(&mut self, number: u64, now: Instant) {
        let count = number
            .checked_sub(self.first)
            .and_then(|index| self.counts.get_mut(usize::try_from(index).ok()?));
        match count {
            Some(count) if *count < self.expected => {
                *count += 1;
                if *count == self.expected {
                    self.incomplete -= 1;
                }
                self.last_at = Some(now);
            }
            _ => self.surplus += 1,
        }
    }

    /// Whether every expected socket has every expected message.
    pub(crate) fn is_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// When the latest of the expected deliveries came.
    pub(crate) fn last_at(&self) -> Option<Instant> {
        self.last_at
    }

    /// How many of the expected deliveries came.
    pub(crate) fn delivered(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// Deliveries that nobody expected: messages that came twice, or to the wrong socket.
    pub(crate) fn surplus(&self) -> u64 {
        self.surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_when_all_sockets_have_all_messages_and_counts_what_is_too_much() {
        let mut tally = Tally::default();
        let now = Instant::now();

        tally.expect(10, 2, 2);
        for number in [10, 10, 11] {
            tally.count(number, now);
        }
        assert!(!tally.is_complete());
        for number in [11, 11, 9] {
            tally.count(number, now);
        }

        assert!(tally.is_complete());
        assert_eq!((tally.delivered(), tally.surplus()), (4, 2));
    }
}
