//! Rooms of a session that are being decided about again, and what it hears meanwhile: nothing.

use std::collections::HashMap;
use std::mem;

use switchboard_event::Room;
use switchboard_hub::Grant;
use tokio::sync::watch;

use super::{Session, State};
use crate::auth::Identity;

/// The rooms of a session whose right is in doubt, each with the order that last put it there.
///
/// The session stays in them, so that its line goes on without a gap once they are decided; what
/// they say meanwhile makes the line wait.
pub(super) struct Undecided {
    rooms: HashMap<Room, u64>,
    changed: watch::Sender<()>,
}

/// What a session was in doubt about at some moment, for whoever looks and then waits: what is
/// decided in between is not missed.
pub(crate) struct Doubts(Option<watch::Receiver<()>>);

/// What was so when it was begun to decide about rooms. If it is so no more when they are to be
/// joined, what was decided may not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Basis {
    orders: u64,
    renewals: u32,
}

impl Session {
    /// Puts in doubt the rooms that `is_meant`: from here on nothing of them reaches the session,
    /// until somebody decides. Returns whether there are such.
    ///
    /// `order` is the number of the order that does so; only who decides for the last one counts.
    pub(crate) fn suspend(&self, order: u64, is_meant: impl Fn(&Identity, &Room) -> bool) -> bool {
        let mut state = self.state.lock();
        if state.is_ended {
            return false;
        }
        let State {
            identity,
            rooms,
            undecided,
            ..
        } = &mut *state;
        let meant = rooms.iter().filter(|one| is_meant(identity, &one.room));
        let mut is_any = false;
        for one in meant {
            is_any = true;
            self.seat.suspend(&one.room);
            let undecided = undecided.get_or_insert_default();
            undecided.rooms.insert(one.room.clone(), order);
        }
        is_any
    }

    /// Lets the session hear a room again that was put in doubt by `order` and by no later one, if
    /// the token that this was decided for is the one that it has still. Returns whether it does.
    pub(crate) fn restore(&self, grant: &Grant, order: u64, renewals: u32) -> bool {
        let mut state = self.state.lock();
        let is_current =
            state.renewals == renewals && state.undecided_by(grant.room()) == Some(order);
        if is_current {
            self.settle(&mut state, grant);
        }
        is_current
    }

    /// The rooms that `order` put in doubt, and no later one, and that are so still.
    pub(crate) fn undecided(&self, order: u64) -> Vec<Room> {
        let state = self.state.lock();
        let rooms = state.undecided.iter().flat_map(|one| &one.rooms);
        let of_order = rooms.filter(|(_, by)| **by == order);
        of_order.map(|(room, _)| room.clone()).collect()
    }

    /// Waits until `room` is in doubt no more: it is heard, or it was left.
    pub(crate) async fn decided(&self, room: &Room) {
        loop {
            let changed = match &self.state.lock().undecided {
                Some(undecided) if undecided.has(room) => undecided.changed.subscribe(),
                _ => return,
            };
            wait(changed).await;
        }
    }

    /// What is in doubt now. To be taken before it is looked what that holds up.
    pub(crate) fn doubts(&self) -> Doubts {
        let state = self.state.lock();
        let undecided = state.undecided.as_ref();
        Doubts(undecided.map(|undecided| undecided.changed.subscribe()))
    }

    /// Whether `room` is one of the session's, though nothing of it is heard at this moment.
    pub(crate) fn is_in_doubt(&self, room: &Room) -> bool {
        self.state.lock().is_undecided(room)
    }

    /// What a decision that begins now is built on.
    pub(crate) fn basis(&self) -> Basis {
        Basis {
            renewals: self.renewals(),
            orders: self.lane.orders(),
        }
    }

    /// Whether what is decided on this basis counts. Asked under the lock of the session: an order
    /// that comes after this finds what is joined under the same lock.
    pub(super) fn is_sound(&self, state: &State, basis: Basis) -> bool {
        state.renewals == basis.renewals && self.lane.orders() == basis.orders
    }

    /// Joins again what was in doubt.
    pub(super) fn settle(&self, state: &mut State, grant: &Grant) {
        if state.is_undecided(grant.room()) {
            self.seat
                .join(grant)
                .expect("rights and seat are of one tenant");
            state.no_doubt(|room| room == grant.room());
        }
    }
}

impl State {
    pub(super) fn is_undecided(&self, room: &Room) -> bool {
        self.undecided.as_ref().is_some_and(|one| one.has(room))
    }

    /// These rooms are in doubt no more.
    pub(super) fn no_doubt(&mut self, is_decided: impl Fn(&Room) -> bool) {
        let Some(mut undecided) = mem::take(&mut self.undecided) else {
            return;
        };
        undecided.rooms.retain(|room, _| !is_decided(room));
        undecided.changed.send_replace(());
        if !undecided.rooms.is_empty() {
            self.undecided = Some(undecided);
        }
    }

    /// The order that last put `room` in doubt, if it is so still.
    fn undecided_by(&self, room: &Room) -> Option<u64> {
        self.undecided.as_ref()?.rooms.get(room).copied()
    }
}

impl Undecided {
    fn has(&self, room: &Room) -> bool {
        self.rooms.contains_key(room)
    }
}

impl Doubts {
    /// Waits until something was decided since these were taken; not at all if nothing was in doubt
    /// then, because whoever waits has seen that something is by now, and may look again.
    pub(crate) async fn next_decision(self) {
        if let Some(changed) = self.0 {
            wait(changed).await;
        }
    }
}

impl Default for Undecided {
    fn default() -> Self {
        Self {
            rooms: HashMap::new(),
            changed: watch::Sender::new(()),
        }
    }
}

/// Until there is a change, or nothing left that could change.
async fn wait(mut changed: watch::Receiver<()>) {
    let _ = changed.changed().await;
}
