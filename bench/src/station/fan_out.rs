//! Deliveries.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Station, used_since};
use crate::order::{FanOut, FannedOut};
use crate::statistics::micros_each;

impl Station {
    pub(super) fn fan_out(&mut self, case: FanOut) -> anyhow::Result<FannedOut> {
        self.fleet
            .as_mut()
            .context("nobody is connected")?
            .idle(Duration::from_millis(20))?;
        self.deliver(case)?;

        let (cpu, own, begin) = (self.server.process.cpu()?, self.own.cpu()?, Instant::now());
        let last_ms = (0..case.requests)
            .map(|_| self.deliver(case))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let wall = begin.elapsed();
        let (cpu, own) = (
            used_since(self.server.process, cpu)?,
            used_since(self.own, own)?,
        );

        self.ensure_nothing_surplus()?;
        let deliveries = case.requests * case.burst * u64::try_from(case.room)?;
        Ok(FannedOut {
            cpu_us_per_delivery: micros_each(cpu, deliveries),
            last_ms,
            loader_share: own.as_secs_f64() / wall.as_secs_f64(),
        })
    }
}
