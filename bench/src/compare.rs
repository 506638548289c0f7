//! The comparison: every server in turns, round after round.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::layout::Layout;
use crate::machine;
use crate::report;
use crate::server::ServerKind;
use crate::station::{Connections, FanOut, FannedOut, Finding, Order};

/// Where servers keep their logs and journals while they run.
const DATA: &str = "target/run";

/// What to compare, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers, separated by commas
    #[arg(long, value_delimiter = ',', default_values = [
        "switchboard", "switchboard-memory", "node", "socketioxide", "floor", "floor-single",
    ])]
    servers: Vec<ServerKind>,
    /// Parts, separated by commas
    #[arg(long, value_delimiter = ',', default_values = ["connections", "fan-out"])]
    parts: Vec<Part>,
    /// A tenth of the clients, fewer messages and rounds: shows that everything runs
    #[arg(long)]
    quick: bool,
    /// Rounds of the fan-out part [default: 7, quick 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Rounds of the connections part [default: 3, quick 1]
    #[arg(long)]
    connection_rounds: Option<usize>,
    /// Where the table goes [default: RESULTS.md, quick target/RESULTS.md]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Switchboard's binary
    #[arg(long, default_value = "../target/release/switchboard")]
    switchboard: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Memory and CPU of connections, and having them all back
    Connections,
    /// CPU of deliveries, and the time until the last socket has them
    FanOut,
}

/// How much is measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    quick: bool,
    /// Connections of the first step and in the end.
    pub(crate) connections: (usize, usize),
    pub(crate) connection_rounds: usize,
    pub(crate) settle_ms: u64,
    /// Sizes of the rooms that messages go to.
    pub(crate) rooms: Vec<usize>,
    pub(crate) cases: Vec<FanOut>,
    pub(crate) rounds: usize,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) servers: Vec<ServerKind>,
    pub(crate) connections: Vec<(ServerKind, Connections)>,
    /// With the number of the round, for ratios of what was measured side by side.
    pub(crate) fan_out: Vec<(usize, ServerKind, FanOut, FannedOut)>,
    pub(crate) failures: Vec<String>,
}

impl Plan {
    fn new(options: &Options) -> Self {
        // (requests in rooms of 10, 1,000 and 5,000) for each length of burst.
        let (connections, rooms, requests) = if options.quick {
            (
                (200, 1_000),
                [10, 100, 500],
                [(1, [50, 20, 10]), (10, [20, 5, 3]), (100, [5, 3, 2])],
            )
        } else {
            (
                (2_000, 15_000),
                [10, 1_000, 5_000],
                [(1, [300, 60, 30]), (10, [50, 10, 4]), (100, [20, 5, 2])],
            )
        };
        let case = |room, burst, requests| FanOut {
            room,
            burst,
            requests,
        };
        let cases = requests.iter().flat_map(|(burst, requests)| {
            rooms
                .iter()
                .zip(requests)
                .map(|(room, requests)| case(*room, *burst, *requests))
        });
        Self {
            quick: options.quick,
            connections,
            connection_rounds: options.connection_rounds.unwrap_or(if options.quick {
                1
            } else {
                3
            }),
            settle_ms: if options.quick { 1_000 } else { 5_000 },
            rooms: rooms.to_vec(),
            cases: cases.collect(),
            rounds: options.rounds.unwrap_or(if options.quick { 2 } else { 7 }),
        }
    }

    /// Whether the sizes are those of a trial.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    fn orders_connections(&self) -> Order {
        let (base, clients) = self.connections;
        let layout = Layout {
            clients,
            rooms: self.rooms.clone(),
        };
        Order::Connections {
            layout,
            base,
            settle_ms: self.settle_ms,
        }
    }

    fn orders_population(&self) -> Order {
        let clients = self.rooms.iter().sum();
        Order::Populate(Layout {
            clients,
            rooms: self.rooms.clone(),
        })
    }
}

/// Measures, prints and saves.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let plan = Plan::new(options);
    let data = Path::new(DATA);
    fs::create_dir_all(data)?;
    let mut results = Results {
        machine: machine::facts(data),
        plan,
        servers: options.servers.clone(),
        connections: Vec::new(),
        fan_out: Vec::new(),
        failures: Vec::new(),
    };
    if options.parts.contains(&Part::Connections) {
        results.measure_connections(&options.switchboard)?;
    }
    if options.parts.contains(&Part::FanOut) {
        results.measure_fan_out(&options.switchboard)?;
    }
    fs::remove_dir_all(data)?;

    let default = if options.quick {
        "target/RESULTS.md"
    } else {
        "RESULTS.md"
    };
    let output = options.output.clone().unwrap_or_else(|| default.into());
    fs::write("target/results.json", serde_json::to_vec_pretty(&results)?)?;
    let table = report::table(&results);
    report::save(&output, &table)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "{table}\nsaved as {}, samples in target/results.json",
        output.display()
    )?;
    Ok(())
}

impl Results {
    /// A fresh server each time, since memory that was used once is seldom given back.
    fn measure_connections(&mut self, switchboard: &Path) -> anyhow::Result<()> {
        let order = self.plan.orders_connections();
        for round in 0..self.plan.connection_rounds {
            for server in in_turns(&self.servers, round) {
                progress(&format!(
                    "connections, round {}: {}",
                    round + 1,
                    server.name()
                ));
                let found = Handle::start(server, switchboard)?.order(&order)?;
                match found {
                    Ok(Finding::Connections(found)) => self.connections.push((server, found)),
                    Ok(other) => anyhow::bail!("expected connections, found {other:?}"),
                    Err(error) => self.fail(server, "connections", &error),
                }
            }
        }
        Ok(())
    }

    /// All servers run and keep their clients; each case visits one after the other.
    fn measure_fan_out(&mut self, switchboard: &Path) -> anyhow::Result<()> {
        let mut stations = Vec::new();
        for server in self.servers.clone() {
            progress(&format!("fan-out, connecting: {}", server.name()));
            let mut station = Handle::start(server, switchboard)?;
            match station.order(&self.plan.orders_population())? {
                Ok(_) => stations.push(station),
                Err(error) => self.fail(server, "connecting", &error),
            }
        }
        for round in 0..self.plan.rounds {
            progress(&format!(
                "fan-out, round {} of {}",
                round + 1,
                self.plan.rounds
            ));
            for case in self.plan.cases.clone() {
                let turns: Vec<usize> = (0..stations.len()).collect();
                let mut broken = Vec::new();
                for index in in_turns(&turns, round) {
                    let station = &mut stations[index];
                    match station.order(&Order::FanOut(case))? {
                        Ok(Finding::FannedOut(found)) => {
                            self.fan_out.push((round, station.server, case, found));
                        }
                        Ok(other) => anyhow::bail!("expected a fan-out, found {other:?}"),
                        Err(error) => {
                            self.fail(station.server, &format!("{case:?}"), &error);
                            broken.push(station.server);
                        }
                    }
                }
                stations.retain(|station| !broken.contains(&station.server));
            }
        }
        Ok(())
    }

    fn fail(&mut self, server: ServerKind, what: &str, error: &str) {
        let failure = format!("{}: {what}: {error}", server.name());
        progress(&failure);
        self.failures.push(failure);
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

/// A station in a process of its own, which ends with this value.
struct Handle {
    server: ServerKind,
    child: Child,
    orders: Option<ChildStdin>,
    findings: BufReader<ChildStdout>,
    data: PathBuf,
}

impl Handle {
    fn start(server: ServerKind, switchboard: &Path) -> anyhow::Result<Self> {
        let data = Path::new(DATA).join(server.name());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["station", "--server", server.name(), "--switchboard"])
            .arg(switchboard)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let findings = child.stdout.take().context("standard output is piped")?;
        let orders = child.stdin.take();
        Ok(Self {
            server,
            child,
            orders,
            findings: BufReader::new(findings),
            data,
        })
    }

    /// The inner error is the station's: other servers can go on.
    fn order(&mut self, order: &Order) -> anyhow::Result<Result<Finding, String>> {
        let orders = self.orders.as_mut().context("the station takes orders")?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        orders.write_all(&line)?;
        let mut finding = String::new();
        self.findings.read_line(&mut finding)?;
        serde_json::from_str(&finding).with_context(|| format!("{finding:?} is no finding"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A station without orders kills its server and ends.
        drop(self.orders.take());
        let _ = self.child.wait();
        // The next server of this kind starts with an empty journal.
        let _ = fs::remove_dir_all(&self.data);
    }
}
