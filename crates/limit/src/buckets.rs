use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Key, Rate};

/// Token buckets of one [`Rate`] for whoever is active.
///
/// A bucket is one number, the time at which it is full again; a full one is the same as none, so
/// whoever is quiet costs nothing. A table holds at most [`KEYS_MAX`](Self::KEYS_MAX) buckets: one
/// more takes the place of one that is nearly full, which loses least by it.
pub struct Buckets {
    /// What one costs, in nanoseconds; 0 if nothing is limited.
    interval: AtomicU64,
    /// How much an empty bucket lacks, in nanoseconds.
    burst: AtomicU64,
    start: Instant,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    /// When each bucket is full again, in nanoseconds since the start.
    full_at: HashMap<Key, u64>,
    sweep_at: u64,
}

/// It is too early; after this time there is room for what was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wait(pub Duration);

impl Wait {
    /// In whole milliseconds, of which 0 would be an invitation.
    pub fn millis(self) -> u64 {
        let millis = self.0.as_nanos().div_ceil(1_000_000).max(1);
        u64::try_from(millis).unwrap_or(u64::MAX)
    }
}

impl Buckets {
    /// The most buckets of one table. Each takes some 20 bytes.
    pub const KEYS_MAX: usize = 1 << 16;

    /// Full buckets. `start` is any time before the first call.
    pub fn new(rate: Rate, start: Instant) -> Self {
        let buckets = Self {
            interval: AtomicU64::new(0),
            burst: AtomicU64::new(0),
            start,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        };
        buckets.set(rate);
        buckets
    }

    /// Holds everybody to `rate` from now on, with a full bucket if it is another one: what was
    /// taken from a slow one would be a long time of a fast one.
    pub fn set(&self, rate: Rate) {
        let interval = rate.interval().map_or(0, nanos);
        let burst = interval.saturating_mul(rate.burst().into());
        let before = (
            self.interval.swap(interval, Ordering::Relaxed),
            self.burst.swap(burst, Ordering::Relaxed),
        );
        if before != (interval, burst) {
            for shard in &self.shards {
                *shard.lock() = Shard::default();
            }
        }
    }

    /// Lets `count` of `key` pass, or none of them and tells how long to wait. What is more than a
    /// burst passes with a full bucket, and empties it.
    pub fn pass(&self, key: Key, count: u32, now: Instant) -> Result<(), Wait> {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == 0 {
            return Ok(());
        }
        let burst = self.burst.load(Ordering::Relaxed);
        let cost = interval.saturating_mul(count.into()).min(burst);
        let now = nanos(now.saturating_duration_since(self.start));
        let mut shard = self.shards[key.shard(SHARDS)].lock();
        let full_at = shard.full_at.get(&key).map_or(now, |at| now.max(*at));
        let next = full_at.saturating_add(cost);
        match (next - now).checked_sub(burst) {
            None | Some(0) => {
                shard.put(key, next, now);
                Ok(())
            }
            Some(wait) => Err(Wait(Duration::from_nanos(wait))),
        }
    }

    /// Whether one of `key` would pass, or how long to wait. Takes nothing.
    pub fn peek(&self, key: Key, now: Instant) -> Result<(), Wait> {
        let interval = self.interval.load(Ordering::Relaxed);
        let burst = self.burst.load(Ordering::Relaxed);
        let now = nanos(now.saturating_duration_since(self.start));
        let shard = self.shards[key.shard(SHARDS)].lock();
        let full_at = shard.full_at.get(&key).map_or(now, |at| now.max(*at));
        let next = full_at.saturating_add(interval);
        match (next - now).checked_sub(burst) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Wait(Duration::from_nanos(wait))),
        }
    }

    /// How many buckets are kept now.
    pub fn kept(&self) -> usize {
        let kept = self.shards.iter().map(|shard| shard.lock().full_at.len());
        kept.sum()
    }
}

impl Shard {
    fn put(&mut self, key: Key, full_at: u64, now: u64) {
        if now >= self.sweep_at {
            self.full_at.retain(|_, at| *at > now);
            let kept = self.full_at.len();
            self.full_at.shrink_to(2 * kept);
            self.sweep_at = now.saturating_add(SWEEP_INTERVAL_NANOS);
        }
        if self.full_at.len() >= Buckets::KEYS_MAX / SHARDS && !self.full_at.contains_key(&key) {
            let sample = self.full_at.iter().take(SAMPLE);
            if let Some((fullest, _)) = sample.min_by_key(|(_, at)| **at) {
                let fullest = *fullest;
                self.full_at.remove(&fullest);
            }
        }
        self.full_at.insert(key, full_at);
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets")
            .field("interval", &self.interval)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Parts of a table, each with a lock of its own.
const SHARDS: usize = 16;
/// How often the full ones of a part are taken out.
const SWEEP_INTERVAL_NANOS: u64 = 10_000_000_000;
/// Among how many the fullest one gives way. Looking at all would be the work that is to be limited.
const SAMPLE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keys;

    #[test]
    fn a_burst_passes_and_then_as_many_as_come_in_time() {
        let bench = Bench::new("10/s burst 20");

        assert_eq!(bench.passed("a", 0), 20);
        assert_eq!(bench.pass("a", 1, 0), Err(Wait(Duration::from_millis(100))));
        assert_eq!(bench.passed("a", 99), 0);
        assert_eq!(bench.passed("a", 100), 1);
        assert_eq!(bench.passed("a", 600), 5);
        assert_eq!(bench.passed("a", 60_000), 20);
    }

    #[test]
    fn one_that_empties_its_bucket_takes_nothing_from_another() {
        let bench = Bench::new("10/s");

        assert_eq!(bench.passed("a", 0), 10);
        assert_eq!(bench.passed("b", 0), 10);
    }

    #[test]
    fn several_pass_together_or_not_at_all() {
        let bench = Bench::new("10/s burst 10");

        assert_eq!(bench.pass("a", 8, 0), Ok(()));
        assert_eq!(bench.pass("a", 4, 0), Err(Wait(Duration::from_millis(200))));
        assert_eq!(bench.pass("a", 2, 0), Ok(()));
    }

    #[test]
    fn more_than_a_burst_passes_with_a_full_bucket_and_empties_it() {
        let bench = Bench::new("10/s burst 10");

        assert_eq!(bench.pass("a", 1_000, 0), Ok(()));
        assert_eq!(bench.pass("a", 1, 0), Err(Wait(Duration::from_millis(100))));
        assert_eq!(
            bench.pass("a", 1_000, 500),
            Err(Wait(Duration::from_millis(500)))
        );
        assert_eq!(bench.pass("a", 1_000, 1_000), Ok(()));
    }

    #[test]
    fn off_is_no_limit_and_keeps_nothing() {
        let bench = Bench::new("off");

        assert_eq!(bench.passed("a", 0), 1_000);
        assert_eq!(bench.buckets.kept(), 0);
    }

    #[test]
    fn another_rate_is_in_force_at_once() {
        let bench = Bench::new("1/h burst 1");
        assert_eq!(bench.passed("a", 0), 1);

        bench.buckets.set("10/s".parse().unwrap());
        assert_eq!(bench.passed("a", 0), 10);
        bench.buckets.set("10/s".parse().unwrap());
        assert_eq!(bench.passed("a", 0), 0);
        bench.buckets.set(Rate::OFF);
        assert_eq!(bench.passed("a", 0), 1_000);
    }

    #[test]
    fn whoever_is_quiet_is_not_kept() {
        let bench = Bench::new("10/s burst 10");
        for key in 0..10_000 {
            assert_eq!(bench.pass(key, 1, 0), Ok(()));
        }
        assert_eq!(bench.buckets.kept(), 10_000);

        for key in 0..1_000 {
            assert_eq!(bench.pass(key, 1, 20_000), Ok(()));
        }

        assert_eq!(bench.buckets.kept(), 1_000);
    }

    #[test]
    fn a_table_does_not_grow_beyond_its_limit_and_the_empty_buckets_stay() {
        let bench = Bench::new("1/s burst 100");
        assert_eq!(bench.pass("flood", 100, 0), Ok(()));

        for key in 0..4 * Buckets::KEYS_MAX {
            assert_eq!(bench.pass(key, 1, 0), Ok(()));
        }

        assert!(bench.buckets.kept() <= Buckets::KEYS_MAX);
        assert!(bench.pass("flood", 1, 0).is_err());
    }

    #[test]
    fn a_look_takes_nothing_and_says_what_would_be() {
        let bench = Bench::new("1/s burst 2");
        let look = || {
            let key = bench.keys.of("a");
            bench.buckets.peek(key, bench.start)
        };

        for _ in 0..5 {
            assert_eq!(look(), Ok(()));
        }
        assert_eq!(bench.pass("a", 2, 0), Ok(()));
        assert_eq!(look(), Err(Wait(Duration::from_secs(1))));
        bench.buckets.set(Rate::OFF);
        assert_eq!(look(), Ok(()));
    }

    #[test]
    fn a_wait_is_told_in_milliseconds_that_are_enough() {
        assert_eq!(Wait(Duration::from_micros(1_001)).millis(), 2);
        assert_eq!(Wait(Duration::from_nanos(1)).millis(), 1);
        assert_eq!(Wait(Duration::from_secs(3)).millis(), 3_000);
    }

    struct Bench {
        keys: Keys,
        buckets: Buckets,
        start: Instant,
    }

    impl Bench {
        #[expect(clippy::disallowed_methods, reason = "a time to count from")]
        fn new(rate: &str) -> Self {
            let start = Instant::now();
            Self {
                keys: Keys::default(),
                buckets: Buckets::new(rate.parse().unwrap(), start),
                start,
            }
        }

        fn pass(&self, key: impl std::hash::Hash, count: u32, ms: u64) -> Result<(), Wait> {
            let now = self.start + Duration::from_millis(ms);
            self.buckets.pass(self.keys.of(key), count, now)
        }

        /// How many of a thousand pass.
        fn passed(&self, key: &str, ms: u64) -> usize {
            (0..1_000)
                .take_while(|_| self.pass(key, 1, ms).is_ok())
                .count()
        }
    }
}
