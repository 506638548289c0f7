//! What of the past a session is sent, when it asks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_event::{Room, RoomKind};
use switchboard_journal::Record;

use super::{Hearing, Session};

/// A session is being replayed to, until this is dropped.
#[derive(Debug)]
pub(crate) struct Replaying(Arc<Session>);

impl Drop for Replaying {
    fn drop(&mut self) {
        self.0.is_replaying.store(false, Ordering::Release);
    }
}

impl Session {
    /// Begins a replay at the client's wish; none while another one is under way.
    pub(crate) fn begin_replay(self: &Arc<Self>) -> Option<Replaying> {
        let was_replaying = self.is_replaying.swap(true, Ordering::Acquire);
        (!was_replaying).then(|| Replaying(Arc::clone(self)))
    }

    /// Whether a replay of `replayed` has `record`: because one of them heard it that the session is
    /// still in, and the session is in no room that it excepts. What is said to every tenant its team
    /// heard.
    pub(crate) fn hears_again(&self, record: &Record, replayed: &[Room]) -> Hearing {
        let audience = record.event.audience();
        let is_for_all = record.event.tenant().is_everyone();
        let state = self.state.lock();
        if state.is_ended {
            return Hearing::No;
        }
        let has_heard = |room: &Room| {
            if is_for_all {
                *room.kind() == RoomKind::Team
            } else {
                audience.rooms.contains(room)
            }
        };
        let is_in = |room: &&Room| state.membership(room).is_some();
        let is_excepted = state
            .rooms
            .iter()
            .any(|one| audience.except.contains(&one.room));
        if is_excepted {
            return Hearing::No;
        }
        let mut hearing = Hearing::No;
        for room in replayed.iter().filter(is_in).filter(|room| has_heard(room)) {
            if !state.is_undecided(room) {
                return Hearing::Yes;
            }
            hearing = Hearing::Undecided;
        }
        hearing
    }

    /// Whether a replay of `replayed` holds `record`. It leaves out what the line has had, or will
    /// have, through another room, what excepts a room of the session, and everything once the
    /// session is not in `replayed` any more. While another room is in doubt through which the line
    /// may have it, nobody knows.
    pub(crate) fn replays(&self, record: &Record, replayed: &Room) -> Hearing {
        let audience = record.event.audience();
        let state = self.state.lock();
        if state.is_ended || state.membership(replayed).is_none() {
            return Hearing::No;
        }
        let rooms = &state.rooms;
        if rooms.iter().any(|one| audience.except.contains(&one.room)) {
            return Hearing::No;
        }
        let covering = rooms.iter().filter(|one| {
            one.room != *replayed
                && one.from < record.position.offset
                && audience.rooms.contains(&one.room)
        });
        let mut hearing = if state.is_undecided(replayed) {
            Hearing::Undecided
        } else {
            Hearing::Yes
        };
        for one in covering {
            if !state.is_undecided(&one.room) {
                return Hearing::No;
            }
            hearing = Hearing::Undecided;
        }
        hearing
    }
}
