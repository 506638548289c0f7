use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use parking_lot::{Mutex, MutexGuard};
use switchboard_metrics::Counter;
use switchboard_protocol::session::{CloseReason, MemberId};

use crate::Packet;

mod direct;
mod entry;
mod state;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, Written};
use state::{Flow, State};
use task::number;

/// What one connection still has to write: whole, shared packets in the order of posting.
///
/// Bounded in bytes and packets. A live event that does not fit drops all live events still
/// queued, which puts the outbox *behind*: it takes no live event any more, and whoever keeps the
/// history posts what was missed ([`post_missed`](Self::post_missed)) at the pace of the
/// connection, until it has caught up and goes live again ([`rejoin`](Self::rejoin),
/// [`go_live`](Self::go_live)). What was missed is never dropped, so that its last mark that is
/// written stands for all before it.
/// Control packets are never dropped; they have a bound of their own, whose overflow closes the
/// connection. While empty it holds no allocation.
#[derive(Debug)]
pub struct Outbox {
    common: Arc<Common>,
    state: Mutex<State>,
}

/// What the outboxes of all connections share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) limits: OutboxLimits,
    /// Bytes that went to clients.
    pub(crate) bytes_out: Arc<Counter>,
}

/// The bounds of an [`Outbox`].
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Most bytes of events.
    pub bytes_max: usize,
    /// Most events.
    pub packets_max: usize,
    /// Most bytes of control packets.
    pub controls_bytes_max: usize,
    /// Most control packets.
    pub controls_max: usize,
}

/// What became of a packet that was posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Posted {
    /// It will be written, or its mark says that the client has it already.
    Queued,
    /// It was dropped: the outbox is behind.
    Behind,
    /// It was not taken, because it does not fit now; nothing else was dropped.
    Full,
    /// It was dropped: the connection, or the socket it was posted through, ended.
    Closed,
}

/// Tells the sockets of one connection apart.
pub(crate) type SocketNumber = MemberId;

/// The socket that a packet is posted through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poster<'a> {
    pub(crate) socket: SocketNumber,
    /// Whether it has left. Looked at under the lock of the outbox: whoever sets it and then
    /// [`forgets`](Outbox::forget) the socket leaves nothing of it in the queue.
    pub(crate) left: &'a AtomicBool,
}

impl Poster<'_> {
    fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

/// What the application asked of the connection's task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    Leave(SocketNumber),
    Close(CloseReason),
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: OutboxLimits) -> Self {
        Self::with(Arc::new(Common {
            limits,
            bytes_out: Arc::default(),
        }))
    }

    pub(crate) fn with(common: Arc<Common>) -> Self {
        Self {
            common,
            state: Mutex::default(),
        }
    }

    /// Queues a live event. `mark` is the caller's, and grows from event to event: it becomes
    /// [`written`](Self::written) once the packet is wholly written. 0 is no mark.
    pub fn post(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.post_from(None, packet, mark)
    }

    /// Queues a live event that nobody has to hear: it is dropped where another one would put the
    /// outbox behind, and already when a part of the space is taken, so that it is the first thing
    /// that a slow client loses. Wakes nobody: a flush must follow.
    pub fn post_fleeting(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.post_fleeting_from(None, packet, mark)
    }

    /// The highest mark of the events that were wholly written, 0 before the first.
    pub fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Whether events were dropped and the connection is not live again.
    pub fn is_behind(&self) -> bool {
        matches!(
            self.state.lock().flow,
            Flow::Behind { .. } | Flow::Rejoining { told: true }
        )
    }

    /// Whether nothing is left to write of what may be written.
    pub fn is_drained(&self) -> bool {
        self.state.lock().is_drained()
    }

    /// Whether the connection ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().flow == Flow::Closed
    }

    /// Drops what is queued of live events and takes none any more, as if they had overflowed.
    pub fn fall_behind(&self) {
        let state = self.state.lock();
        if matches!(state.flow, Flow::Live | Flow::Rejoining { .. }) {
            overflow(state);
        }
    }

    /// Queues an event of the past, also while behind, and never drops another one for it:
    /// [`Posted::Full`] means to wait until what is queued is [`drained`](Self::drained).
    pub fn post_missed(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.post_missed_from(None, packet, mark)
    }

    /// Lets live events wait for some of the past, until [`go_live(0)`](Self::go_live). False if
    /// they do not come now anyway.
    pub fn hold_live(&self) -> bool {
        let mut state = self.state.lock();
        let is_live = state.flow == Flow::Live;
        if is_live {
            state.flow = Flow::Rejoining { told: false };
        }
        is_live
    }

    /// Begins to keep live events again, behind the missed ones that are still to be posted.
    pub fn rejoin(&self) {
        let mut state = self.state.lock();
        if matches!(state.flow, Flow::Behind { .. }) {
            state.flow = Flow::Rejoining { told: true };
        }
    }

    /// Ends being behind: all up to the mark `through` was posted as missed, and what came live
    /// beyond it since [`rejoin`](Self::rejoin) follows. False if the live events overflowed
    /// meanwhile: then the connection is still behind, from what is written on.
    pub fn go_live(&self, through: u64) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.flow, Flow::Rejoining { .. }) {
            return state.flow == Flow::Closed;
        }
        state.flow = Flow::Live;
        let rare = state.rare();
        rare.covered = rare.covered.max(through);
        let mut covered = Vec::new();
        for entry in mem::take(&mut rare.rejoined) {
            if entry.is_beyond(through) {
                state.queue.push_back(entry);
            } else {
                state.events.remove(entry.len);
                covered.push(entry);
            }
        }
        let drained = state.drained_waiters();
        let task = state.task_to_write();
        drop(state);
        drop(covered);
        wake(drained);
        wake(task);
        true
    }

    /// Waits until every event is written or dropped, but for live ones that wait for those of the
    /// past; or until the connection ended.
    pub async fn drained(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.state.lock();
            if state.is_drained() || state.flow == Flow::Closed {
                return Poll::Ready(());
            }
            // A waiter that asks again must not be kept twice.
            let drained = &mut state.rare().drained;
            if !drained.iter().any(|known| known.will_wake(context.waker())) {
                drained.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Bytes and packets of events that are not written yet.
    pub fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.events.bytes, state.events.packets)
    }
}

/// Drops what is queued of live events, and tells whom it concerns.
fn overflow(mut state: MutexGuard<'_, State>) {
    let dropped = state.fall_behind();
    let drained = state.drained_waiters();
    let task = state.task.take();
    drop(state);
    drop(dropped);
    wake(drained);
    wake(task);
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
