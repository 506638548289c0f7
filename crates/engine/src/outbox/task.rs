//! The side of the connection's task, and of the sockets that post.

use std::{collections::VecDeque, mem, sync::Arc, task::Waker};

use switchboard_protocol::session::CloseReason;

use super::{
    Entry, Order, Outbox, Posted, Poster, SocketNumber, Written,
    entry::{Kind, Load},
    overflow,
    state::Flow,
    wake,
};
use crate::Packet;

impl Outbox {
    pub(crate) fn post_from(
        &self,
        poster: Option<Poster<'_>>,
        packet: Arc<Packet>,
        mark: u64,
    ) -> Posted {
        let mut state = self.state.lock();
        if let Some(refused) = state.refuses(poster, mark) {
            return refused;
        }
        let entry = Entry::new(packet, number(poster), Kind::live(mark));
        if !state.fits(&entry, &self.common.limits) {
            overflow(state);
            return Posted::Behind;
        }
        state.queue_live(entry);
        let task = state.task_to_write();
        drop(state);
        wake(task);
        Posted::Queued
    }

    pub(crate) fn post_fleeting_from(
        &self,
        poster: Option<Poster<'_>>,
        packet: Arc<Packet>,
        mark: u64,
    ) -> Posted {
        let mut state = self.state.lock();
        if let Some(refused) = state.refuses(poster, mark) {
            return refused;
        }
        let entry = Entry::new(packet, number(poster), Kind::live(mark));
        if !state.has_spare(&entry, &self.common.limits) {
            return Posted::Full;
        }
        state.queue_live(entry);
        Posted::Queued
    }

    pub(crate) fn post_missed_from(
        &self,
        poster: Option<Poster<'_>>,
        packet: Arc<Packet>,
        mark: u64,
    ) -> Posted {
        let mut state = self.state.lock();
        match state.flow {
            _ if has_left(poster) => return Posted::Closed,
            Flow::Closed => return Posted::Closed,
            Flow::Live if state.covers(mark) => return Posted::Queued,
            Flow::Live | Flow::Behind { .. } | Flow::Rejoining { .. } => {}
        }
        let entry = Entry::new(packet, number(poster), Kind::missed(mark));
        if !state.fits(&entry, &self.common.limits) {
            return Posted::Full;
        }
        state.events.add(entry.len);
        state.queue.push_back(entry);
        let task = state.task_to_write();
        drop(state);
        wake(task);
        Posted::Queued
    }

    /// Queues a control packet in order with the events.
    pub(crate) fn send_from(&self, poster: Option<Poster<'_>>, packet: Arc<Packet>) -> Posted {
        self.control(poster, packet, false)
    }

    /// Queues a control packet that belongs to no socket, ahead of what waits for a CONNECT reply.
    pub(crate) fn send_ahead(&self, packet: Arc<Packet>) -> Posted {
        self.control(None, packet, true)
    }

    fn control(&self, poster: Option<Poster<'_>>, packet: Arc<Packet>, ahead: bool) -> Posted {
        let mut state = self.state.lock();
        if state.flow == Flow::Closed || has_left(poster) {
            return Posted::Closed;
        }
        let entry = Entry::new(packet, number(poster), Kind::Control);
        if state.controls.packets >= self.common.limits.controls_max
            || state.controls.bytes + entry.len > self.common.limits.controls_bytes_max
        {
            drop(state);
            self.order(Order::Close(CloseReason::ControlsOverflow));
            return Posted::Closed;
        }
        state.controls.add(entry.len);
        match state.held_from {
            Some(index) if ahead => {
                state.queue.insert(index, entry);
                state.held_from = Some(index + 1);
            }
            _ => state.queue.push_back(entry),
        }
        let task = state.task_to_write();
        drop(state);
        wake(task);
        Posted::Queued
    }

    /// Lets what is posted from now on wait for [`release`](Self::release).
    pub(crate) fn hold(&self) {
        let mut state = self.state.lock();
        state.held_from = Some(state.queue.len());
    }

    /// Puts `missed` events and `reply` in front of what was held and lets it go. The missed
    /// count as events, but always fit: there is at most one page of them.
    pub(crate) fn release(
        &self,
        socket: Option<SocketNumber>,
        missed: Vec<(Arc<Packet>, u64)>,
        reply: Arc<Packet>,
    ) {
        let mut state = self.state.lock();
        if state.flow == Flow::Closed {
            return;
        }
        let index = state.held_from.take().unwrap_or(state.queue.len());
        let held = state.queue.split_off(index);
        for (packet, mark) in missed {
            let entry = Entry::new(packet, socket, Kind::missed(mark));
            state.events.add(entry.len);
            state.queue.push_back(entry);
        }
        let entry = Entry::new(reply, None, Kind::Control);
        state.controls.add(entry.len);
        state.queue.push_back(entry);
        state.queue.extend(held);
    }

    /// Drops what was posted through a socket that has left and is not written yet.
    pub(crate) fn forget(&self, socket: SocketNumber) {
        let mut state = self.state.lock();
        let mut dropped = state.retain(|entry| entry.socket != Some(socket));
        if let Some(rare) = &mut state.rare {
            let rejoined = mem::take(&mut rare.rejoined).into_iter();
            let (gone, kept) = rejoined.partition(|entry| entry.socket == Some(socket));
            rare.rejoined = kept;
            dropped.extend(state.uncount(gone));
        }
        let drained = state.drained_waiters();
        drop(state);
        drop(dropped);
        wake(drained);
    }

    /// Asks something of the connection's task. Only the first reason to close counts.
    pub(crate) fn order(&self, order: Order) {
        let mut state = self.state.lock();
        if state.flow == Flow::Closed {
            return;
        }
        let orders = &mut state.rare().orders;
        if orders.iter().any(|order| matches!(order, Order::Close(_))) {
            return;
        }
        orders.push(order);
        let task = state.task.take();
        drop(state);
        wake(task);
    }

    /// What was asked since the last call.
    pub(crate) fn take_orders(&self) -> Vec<Order> {
        let mut state = self.state.lock();
        state
            .rare
            .as_mut()
            .map(|rare| mem::take(&mut rare.orders))
            .unwrap_or_default()
    }

    /// True once each time the outbox falls behind.
    pub(crate) fn take_behind(&self) -> bool {
        let mut state = self.state.lock();
        let fell = state.flow == Flow::Behind { told: false };
        if fell {
            state.flow = Flow::Behind { told: true };
        }
        fell
    }

    /// Takes note of what was written and moves what may be written next into `entries`.
    pub(crate) fn refill(&self, written: &Written, entries: &mut VecDeque<Entry>) {
        let mut state = self.state.lock();
        let drained = state.note(written);
        match state.held_from {
            // The empty queue keeps no buffer.
            _ if state.queue.is_empty() => {}
            None if entries.is_empty() => mem::swap(&mut state.queue, entries),
            None => entries.append(&mut state.queue),
            Some(index) => {
                entries.extend(state.queue.drain(..index));
                state.held_from = Some(0);
            }
        }
        drop(state);
        wake(drained);
    }

    /// Takes note of what was written.
    pub(crate) fn note(&self, written: &Written) {
        let drained = self.state.lock().note(written);
        wake(drained);
    }

    /// Registers the connection's task before it waits; false if there is something to do.
    /// A task that is `blocked` is not woken for what it could only write. One that found too
    /// many controls is `laden`, and goes on once somebody wrote them past it.
    pub(crate) fn listen(&self, task: &Waker, blocked: bool, laden: bool) -> bool {
        let mut state = self.state.lock();
        let unladen = laden && !state.is_laden(&self.common.limits);
        let writable = !blocked && !state.is_borrowed && state.has_packets();
        let returned = state.is_half_written() || state.flow == Flow::Closed && state.pen.is_some();
        let ordered = state
            .rare
            .as_ref()
            .is_some_and(|rare| !rare.orders.is_empty());
        if writable
            || returned
            || unladen
            || ordered
            || state.flow == (Flow::Behind { told: false })
        {
            return false;
        }
        state.blocked = blocked;
        match &state.task {
            Some(known) if known.will_wake(task) => {}
            _ => state.task = Some(task.clone()),
        }
        true
    }

    /// Whether half of the control packets that fit wait already. Whoever could make more of them
    /// by reading on stops before a client that only sends fast is taken for one that never reads.
    pub(crate) fn is_laden(&self) -> bool {
        self.state.lock().is_laden(&self.common.limits)
    }

    /// Whether something may be written.
    pub(crate) fn has_packets(&self) -> bool {
        self.state.lock().has_packets()
    }

    /// Ends the outbox and returns what was queued and not held. What is posted from now on is
    /// dropped.
    pub(crate) fn close(&self) -> VecDeque<Entry> {
        let mut state = self.state.lock();
        state.flow = Flow::Closed;
        state.events = Load::default();
        state.controls = Load::default();
        let mut queue = mem::take(&mut state.queue);
        let held = state.held_from.take().map(|index| queue.split_off(index));
        let rare = state.rare.take();
        state.task = None;
        drop(state);
        drop(held);
        if let Some(rare) = rare {
            wake(rare.drained);
        }
        queue
    }
}

fn has_left(poster: Option<Poster<'_>>) -> bool {
    poster.is_some_and(|poster| poster.has_left())
}

pub(super) fn number(poster: Option<Poster<'_>>) -> Option<SocketNumber> {
    poster.map(|poster| poster.socket)
}
