//! What of the past a session is sent, when it asks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_event::{Room, RoomKind};
use switchboard_journal::Record;

use super::Session;

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
    pub(crate) fn hears_again(&self, record: &Record, replayed: &[Room]) -> bool {
        let audience = record.event.audience();
        let is_for_all = record.event.tenant().is_everyone();
        let state = self.state.lock();
        if state.is_ended {
            return false;
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
        !is_excepted && replayed.iter().filter(is_in).any(has_heard)
    }

    /// Whether a replay of `replayed` leaves `record` out: because the line has had it, or will
    /// have it, through another room, or because the session is in a room that it excepts, or not
    /// in `replayed` any more.
    pub(crate) fn passes_over(&self, record: &Record, replayed: &Room) -> bool {
        let audience = record.event.audience();
        let state = self.state.lock();
        if state.is_ended || state.membership(replayed).is_none() {
            return true;
        }
        let rooms = &state.rooms;
        let excepted = rooms.iter().any(|one| audience.except.contains(&one.room));
        let covered = rooms.iter().any(|one| {
            one.room != *replayed
                && one.from < record.position.offset
                && audience.rooms.contains(&one.room)
        });
        excepted || covered
    }
}
