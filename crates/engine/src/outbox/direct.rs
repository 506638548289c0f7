//! Writing past the connection's task: whoever posts to many connections borrows the right to
//! write to each, so that no task is woken for a write that takes no wait.

use std::{mem, sync::Arc};

use parking_lot::MutexGuard;

use super::{
    Entry, Outbox, Posted, Poster, Written,
    entry::Kind,
    number, overflow,
    state::{Flow, State},
    wake,
};
use crate::{Packet, pen::Pen};

impl Outbox {
    /// Queues live events and wakes nobody: a [`flush`](Self::flush) must follow. As long as the
    /// connection takes what is written, more than fits is no reason to fall behind.
    pub(crate) fn post_all_from(
        &self,
        poster: Option<Poster<'_>>,
        events: &[(Arc<Packet>, u64)],
    ) -> Posted {
        let queued = self.queue_all(poster, events);
        queued.map_or_else(|refused| refused, |_| Posted::Queued)
    }

    /// Queues live events and [flushes](Self::flush), under one lock where they fit.
    pub(crate) fn write_all_from(
        &self,
        poster: Option<Poster<'_>>,
        events: &[(Arc<Packet>, u64)],
    ) -> Posted {
        match self.queue_all(poster, events) {
            Ok(state) => {
                self.write_queue(state);
                Posted::Queued
            }
            Err(refused) => {
                // What others have queued is written all the same.
                self.flush();
                refused
            }
        }
    }

    /// Writes what is queued, as far as the socket takes it now; the connection's task does the
    /// rest, and all of it if it has not lent its pen. Never waits, and holds no lock over a write.
    pub(crate) fn flush(&self) {
        self.write_queue(self.state.lock());
    }

    /// Queues live events; the lock is still held then, unless they are refused.
    fn queue_all(
        &self,
        poster: Option<Poster<'_>>,
        events: &[(Arc<Packet>, u64)],
    ) -> Result<MutexGuard<'_, State>, Posted> {
        let mut state = self.state.lock();
        let mut may_flush = true;
        let mut events = events.iter();
        let mut next = events.next();
        while let Some((packet, mark)) = next {
            if let Some(refused) = state.refuses(poster, *mark) {
                if refused != Posted::Queued {
                    return Err(refused);
                }
                next = events.next();
                continue;
            }
            let entry = Entry::new(packet.clone(), number(poster), Kind::live(*mark));
            if state.fits(&entry, &self.common.limits) {
                state.queue_live(entry);
                may_flush = true;
                next = events.next();
            } else if mem::take(&mut may_flush) {
                self.write_queue(state);
                state = self.state.lock();
            } else {
                overflow(state);
                return Err(Posted::Behind);
            }
        }
        Ok(state)
    }

    fn write_queue<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        let Some(mut pen) = state.borrow_pen() else {
            let task = state.task_to_write();
            drop(state);
            return wake(task);
        };
        let mut rounds = 0;
        loop {
            let entries = mem::take(&mut state.queue);
            drop(state);
            let mut written = Written::default();
            pen.write(entries, &mut written, &self.common.bytes_out);
            rounds += 1;
            state = self.state.lock();
            let was_laden = state.is_laden(&self.common.limits);
            let drained = state.note(&written);
            if !drained.is_empty() {
                // Rare: only whoever posts what was missed waits for this.
                drop(state);
                wake(drained);
                state = self.state.lock();
            }
            if rounds < ROUNDS_MAX && !pen.is_writing() && state.may_write() {
                continue;
            }
            let unladen = was_laden && !state.is_laden(&self.common.limits);
            let (task, pen) = state.return_pen(pen, unladen);
            drop(state);
            drop(pen);
            return wake(task);
        }
    }

    /// Lends the right to write to whoever posts.
    pub(crate) fn lend(&self, pen: Pen) {
        self.state.lock().pen = Some(pen);
    }

    /// Takes it back, if there is something to write and nobody writes at this moment.
    pub(crate) fn reclaim(&self) -> Option<Pen> {
        let mut state = self.state.lock();
        if state.flow == Flow::Closed || state.has_packets() || state.is_half_written() {
            state.pen.take()
        } else {
            None
        }
    }

    /// Gives up the right to write, once nobody writes: the connection is over.
    pub(crate) fn retire(&self) -> Option<Pen> {
        let mut state = self.state.lock();
        state.is_retired = true;
        state.pen.take()
    }
}

/// What others post while one writes is written too, but not for ever.
const ROUNDS_MAX: usize = 4;
