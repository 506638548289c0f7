//! Everything that was found.

use serde::Serialize;

use crate::disk::Syncs;
use crate::order::{
    Accepted, Appended, Connections, Decided, FanOut, FannedOut, Replayed, Storm, Subscribed,
};
use crate::past::Past;
use crate::plan::{Plan, Section};
use crate::server::ServerKind;
use crate::setup::Setup;

/// Samples of all sections, in the order in which they were taken.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) servers: Vec<ServerKind>,
    pub(crate) connections: Vec<(ServerKind, Connections)>,
    /// With the number of the round, for ratios of what was measured side by side.
    pub(crate) fan_out: Vec<(usize, ServerKind, FanOut, FannedOut)>,
    pub(crate) accepted: Vec<(ServerKind, Setup, Accepted)>,
    pub(crate) subscribed: Vec<(ServerKind, Decided, Subscribed)>,
    pub(crate) syncs: Vec<Syncs>,
    /// By the number of producers, with the syncs of the disk just before.
    pub(crate) appended: Vec<(ServerKind, usize, Appended)>,
    pub(crate) recovered: Vec<(ServerKind, Storm)>,
    pub(crate) past: Option<(Past, Replayed)>,
    pub(crate) failures: Vec<Failure>,
}

/// What a server did not do. Its other numbers of the section are not shown.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Failure {
    pub(crate) section: Section,
    pub(crate) server: ServerKind,
    pub(crate) what: String,
}

impl Results {
    pub(crate) fn new(machine: Vec<String>, plan: Plan, servers: Vec<ServerKind>) -> Self {
        Self {
            machine,
            plan,
            servers,
            connections: Vec::new(),
            fan_out: Vec::new(),
            accepted: Vec::new(),
            subscribed: Vec::new(),
            syncs: Vec::new(),
            appended: Vec::new(),
            recovered: Vec::new(),
            past: None,
            failures: Vec::new(),
        }
    }

    /// Whether a server failed in a section.
    pub(crate) fn has_failed(&self, section: Section, server: ServerKind) -> bool {
        self.failures
            .iter()
            .any(|it| it.section == section && it.server == server)
    }
}
