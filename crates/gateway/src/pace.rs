//! Posting what was read from the journal: at the pace of the client's own socket.

use std::sync::Arc;

use switchboard_engine::{Packet, Posted, SocketHandle};

/// Live events wait for the past, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held(Option<SocketHandle>);

impl Held {
    /// Lets live events wait, unless the session is behind and gets none.
    pub(crate) fn begin(handle: &SocketHandle) -> Self {
        Self(handle.outbox().hold_live().then(|| handle.clone()))
    }
}

impl Drop for Held {
    /// What overflowed meanwhile puts the session behind, of which the engine tells.
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.outbox().go_live(0);
        }
    }
}

/// Queues an event that was missed, or replayed, as soon as the connection takes it; false if the
/// connection ended.
pub(crate) async fn post(handle: &SocketHandle, packet: &Arc<Packet>, mark: u64) -> bool {
    loop {
        match handle.post_missed(Arc::clone(packet), mark) {
            Posted::Queued => return true,
            Posted::Full if handle.outbox().is_drained() => {
                // Nothing but live events that wait for this one: they are read again later.
                handle.outbox().fall_behind();
            }
            Posted::Full | Posted::Behind => handle.outbox().drained().await,
            Posted::Closed => return false,
        }
    }
}
