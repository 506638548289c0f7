use std::{collections::VecDeque, mem, task::Waker};

use super::{
    Entry, Order, OutboxLimits, Posted, Poster, Written,
    entry::{Kind, Load},
};
use crate::pen::Pen;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Entry>,
    pub(super) events: Load,
    pub(super) controls: Load,
    pub(super) written: u64,
    /// Entries from here on wait for a CONNECT reply.
    pub(super) held_from: Option<usize>,
    pub(super) flow: Flow,
    /// The connection's task, while it waits.
    pub(super) task: Option<Waker>,
    /// Whether the task could not write more if it were woken.
    pub(super) blocked: bool,
    /// The right to write, while the task lends it and nobody has borrowed it.
    pub(super) pen: Option<Pen>,
    /// Somebody writes past the task at this moment, and will look at the queue again.
    pub(super) is_borrowed: bool,
    /// The task is gone: a pen that is returned is dropped.
    pub(super) is_retired: bool,
    /// What few connections ever need; most are idle and live.
    pub(super) rare: Option<Box<Rare>>,
}

/// What a connection has that is told something, or that fell behind.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) orders: Vec<Order>,
    /// Live events up to this mark are among those that were posted as missed.
    pub(super) covered: u64,
    /// Live events that came while the last missed ones were being posted.
    pub(super) rejoined: Vec<Entry>,
    /// Whoever waits for the queue to be written.
    pub(super) drained: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Flow {
    #[default]
    Live,
    /// Live events are dropped.
    Behind {
        told: bool,
    },
    /// Live events wait until the last missed ones are posted. `told`: whether the application
    /// knows already that it is behind, if they overflow.
    Rejoining {
        told: bool,
    },
    Closed,
}

impl State {
    /// What most connections do not need, made when it is.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Drops all queued live events and returns them, to be freed outside of the lock.
    pub(super) fn fall_behind(&mut self) -> Vec<Entry> {
        // Whoever rejoins knows already, and finds out when it wants to go live.
        let told = matches!(self.flow, Flow::Rejoining { told: true });
        self.flow = Flow::Behind { told };
        let rejoined = mem::take(&mut self.rare().rejoined);
        let mut dropped = self.uncount(rejoined);
        dropped.extend(self.retain(|entry| !entry.is_live()));
        dropped
    }

    /// Whether nothing is left to write of what may be written.
    pub(super) fn is_drained(&self) -> bool {
        self.events.packets == self.rare.as_ref().map_or(0, |rare| rare.rejoined.len())
    }

    /// Whether the client has had the live event with this mark among the missed ones.
    pub(super) fn covers(&self, mark: u64) -> bool {
        mark != 0 && self.rare.as_ref().is_some_and(|rare| mark <= rare.covered)
    }

    /// One packet always fits, or it could never be sent at all.
    pub(super) fn fits(&self, entry: &Entry, limits: &OutboxLimits) -> bool {
        self.events.packets == 0
            || (self.events.packets < limits.packets_max
                && self.events.bytes + entry.len <= limits.bytes_max)
    }

    /// Whether there is so much space that what nobody has to hear may take some.
    pub(super) fn has_spare(&self, entry: &Entry, limits: &OutboxLimits) -> bool {
        self.events.packets < limits.packets_max / SPARE_PART
            && self.events.bytes + entry.len <= limits.bytes_max / SPARE_PART
    }

    /// Takes events that are in no queue any more out of the count.
    pub(super) fn uncount(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        for entry in &entries {
            self.events.remove(entry.len);
        }
        entries
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut dropped = Vec::new();
        let mut held_from = self.held_from;
        for (index, entry) in mem::take(&mut self.queue).into_iter().enumerate() {
            if keep(&entry) {
                self.queue.push_back(entry);
                continue;
            }
            match entry.kind {
                Kind::Event { .. } => self.events.remove(entry.len),
                Kind::Control => self.controls.remove(entry.len),
                Kind::Transport => {}
            }
            if self.held_from.is_some_and(|from| index < from) {
                held_from = held_from.map(|from| from - 1);
            }
            dropped.push(entry);
        }
        self.held_from = held_from;
        dropped
    }

    pub(super) fn note(&mut self, written: &Written) -> Vec<Waker> {
        if self.flow == Flow::Closed {
            return Vec::new();
        }
        self.events.subtract(written.events);
        self.controls.subtract(written.controls);
        self.written = self.written.max(written.mark);
        self.drained_waiters()
    }

    pub(super) fn drained_waiters(&mut self) -> Vec<Waker> {
        match &mut self.rare {
            Some(rare) if self.events.packets == rare.rejoined.len() => {
                mem::take(&mut rare.drained)
            }
            _ => Vec::new(),
        }
    }

    /// Whom to wake for what was queued: nobody, if somebody writes already or cannot.
    pub(super) fn task_to_write(&mut self) -> Option<Waker> {
        if self.blocked || self.is_borrowed || !self.has_packets() {
            return None;
        }
        self.task.take()
    }

    /// Why a live event is not queued, if it is not.
    pub(super) fn refuses(&self, poster: Option<Poster<'_>>, mark: u64) -> Option<Posted> {
        match self.flow {
            _ if poster.is_some_and(|poster| poster.has_left()) => Some(Posted::Closed),
            Flow::Closed => Some(Posted::Closed),
            Flow::Behind { .. } => Some(Posted::Behind),
            Flow::Live if self.covers(mark) => Some(Posted::Queued),
            Flow::Live | Flow::Rejoining { .. } => None,
        }
    }

    /// Queues a live event that fits.
    pub(super) fn queue_live(&mut self, entry: Entry) {
        self.events.add(entry.len);
        if matches!(self.flow, Flow::Rejoining { .. }) {
            self.rare().rejoined.push(entry);
        } else {
            self.queue.push_back(entry);
        }
    }

    /// Whether something may be written.
    pub(super) fn has_packets(&self) -> bool {
        self.held_from.unwrap_or(self.queue.len()) > 0
    }

    /// Whether all that is queued may be written, and something is.
    pub(super) fn may_write(&self) -> bool {
        self.flow != Flow::Closed && self.held_from.is_none() && !self.queue.is_empty()
    }

    pub(super) fn is_laden(&self, limits: &OutboxLimits) -> bool {
        self.controls.packets > limits.controls_max / 2
            || self.controls.bytes > limits.controls_bytes_max / 2
    }

    /// Whether whoever borrowed the pen could not write all, so that the task must.
    pub(super) fn is_half_written(&self) -> bool {
        self.pen.as_ref().is_some_and(Pen::is_writing)
    }

    /// The right to write all that is queued, until [`return_pen`](Self::return_pen).
    pub(super) fn borrow_pen(&mut self) -> Option<Pen> {
        if !self.may_write() || self.is_half_written() {
            return None;
        }
        let pen = self.pen.take();
        self.is_borrowed = pen.is_some();
        pen
    }

    /// Returns the task to wake, and the pen if nobody needs it any more.
    pub(super) fn return_pen(&mut self, pen: Pen, wakes: bool) -> (Option<Waker>, Option<Pen>) {
        self.is_borrowed = false;
        if self.is_retired {
            return (None, Some(pen));
        }
        let wakes = wakes || self.flow == Flow::Closed || pen.is_writing() || self.has_packets();
        self.pen = Some(pen);
        (wakes.then(|| self.task.take()).flatten(), None)
    }
}

/// Which part of the space what nobody has to hear may fill, together with everything else.
const SPARE_PART: usize = 4;
