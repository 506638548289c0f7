//! One server and its clients, in a process of its own: does what it is told, one line each.

mod connections;
mod durability;
mod fan_out;
mod rights;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::fleet::Fleet;
use crate::layout::{Layout, account};
use crate::message;
use crate::order::{FanOut, Finding, Order};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::server::{Server, ServerKind};
use crate::setup::{Prepared, Setup};

const CONNECT_WAIT: Duration = Duration::from_secs(90);
const DELIVERY_WAIT: Duration = Duration::from_mins(1);
/// How often the clients of a station are looked after that has nothing to do: often enough for
/// any heartbeat, and seldom enough to disturb nobody who is measured meanwhile.
const ATTEND_INTERVAL: Duration = Duration::from_secs(1);
/// How many orders may wait.
const ORDERS_MAX: usize = 1;

/// What a station is started with.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    server: ServerKind,
    #[arg(long)]
    setup: Setup,
    /// Switchboard's binary
    #[arg(long)]
    switchboard: PathBuf,
    /// The server's directory
    #[arg(long)]
    data: PathBuf,
}

struct Station {
    server: Server,
    prepared: Prepared,
    data: PathBuf,
    fleet: Option<Fleet>,
    publisher: Publisher,
    own: Process,
    next_message: u64,
}

/// Reads orders and answers each with a line until there are no more.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let orders = orders();
    let mut station = Station::start(options);
    let mut trouble = None;
    loop {
        let line = match orders.recv_timeout(ATTEND_INTERVAL) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => {
                if let Ok(station) = &mut station
                    && let Err(error) = station.attend()
                {
                    trouble.get_or_insert(error);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let order: Order = serde_json::from_str(&line)?;
        let finding = match (&mut station, trouble.take()) {
            (_, Some(error)) => Err(format!("between orders: {error:#}")),
            (Ok(station), None) => station.obey(order).map_err(|error| format!("{error:#}")),
            (Err(error), None) => Err(format!("{error:#}")),
        };
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer(&mut stdout, &finding)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
    }
}

/// The lines of standard input, read on a thread of their own, so that clients can be looked after
/// while there are none.
fn orders() -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = sync_channel(ORDERS_MAX);
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Station {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let prepared = options.setup.prepare(&options.data)?;
        let server = Server::start(
            options.server,
            &prepared,
            &options.switchboard,
            &options.data,
        )?;
        let publisher = Publisher::connect(server.address)?;
        let own = Process::own()?;
        Ok(Self {
            server,
            prepared,
            data: options.data.clone(),
            fleet: None,
            publisher,
            own,
            next_message: 1,
        })
    }

    fn obey(&mut self, order: Order) -> anyhow::Result<Finding> {
        // What came while other servers had their turn is handled before anything is measured.
        self.attend()?;
        if let Some(fleet) = &mut self.fleet {
            fleet.ensure_nobody_was_lost()?;
        }
        Ok(match order {
            Order::Populate(layout) => {
                self.populate(&layout)?;
                Finding::Populated
            }
            Order::FanOut(case) => Finding::FannedOut(self.fan_out(case)?),
            Order::Muster => Finding::Present,
            Order::Connections {
                layout,
                base,
                settle_ms,
            } => {
                let settle = Duration::from_millis(settle_ms);
                Finding::Connections(self.connections(&layout, base, settle)?)
            }
            Order::Accept { layout, base } => Finding::Accepted(self.accept(&layout, base)?),
            Order::Subscribe(layout) => Finding::Subscribed(self.subscribe(&layout)?),
            Order::Sync { time_ms } => {
                let time = Duration::from_millis(time_ms);
                Finding::Synced(crate::disk::syncs(&self.data, time)?)
            }
            Order::Append(case) => Finding::Appended(self.append(case)?),
            Order::Recover(case) => Finding::Recovered(self.recover(&case)?),
            Order::Replay(case) => Finding::Replayed(self.replay(&case)?),
        })
    }

    /// Answers pings that came while there was nothing to do.
    fn attend(&mut self) -> anyhow::Result<()> {
        match &mut self.fleet {
            Some(fleet) => fleet.attend(),
            None => Ok(()),
        }
    }

    fn populate(&mut self, layout: &Layout) -> anyhow::Result<&mut Fleet> {
        let fleet = Fleet::new(self.server.address, layout, &self.prepared.signer)?;
        let fleet = self.fleet.insert(fleet);
        fleet.connect(layout.clients, Instant::now() + CONNECT_WAIT)?;
        Ok(fleet)
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

    fn ensure_nothing_surplus(&mut self) -> anyhow::Result<()> {
        let surplus = self
            .fleet
            .as_mut()
            .map_or(0, |fleet| fleet.tally().surplus());
        ensure!(surplus == 0, "{surplus} deliveries too many");
        Ok(())
    }
}

fn used_since(process: Process, before: Duration) -> anyhow::Result<Duration> {
    Ok(process.cpu()?.saturating_sub(before))
}
