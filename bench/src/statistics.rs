//! Medians, spreads and averages.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Several measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` for nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let median = quantile(values, 0.5)?;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median, min, max })
    }
}

/// How long one of many took.
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Latencies {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) last_ms: f64,
}

impl Latencies {
    pub(crate) fn of(samples: &[Duration]) -> anyhow::Result<Self> {
        let samples: Vec<f64> = samples.iter().map(|it| it.as_secs_f64() * 1e3).collect();
        let at = |q| quantile(&samples, q).context("nothing was measured");
        Ok(Self {
            p50_ms: at(0.5)?,
            p99_ms: at(0.99)?,
            last_ms: at(1.0)?,
        })
    }
}

/// The value below which the fraction `q` of the values lies, between neighbours in proportion.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indices into samples that were taken one by one"
)]
pub(crate) fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// A share, or an average.
#[expect(
    clippy::cast_precision_loss,
    reason = "shares and averages of counts far below 2^52"
)]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// What each of `count` took, in microseconds.
pub(crate) fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / ratio(count, 1)
}

/// How many there were in a second.
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    ratio(count as u64, 1) / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_last_one_is_the_longest() {
        let samples = [30, 10, 20].map(Duration::from_millis);

        let latencies = Latencies::of(&samples).expect("three samples");

        assert_eq!((latencies.p50_ms, latencies.last_ms), (20.0, 30.0));
        assert!(Latencies::of(&[]).is_err());
    }
}
