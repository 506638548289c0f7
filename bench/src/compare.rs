//! The comparison: every server in turns, round after round.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, ensure};

use crate::handle::{DATA, Handle, write_past};
use crate::machine;
use crate::order::{Finding, Order, Replay};
use crate::past::ACCOUNT;
use crate::plan::{Options, Plan, Section};
use crate::report;
use crate::results::{Failure, Results};
use crate::server::ServerKind;
use crate::setup::Setup;

/// Measures, prints and saves. An error if any server failed, once that is done.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    let data = Path::new(DATA);
    fs::create_dir_all(data)?;
    let plan = Plan::new(options);
    let results = Results::new(machine::facts(data), plan, options.servers.clone());
    let mut comparison = Comparison {
        switchboard: options.switchboard.clone(),
        results,
    };
    for section in comparison.results.plan.sections.clone() {
        match section {
            Section::Connections => comparison.connections()?,
            Section::FanOut => comparison.fan_out()?,
            Section::Rights => comparison.rights()?,
            Section::Durability => comparison.durability()?,
        }
    }
    fs::remove_dir_all(data)?;

    let results = comparison.results;
    let output = options.output();
    fs::write("target/results.json", serde_json::to_vec_pretty(&results)?)?;
    let table = report::table(&results);
    report::save(&output, &table)?;
    writeln!(
        std::io::stdout().lock(),
        "{table}\nsaved as {}, samples in target/results.json, after {} s",
        output.display(),
        begin.elapsed().as_secs()
    )?;
    let failures = results.failures.len();
    ensure!(failures == 0, "{failures} failures, which the table names");
    Ok(())
}

struct Comparison {
    switchboard: PathBuf,
    results: Results,
}

impl Comparison {
    /// A fresh server each time, since memory that was used once is seldom given back.
    fn connections(&mut self) -> anyhow::Result<()> {
        let order = self.results.plan.connections();
        for round in 0..self.results.plan.rounds.connections {
            for server in in_turns(&self.results.servers, round) {
                let what = format!("connections, round {}", round + 1);
                match self.once(Section::Connections, server, Setup::Plain, &order, &what)? {
                    Some(Finding::Connections(found)) => {
                        self.results.connections.push((server, found));
                    }
                    other => unexpected(other)?,
                }
            }
        }
        Ok(())
    }

    /// All servers run and keep their clients; each case visits one after the other.
    fn fan_out(&mut self) -> anyhow::Result<()> {
        let mut stations = Vec::new();
        for server in self.results.servers.clone() {
            progress(&format!("fan-out, connecting: {}", server.name()));
            let mut station = Handle::start(server, Setup::Plain, &self.switchboard)?;
            let population = self.results.plan.population();
            match self.order(Section::FanOut, &mut station, &population, "connecting")? {
                Some(_) => stations.push(station),
                None => drop(station),
            }
        }
        let rounds = self.results.plan.rounds.fan_out;
        for round in 0..rounds {
            progress(&format!("fan-out, round {} of {rounds}", round + 1));
            for case in self.results.plan.cases.clone() {
                let what = format!("{} messages to {}", case.burst, case.room);
                let turns: Vec<usize> = (0..stations.len()).collect();
                for index in in_turns(&turns, round) {
                    let station = &mut stations[index];
                    let order = Order::FanOut(case);
                    match self.order(Section::FanOut, station, &order, &what)? {
                        Some(Finding::FannedOut(found)) => {
                            let sample = (round, station.server, case, found);
                            self.results.fan_out.push(sample);
                        }
                        other => unexpected(other)?,
                    }
                }
                let results = &self.results;
                stations.retain(|it| !results.has_failed(Section::FanOut, it.server));
            }
        }
        for station in &mut stations {
            self.order(Section::FanOut, station, &Order::Muster, "in the end")?;
        }
        Ok(())
    }

    fn rights(&mut self) -> anyhow::Result<()> {
        let servers = self.results.servers.iter().copied();
        let verifying: Vec<_> = servers.filter(|it| it.verifies_tokens()).collect();
        let ours: Vec<_> = verifying
            .iter()
            .copied()
            .filter(|it| it.is_ours())
            .collect();
        let (accept, subscribe) = (self.results.plan.accept(), self.results.plan.subscribe());
        for round in 0..self.results.plan.rounds.rights {
            for server in in_turns(&verifying, round) {
                for setup in in_turns(&[Setup::Plain, Setup::Es256], round) {
                    let what = format!("connecting by {}, round {}", setup.name(), round + 1);
                    match self.once(Section::Rights, server, setup, &accept, &what)? {
                        Some(Finding::Accepted(found)) => {
                            self.results.accepted.push((server, setup, found));
                        }
                        other => unexpected(other)?,
                    }
                }
            }
            for server in in_turns(&ours, round) {
                let what = format!("subscribing, round {}", round + 1);
                match self.once(Section::Rights, server, Setup::Policies, &subscribe, &what)? {
                    Some(Finding::Subscribed(found)) => {
                        let found = found.into_iter().map(|(how, it)| (server, how, it));
                        self.results.subscribed.extend(found);
                    }
                    other => unexpected(other)?,
                }
            }
        }
        Ok(())
    }

    fn durability(&mut self) -> anyhow::Result<()> {
        let servers = self.results.servers.clone();
        let ours: Vec<_> = servers.iter().copied().filter(|it| it.is_ours()).collect();
        // Of the peers, Node can recover, from its memory.
        let recovering = |server: &ServerKind| match server {
            ServerKind::Node => Some(ServerKind::NodeRecovery),
            ours if ours.is_ours() => Some(*ours),
            _ => None,
        };
        let recovering: Vec<_> = servers.iter().filter_map(recovering).collect();
        for round in 0..self.results.plan.rounds.durability {
            self.appends(&ours, round)?;
            let order = self.results.plan.recover();
            for server in in_turns(&recovering, round) {
                let what = format!("recovering, round {}", round + 1);
                match self.once(Section::Durability, server, Setup::Plain, &order, &what)? {
                    Some(Finding::Recovered(found)) => {
                        self.results.recovered.push((server, found));
                    }
                    other => unexpected(other)?,
                }
            }
        }
        if servers.contains(&ServerKind::Switchboard) {
            self.past()?;
        }
        Ok(())
    }

    /// Before each case the disk is measured, so that the two can be compared.
    fn appends(&mut self, servers: &[ServerKind], round: usize) -> anyhow::Result<()> {
        let mut stations = Vec::new();
        for server in in_turns(servers, round) {
            progress(&format!("appends, round {}: {}", round + 1, server.name()));
            stations.push(Handle::start(server, Setup::Plain, &self.switchboard)?);
        }
        for producers in self.results.plan.producers.clone() {
            let (sync, append) = (
                Order::Sync {
                    time_ms: self.results.plan.sync_ms,
                },
                self.results.plan.append(producers),
            );
            let what = format!("{producers} producers");
            for (index, station) in stations.iter_mut().enumerate() {
                if index == 0 {
                    match self.order(Section::Durability, station, &sync, "syncing")? {
                        Some(Finding::Synced(found)) => self.results.syncs.push(found),
                        other => unexpected(other)?,
                    }
                }
                match self.order(Section::Durability, station, &append, &what)? {
                    Some(Finding::Appended(found)) => {
                        let sample = (station.server, producers, found);
                        self.results.appended.push(sample);
                    }
                    other => unexpected(other)?,
                }
            }
        }
        Ok(())
    }

    fn past(&mut self) -> anyhow::Result<()> {
        let (records, events) = self.results.plan.records;
        let server = ServerKind::Switchboard;
        progress(&format!("writing {records} records"));
        let past = write_past(server, records, events)?;
        let order = Order::Replay(Replay {
            account: ACCOUNT.to_owned(),
            after: past.start.clone(),
            events,
        });
        match self.once(
            Section::Durability,
            server,
            Setup::Past,
            &order,
            "replaying",
        )? {
            Some(Finding::Replayed(found)) => self.results.past = Some((past, found)),
            other => unexpected(other)?,
        }
        Ok(())
    }

    /// One order for a station that ends with it.
    fn once(
        &mut self,
        section: Section,
        server: ServerKind,
        setup: Setup,
        order: &Order,
        what: &str,
    ) -> anyhow::Result<Option<Finding>> {
        progress(&format!("{what}: {}", server.name()));
        let mut station = Handle::start(server, setup, &self.switchboard)?;
        self.order(section, &mut station, order, what)
    }

    /// `None` if the station failed, of which a note is made.
    fn order(
        &mut self,
        section: Section,
        station: &mut Handle,
        order: &Order,
        what: &str,
    ) -> anyhow::Result<Option<Finding>> {
        Ok(match station.order(order)? {
            Ok(finding) => Some(finding),
            Err(error) => {
                let (server, what) = (station.server, format!("{what}: {error}"));
                progress(&format!("FAILED: {}: {what}", server.name()));
                self.results.failures.push(Failure {
                    section,
                    server,
                    what,
                });
                None
            }
        })
    }
}

/// A failure is noted already; another finding is a mistake of ours.
fn unexpected(finding: Option<Finding>) -> anyhow::Result<()> {
    match finding {
        None => Ok(()),
        Some(other) => bail!("found {other:?}, which was not asked for"),
    }
}

/// The same order every time, but each round begins one further.
fn in_turns<T: Copy>(all: &[T], round: usize) -> Vec<T> {
    let mut turns = all.to_vec();
    if !turns.is_empty() {
        turns.rotate_left(round % all.len());
    }
    turns
}

fn progress(text: &str) {
    // Nobody may be listening, which is no reason to stop.
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
