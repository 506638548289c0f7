//! What is measured, how much of it, and in which order.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::order::{Append, FanOut, Order, Recover};
use crate::server::ServerKind;

/// How many events of one room are replayed, unless there are fewer records.
const ROOM_EVENTS: u64 = 100_000;

/// What to compare, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers, separated by commas
    #[arg(long, value_delimiter = ',', default_values = [
        "switchboard", "switchboard-memory", "node", "socketioxide", "floor", "floor-single",
    ])]
    pub(crate) servers: Vec<ServerKind>,
    /// Sections, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<Section>,
    /// The same sizes in fewer rounds, and a tenth of the records
    #[arg(long, conflicts_with = "quick")]
    short: bool,
    /// A tenth of the clients, fewer messages and rounds: shows that everything runs
    #[arg(long)]
    quick: bool,
    /// Rounds of every section [default: connections 2, fan-out 5, rights and durability 3;
    /// short: fan-out 2, others 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Records of the journal out of which one room is replayed, at least 100,000 and a multiple of
    /// it [default: 10,000,000; short 1,000,000; quick 100,000]
    #[arg(long)]
    records: Option<u64>,
    /// Where the table goes [default: RESULTS.md; short and quick target/RESULTS.md]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Switchboard's binary
    #[arg(long, default_value = "../target/release/switchboard")]
    pub(crate) switchboard: PathBuf,
}

/// A part of the table.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Section {
    /// Memory and CPU of connections, and having them all back
    Connections,
    /// CPU of deliveries, and the time until the last socket has them
    FanOut,
    /// Connecting by other keys, subscribing to what others decide about
    Rights,
    /// Appends, replays and recovery
    Durability,
}

/// How large it all is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Scale {
    /// For the record.
    Full,
    /// The same in less time.
    Short,
    /// A trial, which says nothing about goals.
    Quick,
}

/// How much is measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) scale: Scale,
    pub(crate) sections: Vec<Section>,
    pub(crate) rounds: Rounds,
    /// Connections of the first step and in the end.
    pub(crate) connections: (usize, usize),
    settle_ms: u64,
    /// Sizes of the rooms that messages go to.
    rooms: Vec<usize>,
    pub(crate) cases: Vec<FanOut>,
    /// Connections by each kind of key, of the first step and in the end.
    pub(crate) accepted: (usize, usize),
    /// Clients that subscribe to what is decided in several ways.
    pub(crate) subscribers: usize,
    pub(crate) producers: Vec<usize>,
    append_ms: u64,
    pub(crate) sync_ms: u64,
    /// Clients that are cut in one room, and what they miss.
    pub(crate) recovering: (usize, u64),
    /// Records of the journal with a past, and how many of them are replayed.
    pub(crate) records: (u64, u64),
}

/// How often each section is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) connections: usize,
    pub(crate) fan_out: usize,
    pub(crate) rights: usize,
    pub(crate) durability: usize,
}

impl Options {
    /// Where the table goes.
    pub(crate) fn output(&self) -> PathBuf {
        let default = match self.scale() {
            Scale::Full => "RESULTS.md",
            Scale::Short | Scale::Quick => "target/RESULTS.md",
        };
        self.output.clone().unwrap_or_else(|| default.into())
    }

    fn scale(&self) -> Scale {
        match (self.short, self.quick) {
            (_, true) => Scale::Quick,
            (true, false) => Scale::Short,
            (false, false) => Scale::Full,
        }
    }
}

impl Plan {
    pub(crate) fn new(options: &Options) -> Self {
        let scale = options.scale();
        let is_quick = scale == Scale::Quick;
        let tenth = |count: usize| if is_quick { count / 10 } else { count };
        let rooms = [10, tenth(1_000), tenth(5_000)];
        let records = options.records.unwrap_or(match scale {
            Scale::Full => 10_000_000,
            Scale::Short => 1_000_000,
            Scale::Quick => 100_000,
        });
        Self {
            scale,
            sections: if options.only.is_empty() {
                Section::value_variants().to_vec()
            } else {
                options.only.clone()
            },
            rounds: Rounds::new(scale, options.rounds),
            connections: (tenth(2_000), tenth(15_000)),
            settle_ms: if is_quick { 1_000 } else { 5_000 },
            rooms: rooms.to_vec(),
            cases: cases(rooms, is_quick),
            accepted: (tenth(1_000), tenth(6_000)),
            subscribers: tenth(2_000),
            producers: vec![1, 16, 256],
            append_ms: if scale == Scale::Full { 4_000 } else { 2_000 },
            sync_ms: 1_000,
            recovering: (tenth(10_000), 10),
            records: (records, records.min(ROOM_EVENTS)),
        }
    }

    pub(crate) fn connections(&self) -> Order {
        let (base, clients) = self.connections;
        Order::Connections {
            layout: self.layout(clients),
            base,
            settle_ms: self.settle_ms,
        }
    }

    pub(crate) fn population(&self) -> Order {
        Order::Populate(self.layout(self.rooms.iter().sum()))
    }

    pub(crate) fn accept(&self) -> Order {
        let (base, clients) = self.accepted;
        Order::Accept {
            layout: self.layout(clients),
            base,
        }
    }

    pub(crate) fn subscribe(&self) -> Order {
        Order::Subscribe(self.layout(self.subscribers))
    }

    pub(crate) fn append(&self, producers: usize) -> Order {
        Order::Append(Append {
            producers,
            time_ms: self.append_ms,
        })
    }

    pub(crate) fn recover(&self) -> Order {
        let (clients, missed) = self.recovering;
        Order::Recover(Recover {
            layout: Layout {
                clients,
                rooms: vec![clients],
            },
            missed,
        })
    }

    fn layout(&self, clients: usize) -> Layout {
        Layout {
            clients,
            rooms: self.rooms.clone(),
        }
    }
}

impl Rounds {
    fn new(scale: Scale, wish: Option<usize>) -> Self {
        let rounds = |full, short| {
            wish.unwrap_or(match scale {
                Scale::Full => full,
                Scale::Short | Scale::Quick => short,
            })
        };
        Self {
            connections: rounds(2, 1),
            fan_out: rounds(5, 2),
            rights: rounds(3, 1),
            durability: rounds(3, 1),
        }
    }
}

/// One case for each length of burst and each room.
fn cases(rooms: [usize; 3], is_quick: bool) -> Vec<FanOut> {
    // (length of a burst, requests to each of the rooms).
    let requests = if is_quick {
        [(1, [50, 20, 10]), (10, [20, 5, 3]), (100, [5, 3, 2])]
    } else {
        [(1, [300, 60, 30]), (10, [50, 10, 4]), (100, [20, 5, 2])]
    };
    let case = |burst, (room, requests)| FanOut {
        room,
        burst,
        requests,
    };
    requests
        .into_iter()
        .flat_map(|(burst, requests)| {
            let cases = rooms.into_iter().zip(requests);
            cases.map(move |it| case(burst, it))
        })
        .collect()
}
