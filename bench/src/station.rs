//! One server and its clients, in a process of its own: does what it is told, one line each.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::fleet::Fleet;
use crate::layout::{Layout, account};
use crate::message;
use crate::process::Process;
use crate::publisher::Publisher;
use crate::server::{Server, ServerKind};

const CONNECT_WAIT: Duration = Duration::from_secs(90);
const DELIVERY_WAIT: Duration = Duration::from_mins(1);
/// How long what recovery brings back may come after the last client is back.
const RECOVERY_WAIT: Duration = Duration::from_secs(5);

/// What a station is started with.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    server: ServerKind,
    /// Switchboard's binary
    #[arg(long)]
    switchboard: PathBuf,
    /// The server's directory
    #[arg(long)]
    data: PathBuf,
}

/// What a station is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Connect everybody.
    Populate(Layout),
    /// Publish to one room, again and again; needs [`Order::Populate`].
    FanOut(FanOut),
    /// Connect in two steps, then cut all connections and have them back; needs a fresh station.
    Connections {
        /// Who connects, `layout.clients` in the end.
        layout: Layout,
        /// How many connect in the first step.
        base: usize,
        /// How long to wait before memory is read, in milliseconds.
        settle_ms: u64,
    },
}

/// One case of publishing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct FanOut {
    /// How many sockets are in the room.
    pub(crate) room: usize,
    /// How many messages one request carries.
    pub(crate) burst: u64,
    /// How many requests, one after the other.
    pub(crate) requests: u64,
}

/// What a station found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Finding {
    Populated,
    FannedOut(FannedOut),
    Connections(Connections),
}

/// What one case of publishing took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FannedOut {
    /// CPU of the server for each delivery, publishing included.
    pub(crate) cpu_us_per_delivery: f64,
    /// For each request, the time from its first byte until the last socket had its last message.
    pub(crate) last_ms: Vec<f64>,
    /// CPU of the load generator, as a share of the time: 1.0 would be a bottleneck.
    pub(crate) loader_share: f64,
}

/// What connections took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Connections {
    /// Resident bytes of the server for each connection of the second step.
    pub(crate) bytes_per_connection: f64,
    /// Resident bytes of the server with everybody connected.
    pub(crate) resident: u64,
    /// CPU of the server for each connection of the second step.
    pub(crate) cpu_us_per_connection: f64,
    /// Clients that were turned away while connecting, and tried again.
    pub(crate) retries: usize,
    /// What followed when everybody was cut at once.
    pub(crate) storm: Storm,
}

/// All connections cut at once, and everybody back.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Storm {
    /// Seconds until everybody was subscribed again and had what recovery brings.
    pub(crate) back_s: f64,
    /// CPU of the server for each connection that was cut and came back.
    pub(crate) cpu_us_per_connection: f64,
    /// The share of clients that recovery gave their rooms back.
    pub(crate) recovered: f64,
    /// The share of deliveries, published while nobody was there, that recovery brought.
    pub(crate) missed_delivered: f64,
    /// Clients that were turned away, and tried again.
    pub(crate) retries: usize,
}

struct Station {
    server: Server,
    layout: Option<Layout>,
    fleet: Option<Fleet>,
    publisher: Publisher,
    own: Process,
    next_message: u64,
}

/// Reads orders and answers each with a line until there are no more.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = Server::start(options.server, &options.switchboard, &options.data);
    let mut station = server.and_then(|server| {
        let publisher = Publisher::connect(server.address)?;
        let own = Process::own()?;
        Ok(Station {
            server,
            layout: None,
            fleet: None,
            publisher,
            own,
            next_message: 1,
        })
    });
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let finding = match &mut station {
            Ok(station) => station.obey(order).map_err(|error| format!("{error:#}")),
            Err(error) => Err(format!("{error:#}")),
        };
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer(&mut stdout, &finding)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
    }
    Ok(())
}

impl Station {
    fn obey(&mut self, order: Order) -> anyhow::Result<Finding> {
        match order {
            Order::Populate(layout) => {
                let mut fleet = Fleet::new(self.server.address, &layout)?;
                fleet.connect(layout.clients, Instant::now() + CONNECT_WAIT)?;
                self.layout = Some(layout);
                self.fleet = Some(fleet);
                Ok(Finding::Populated)
            }
            Order::FanOut(case) => self.fan_out(case).map(Finding::FannedOut),
            Order::Connections {
                layout,
                base,
                settle_ms,
            } => self
                .connections(&layout, base, Duration::from_millis(settle_ms))
                .map(Finding::Connections),
        }
    }

    fn fan_out(&mut self, case: FanOut) -> anyhow::Result<FannedOut> {
        // What happened while other servers were measured, such as pings, comes first.
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

    fn ensure_nothing_surplus(&mut self) -> anyhow::Result<()> {
        let surplus = self
            .fleet
            .as_mut()
            .map_or(0, |fleet| fleet.tally().surplus());
        ensure!(surplus == 0, "{surplus} deliveries too many");
        Ok(())
    }

    /// Publishes one request and waits until everybody has it; says how many milliseconds it took.
    fn deliver(&mut self, FanOut { room, burst, .. }: FanOut) -> anyhow::Result<f64> {
        let fleet = self.fleet.as_mut().context("nobody is connected")?;
        let first = self.next_message;
        self.next_message += burst;
        fleet.tally().expect(first, burst, room);
        self.publisher
            .publish(message::body(&account(room), first, burst))?;
        let deadline = Instant::now() + DELIVERY_WAIT;
        let mut sent_at = None;
        while !fleet.tally().is_complete() {
            if sent_at.is_none() {
                sent_at = self.publisher.poll()?;
            }
            let delivered = fleet.tally().delivered();
            ensure!(
                Instant::now() < deadline,
                "only {delivered} deliveries of {burst} to {room}"
            );
            fleet.pump()?;
        }
        let sent_at = sent_at.map_or_else(|| self.publisher.wait(), Ok)?;
        let last_at = fleet
            .tally()
            .last_at()
            .context("complete without a delivery")?;
        Ok(last_at.saturating_duration_since(sent_at).as_secs_f64() * 1e3)
    }

    fn connections(
        &mut self,
        layout: &Layout,
        base: usize,
        settle: Duration,
    ) -> anyhow::Result<Connections> {
        let everybody = layout.clients;
        let further = u64::try_from(everybody - base)?;
        let process = self.server.process;
        let fleet = self.fleet.insert(Fleet::new(self.server.address, layout)?);
        fleet.connect(base, Instant::now() + CONNECT_WAIT)?;
        fleet.idle(settle)?;
        let (resident_before, cpu) = (process.resident()?, process.cpu()?);

        fleet.connect(everybody, Instant::now() + CONNECT_WAIT)?;
        let cpu = used_since(process, cpu)?;
        let retries = fleet.retries();
        fleet.idle(settle)?;
        let resident = process.resident()?;

        // So that everybody has a position to recover from.
        for &room in &layout.rooms {
            self.deliver(FanOut {
                room,
                burst: 1,
                requests: 1,
            })?;
        }
        let storm = self.storm(layout)?;

        Ok(Connections {
            bytes_per_connection: ratio(resident.saturating_sub(resident_before), further),
            resident,
            cpu_us_per_connection: micros_each(cpu, further),
            retries,
            storm,
        })
    }

    /// Cuts all connections at once and has them all back.
    fn storm(&mut self, layout: &Layout) -> anyhow::Result<Storm> {
        let fleet = self.fleet.as_mut().context("nobody is connected")?;
        let cpu = self.server.process.cpu()?;
        let begin = Instant::now();
        fleet.cut();
        let first = self.next_message;
        for &room in &layout.rooms {
            self.publisher
                .publish(message::body(&account(room), self.next_message, 1))?;
            self.next_message += 1;
            self.publisher.wait()?;
        }
        let missed = layout
            .rooms
            .iter()
            .map(|&len| u64::try_from(len))
            .sum::<Result<u64, _>>()?;
        fleet
            .tally()
            .expect(first, u64::try_from(layout.rooms.len())?, usize::MAX);
        fleet.connect(layout.clients, begin + CONNECT_WAIT)?;
        let end = Instant::now() + RECOVERY_WAIT;
        while fleet.recovered() > 0 && fleet.tally().delivered() < missed && Instant::now() < end {
            fleet.pump()?;
        }
        let back = begin.elapsed();
        let cpu = used_since(self.server.process, cpu)?;
        let (recovered, retries) = (fleet.recovered(), fleet.retries());
        let delivered = fleet.tally().delivered();
        for &room in &layout.rooms {
            self.deliver(FanOut {
                room,
                burst: 1,
                requests: 1,
            })
            .context("after everybody had come back")?;
        }
        self.ensure_nothing_surplus()?;
        let everybody = u64::try_from(layout.clients)?;
        Ok(Storm {
            back_s: back.as_secs_f64(),
            cpu_us_per_connection: micros_each(cpu, everybody),
            recovered: ratio(u64::try_from(recovered)?, everybody),
            missed_delivered: ratio(delivered, missed),
            retries,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shares and averages of counts far below 2^52"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn used_since(process: Process, before: Duration) -> anyhow::Result<Duration> {
    Ok(process.cpu()?.saturating_sub(before))
}

fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / ratio(count, 1)
}
