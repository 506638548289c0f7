use serde::{Deserialize, Serialize};
use switchboard_event::Timestamp;

use super::name::NodeName;
use super::word::Word;

/// Who is connected to all nodes that share a journal, as one of them knows.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectionStats {
    /// Sockets that are connected.
    pub connected: usize,
    /// Rooms that somebody is in; one that has members on two nodes counts for each.
    pub rooms: usize,
    /// Different users; one who is on two nodes counts for each.
    pub users: usize,
    /// The node that was asked.
    pub node: String,
    /// Whether it has heard of the others lately. Else it is cut off from the journal, and some may be
    /// missing.
    pub complete: bool,
    /// Each node, the oldest first; those of others as they counted a few seconds ago.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStats>,
}

/// Who is connected to one node.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// The node; a restart makes a new one.
    pub node: String,
    /// What its settings call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<NodeName>,
    /// Where it listens.
    pub address: String,
    /// The version that it runs.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it counted.
    pub at: Timestamp,
    /// Sockets that are connected.
    pub connected: usize,
    /// Rooms that somebody is in.
    pub rooms: usize,
    /// Different users.
    pub users: usize,
}

/// What one node counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct Headcount {
    pub(crate) connected: u32,
    pub(crate) rooms: u32,
    pub(crate) users: u32,
}

impl ConnectionStats {
    pub(super) fn of(node: &str, mut nodes: Vec<NodeStats>, complete: bool) -> Self {
        nodes.sort_by(|a, b| (a.started_at, &a.node).cmp(&(b.started_at, &b.node)));
        let sum = |count: fn(&NodeStats) -> usize| nodes.iter().map(count).sum();
        Self {
            connected: sum(|node| node.connected),
            rooms: sum(|node| node.rooms),
            users: sum(|node| node.users),
            node: node.to_owned(),
            complete,
            nodes,
        }
    }

    /// The same for whom it is none of their business what nodes there are.
    pub(crate) fn without_nodes(self) -> Self {
        Self {
            nodes: Vec::new(),
            ..self
        }
    }
}

impl Headcount {
    pub(crate) fn of(stats: switchboard_gateway::Stats) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            connected: count(stats.connected),
            rooms: count(stats.rooms),
            users: count(stats.users),
        }
    }
}

impl From<&Word> for NodeStats {
    fn from(word: &Word) -> Self {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            node: word.id.clone(),
            name: word.name.clone(),
            address: word.address.clone(),
            version: word.version.clone(),
            started_at: Timestamp::from_millis(word.started_at_ms),
            at: Timestamp::from_millis(word.at_ms),
            connected: count(word.count.connected),
            rooms: count(word.count.rooms),
            users: count(word.count.users),
        }
    }
}
