use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long something took, each time: a count for each of a few ranges, from a tenth of a
/// millisecond to ten seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is beyond all of them.
    buckets: [AtomicU64; Self::BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

/// A [`Histogram`] at one time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HistogramSnapshot {
    /// How often it took at most as long as each of [`Histogram::BOUNDS`], in their order.
    pub at_most: [u64; Histogram::BOUNDS.len()],
    /// How often it happened.
    pub count: u64,
    /// How long it took altogether.
    pub sum: Duration,
}

impl Histogram {
    /// The upper ends of the ranges, each within its range.
    pub const BOUNDS: [Duration; 16] = [
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(5),
        Duration::from_secs(10),
    ];

    /// It happened once more, and took so long.
    pub fn observe(&self, duration: Duration) {
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// What it comes to now. What happens meanwhile is in the count and not yet in the sum, or
    /// the other way round; the counts agree with each other.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut snapshot = HistogramSnapshot {
            sum: Duration::from_nanos(self.sum_ns.load(Relaxed)),
            ..HistogramSnapshot::default()
        };
        let [within @ .., beyond] = &self.buckets;
        for (at_most, bucket) in snapshot.at_most.iter_mut().zip(within) {
            snapshot.count += bucket.load(Relaxed);
            *at_most = snapshot.count;
        }
        snapshot.count += beyond.load(Relaxed);
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_within_its_bound_and_all_greater_ones() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 1_000, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }

        let HistogramSnapshot {
            at_most,
            count,
            sum,
        } = histogram.snapshot();

        assert_eq!(at_most, [2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!(count, 6);
        assert_eq!(sum, Duration::from_micros(20_001_202));
    }

    #[test]
    fn bounds_ascend() {
        assert!(Histogram::BOUNDS.is_sorted_by(|one, next| one < next));
    }
}
