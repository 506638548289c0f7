use std::sync::Arc;

use super::SocketNumber;
use crate::Packet;

/// One packet of the queue. Its bytes count until it is written or dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) packet: Arc<Packet>,
    pub(super) socket: Option<SocketNumber>,
    pub(super) kind: Kind,
    /// Bytes that it counts for.
    pub(super) len: usize,
}

impl Entry {
    /// A word of the transport itself.
    pub(crate) fn transport(packet: Packet) -> Self {
        Self::new(Arc::new(packet), None, Kind::Transport)
    }

    /// Whether an overflow drops this: who keeps the history posts it again as missed.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.kind, Kind::Event { is_live: true, .. })
    }

    /// Whether this is an event that those up to `through` do not cover.
    pub(super) fn is_beyond(&self, through: u64) -> bool {
        matches!(self.kind, Kind::Event { mark, .. } if mark == 0 || mark > through)
    }

    pub(super) fn new(packet: Arc<Packet>, socket: Option<SocketNumber>, kind: Kind) -> Self {
        let len = packet.wire_len();
        Self {
            packet,
            socket,
            kind,
            len,
        }
    }
}

/// What became wholly written since the last time.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(super) events: Load,
    pub(super) controls: Load,
    /// The highest mark, 0 if there was none.
    pub(super) mark: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Event {
        mark: u64,
        is_live: bool,
    },
    Control,
    /// Not of the queue: a word of the transport itself, which counts for nothing.
    Transport,
}

impl Kind {
    pub(super) fn live(mark: u64) -> Self {
        Self::Event {
            mark,
            is_live: true,
        }
    }

    pub(super) fn missed(mark: u64) -> Self {
        Self::Event {
            mark,
            is_live: false,
        }
    }
}

/// What is queued of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) packets: usize,
    pub(super) bytes: usize,
}

impl Written {
    /// Counts an entry that was wholly written.
    pub(crate) fn add(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Event { mark, .. } => {
                self.events.add(entry.len);
                self.mark = self.mark.max(mark);
            }
            Kind::Control => self.controls.add(entry.len),
            Kind::Transport => {}
        }
    }
}

impl Load {
    pub(super) fn add(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len;
    }

    pub(super) fn remove(&mut self, len: usize) {
        self.packets -= 1;
        self.bytes -= len;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.packets -= other.packets;
        self.bytes -= other.bytes;
    }
}
