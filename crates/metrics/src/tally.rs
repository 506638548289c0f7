use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::Counter;

/// Counters by name, for names that the code fixes: reasons, codes, results.
///
/// However many names come, at most [`NAMES_MAX`](Self::NAMES_MAX) are told apart; what is beyond
/// counts as [`OTHER`](Self::OTHER). Counting is a search among few names and takes no lock.
#[derive(Debug)]
pub struct Tally {
    slots: Box<[Slot]>,
    other: Counter,
}

#[derive(Debug, Default)]
struct Slot {
    name: OnceLock<&'static str>,
    count: Counter,
}

impl Tally {
    /// The most names that are told apart.
    pub const NAMES_MAX: usize = 64;
    /// The name of all names beyond that.
    pub const OTHER: &'static str = "other";

    /// A tally that tells these names also while they are at 0, so that their first time shows
    /// as a change.
    pub fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        let tally = Self::default();
        for name in names {
            tally.add(name, 0);
        }
        tally
    }

    /// `name` happened once more.
    pub fn increment(&self, name: &'static str) {
        self.add(name, 1);
    }

    /// `name` happened so many times more.
    pub fn add(&self, name: &'static str, more: u64) {
        let slot = self
            .slots
            .iter()
            .find(|slot| *slot.name.get_or_init(|| name) == name);
        slot.map_or(&self.other, |slot| &slot.count).add(more);
    }

    /// Every name so far, with its count.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let named = self
            .slots
            .iter()
            .filter_map(|slot| Some((*slot.name.get()?, slot.count.get())));
        let other = Some((Self::OTHER, self.other.get())).filter(|(_, count)| *count > 0);
        named.chain(other).collect()
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            slots: (0..Self::NAMES_MAX).map(|_| Slot::default()).collect(),
            other: Counter::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn names_count_apart_and_those_told_beforehand_are_there_at_zero() {
        let tally = Tally::of(["taken", "refused"]);

        tally.increment("taken");
        tally.add("late", 3);

        let counts = [("taken", 1), ("refused", 0), ("late", 3)];
        assert_eq!(tally.counts(), counts.into());
    }

    #[test]
    fn names_beyond_the_limit_count_together() {
        let tally = Tally::default();
        let names: Vec<&'static str> = (0..Tally::NAMES_MAX + 10)
            .map(|number| &*format!("name-{number}").leak())
            .collect();

        for name in &names {
            tally.increment(name);
        }

        let counts = tally.counts();
        assert_eq!(counts.len(), Tally::NAMES_MAX + 1);
        assert_eq!(counts[Tally::OTHER], 10);
    }

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let tally = Tally::default();

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        tally.increment("left");
                        tally.increment("right");
                    }
                });
            }
        });

        assert_eq!(tally.counts(), [("left", 4_000), ("right", 4_000)].into());
    }
}
