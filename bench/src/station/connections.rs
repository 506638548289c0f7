//! Connecting, and coming back.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{CONNECT_WAIT, Station, used_since};
use crate::fleet::Fleet;
use crate::layout::{Layout, account};
use crate::message;
use crate::order::{Accepted, Connections, FanOut, Recover, Storm};
use crate::statistics::{Latencies, micros_each, ratio};

/// How long what recovery brings back may come after the last client is back.
const RECOVERY_WAIT: Duration = Duration::from_secs(5);
/// How long a server may go on working for connections that are there.
const ACCEPTED_SETTLE: Duration = Duration::from_millis(300);

impl Station {
    pub(super) fn connections(
        &mut self,
        layout: &Layout,
        base: usize,
        settle: Duration,
    ) -> anyhow::Result<Connections> {
        let everybody = layout.clients;
        let further = u64::try_from(everybody - base)?;
        let process = self.server.process;
        let fleet = Fleet::new(self.server.address, layout, &self.prepared.signer)?;
        let fleet = self.fleet.insert(fleet);
        fleet.connect(base, Instant::now() + CONNECT_WAIT)?;
        fleet.idle(settle)?;
        let (resident_before, cpu) = (process.resident()?, process.cpu()?);

        fleet.connect(everybody, Instant::now() + CONNECT_WAIT)?;
        let cpu = used_since(process, cpu)?;
        let retries = fleet.retries();
        fleet.idle(settle)?;
        let resident = process.resident()?;

        self.give_positions(layout)?;
        let storm = self.storm(layout, 1)?;

        Ok(Connections {
            bytes_per_connection: ratio(resident.saturating_sub(resident_before), further),
            resident,
            cpu_us_per_connection: micros_each(cpu, further),
            retries,
            storm,
        })
    }

    pub(super) fn accept(&mut self, layout: &Layout, base: usize) -> anyhow::Result<Accepted> {
        let process = self.server.process;
        let fleet = Fleet::new(self.server.address, layout, &self.prepared.signer)?;
        let fleet = self.fleet.insert(fleet);
        fleet.connect(base, Instant::now() + CONNECT_WAIT)?;
        fleet.idle(ACCEPTED_SETTLE)?;
        let cpu = process.cpu()?;

        fleet.connect(layout.clients, Instant::now() + CONNECT_WAIT)?;
        fleet.idle(ACCEPTED_SETTLE)?;
        let cpu = used_since(process, cpu)?;

        let further = u64::try_from(layout.clients - base)?;
        Ok(Accepted {
            cpu_us_per_connection: micros_each(cpu, further),
        })
    }

    pub(super) fn recover(&mut self, case: &Recover) -> anyhow::Result<Storm> {
        self.populate(&case.layout)?;
        self.give_positions(&case.layout)?;
        self.storm(&case.layout, case.missed)
    }

    /// Publishes to each measured room, so that everybody in it has a position to recover from.
    fn give_positions(&mut self, layout: &Layout) -> anyhow::Result<()> {
        for &room in &layout.rooms {
            self.deliver(FanOut {
                room,
                burst: 1,
                requests: 1,
            })?;
        }
        Ok(())
    }

    /// Cuts all connections at once, publishes so many events to each measured room, and has
    /// everybody back.
    fn storm(&mut self, layout: &Layout, missed: u64) -> anyhow::Result<Storm> {
        let fleet = self.fleet.as_mut().context("nobody is connected")?;
        let cpu = self.server.process.cpu()?;
        let begin = Instant::now();
        fleet.cut();
        let first = self.next_message;
        for &room in &layout.rooms {
            self.publisher
                .publish(message::body(&account(room), self.next_message, missed))?;
            self.next_message += missed;
            self.publisher.wait()?;
        }
        let hearers = layout
            .rooms
            .iter()
            .map(|&len| u64::try_from(len))
            .sum::<Result<u64, _>>()?;
        let deliveries = hearers * missed;
        let count = self.next_message - first;
        fleet.tally().expect(first, count, usize::MAX);
        fleet.connect(layout.clients, begin + CONNECT_WAIT)?;
        let end = Instant::now() + RECOVERY_WAIT;
        while fleet.recovered() > 0
            && fleet.tally().delivered() < deliveries
            && Instant::now() < end
        {
            fleet.pump()?;
        }
        let back_s = begin.elapsed().as_secs_f64();
        let cpu = used_since(self.server.process, cpu)?;
        let back = Latencies::of(&fleet.ready_after(begin))?;
        let (recovered, retries) = (fleet.recovered(), fleet.retries());
        let delivered = fleet.tally().delivered();
        self.give_positions(layout)
            .context("after everybody had come back")?;
        self.ensure_nothing_surplus()?;
        let everybody = u64::try_from(layout.clients)?;
        Ok(Storm {
            back_s,
            back,
            cpu_us_per_connection: micros_each(cpu, everybody),
            recovered: ratio(u64::try_from(recovered)?, everybody),
            missed_delivered: ratio(delivered, deliveries),
            retries,
        })
    }
}
