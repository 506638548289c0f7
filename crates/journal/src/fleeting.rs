use std::sync::Arc;

use async_trait::async_trait;
use switchboard_event::FleetingEvent;

use crate::Partition;

/// What is so for a moment: said to every node beside the log, and never stored.
///
/// Best effort, in both directions: a listener hears what is said while it listens, in the order in
/// which one node said it, unless it is too slow; then it loses the oldest and is told so. Each
/// event carries its lifetime, which makes good what was lost. `conformance` holds every
/// implementation to what is said here.
pub trait Fleeting: Send + Sync + 'static {
    /// Says `event` to whoever listens to the partition, here and elsewhere. Never waits and never
    /// fails: what cannot be sent is lost, as after the store was closed.
    fn send(&self, partition: Partition, event: Arc<FleetingEvent>);

    /// Listens to the partition from now on.
    fn listen(&self, partition: Partition) -> Box<dyn Listener>;
}

/// Fleeting events of one partition, as they come.
#[async_trait]
pub trait Listener: Send {
    /// Waits for the next one; `None` once the store is closed. Safe to cancel: what was not
    /// returned comes with the next call.
    async fn next(&mut self) -> Option<Heard>;
}

/// What a [`Listener`] heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    /// Somebody said this.
    Event(Arc<FleetingEvent>),
    /// About so many are lost, because the listener was too slow or was cut off: what is known of
    /// lasting facts, such as leases, must be read anew.
    Lost(u64),
}

/// How many events of one partition wait for a listener at most; fewer where there are many
/// partitions. Beyond it the oldest are lost.
pub const FLEETING_QUEUE_MAX: usize = 1_024;
