//! What a station is told, and what it finds.

use serde::{Deserialize, Serialize};

use crate::disk::Syncs;
use crate::layout::Layout;
use crate::statistics::Latencies;

/// What a station is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Connect everybody.
    Populate(Layout),
    /// Publish to one room, again and again; needs [`Order::Populate`].
    FanOut(FanOut),
    /// Say whether everybody is still connected.
    Muster,
    /// Connect in two steps, then cut all connections and have them back; needs a fresh station.
    Connections {
        /// Who connects, `layout.clients` in the end.
        layout: Layout,
        /// How many connect in the first step.
        base: usize,
        /// How long to wait before memory is read, in milliseconds.
        settle_ms: u64,
    },
    /// Connect in two steps, and count the second; needs a fresh station.
    Accept { layout: Layout, base: usize },
    /// Connect everybody; each then subscribes to rooms that are decided in several ways.
    Subscribe(Layout),
    /// Write to the server's directory and sync, for so many milliseconds.
    Sync { time_ms: u64 },
    /// Publish single events by many producers at once.
    Append(Append),
    /// Connect everybody, cut all, and have them back.
    Recover(Recover),
    /// One client asks for the past of a room, and a backend for pages of it.
    Replay(Replay),
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

/// Producers, each of which publishes one event after the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Append {
    pub(crate) producers: usize,
    pub(crate) time_ms: u64,
}

/// Clients that are cut.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Recover {
    pub(crate) layout: Layout,
    /// How many events each measured room misses.
    pub(crate) missed: u64,
}

/// A room with a long past.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Replay {
    pub(crate) account: String,
    /// The position before its first event.
    pub(crate) after: String,
    /// How many events it has, numbered from 1.
    pub(crate) events: u64,
}

/// What a station found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Finding {
    Populated,
    FannedOut(FannedOut),
    Present,
    Connections(Connections),
    Accepted(Accepted),
    Subscribed(Vec<(Decided, Subscribed)>),
    Synced(Syncs),
    Appended(Appended),
    Recovered(Storm),
    Replayed(Replayed),
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

/// What the connections of a second step took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Accepted {
    /// CPU of the server for each.
    pub(crate) cpu_us_per_connection: f64,
}

/// All connections cut at once, and everybody back.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Storm {
    /// Seconds until everybody was subscribed again and had what recovery brings.
    pub(crate) back_s: f64,
    /// From the cut until a client was subscribed again.
    pub(crate) back: Latencies,
    /// CPU of the server for each connection that was cut and came back.
    pub(crate) cpu_us_per_connection: f64,
    /// The share of clients that recovery gave their rooms back.
    pub(crate) recovered: f64,
    /// The share of deliveries, published while nobody was there, that recovery brought.
    pub(crate) missed_delivered: f64,
    /// Clients that were turned away, and tried again.
    pub(crate) retries: usize,
}

/// How it was decided whether a client may hear a room.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Decided {
    /// By the patterns of its token.
    Claims,
    /// By a query of SQLite.
    Sql,
    /// By what a query of SQLite said before.
    SqlWarm,
    /// By asking the backend.
    Http,
    /// By what the backend said before.
    HttpWarm,
}

/// What subscriptions took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Subscribed {
    /// CPU of the server for each.
    pub(crate) cpu_us: f64,
    /// From the event to its ack.
    pub(crate) latencies: Latencies,
}

/// What publishing single events took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Appended {
    pub(crate) per_s: f64,
    /// From the first byte of the request to the answer.
    pub(crate) latencies: Latencies,
    /// CPU of the server for each.
    pub(crate) cpu_us: f64,
    /// CPU of the load generator, as a share of the time.
    pub(crate) loader_share: f64,
}

/// What the past of a room took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Replayed {
    /// Through a client that subscribes and goes on after each `next`.
    pub(crate) subscribing: Pages,
    /// Through `GET /v1/events`, if the server has it.
    pub(crate) paging: Option<Pages>,
}

/// A past in pages.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Pages {
    /// From the first question to the last event.
    pub(crate) time_s: f64,
    /// How long one page took, whatever it holds.
    pub(crate) latencies: Latencies,
    /// How many pages there were.
    pub(crate) count: usize,
    /// CPU of the server for each event.
    pub(crate) cpu_us: f64,
}
