//! How the rights of a session change while it lasts: renewed, narrowed, ended.

use std::collections::HashSet;

use serde_json::json;
use switchboard_engine::CloseReason;
use switchboard_event::{Revocation, Room, Timestamp, is_before};
use switchboard_hub::Grant;

use super::{Session, State};
use crate::audit;
use crate::auth::Identity;
use crate::counters::SessionEnd;
use crate::lifetime::Lifetime;
use crate::reply::Refused;

/// A room that no token issued before `instant` covers.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    room: Room,
    instant: Timestamp,
}

/// The session hears nothing more; its transport is being closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the session has ended")]
pub(crate) struct Ended;

/// Why the rooms of a client that comes in are not joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotSeated {
    /// It was ended meanwhile.
    #[error("{0}")]
    Ended(#[from] Ended),
    /// What was decided may not count any more: it is to be decided again.
    #[error("rights changed meanwhile")]
    Overtaken,
}

/// What a new token changed.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// The rooms that it does not cover.
    pub(crate) left: Vec<Room>,
    /// Whether the rooms are other ones than before.
    pub(crate) is_changed: bool,
}

impl Session {
    /// Ends what the session hears, at once: nothing that is fanned out from here on reaches it. The
    /// client is told why, and its transport is closed, so that it may come back if it can.
    pub(crate) fn end(&self, reason: SessionEnd) {
        if self.silence(|_| true) {
            self.dismiss(reason);
        }
    }

    /// Ends the session if its token is over by now; says whether it has. One step with
    /// [`renew`](Self::renew): a token that was put in its place before this counts, and none is
    /// put there after it.
    pub(crate) fn end_if_over(&self, now: Timestamp, lifetime: &Lifetime) -> bool {
        let is_over = self.silence(|state| lifetime.end(state.identity.expires_at) <= now);
        if is_over {
            self.dismiss(SessionEnd::TokenExpired);
        }
        is_over
    }

    /// The same without a word, for a connection whose client has another one.
    pub(crate) fn take_away(&self, reason: CloseReason) {
        if self.silence(|_| true) {
            self.handle.close(reason);
        }
    }

    /// The same for one that never began: its connection goes on without it.
    pub(crate) fn retire(&self) {
        self.silence(|_| true);
    }

    /// Ends the session if its token is revoked by this; says whether it has.
    pub(crate) fn end_if_revoked(&self, revocation: &Revocation) -> bool {
        let is_revoked = self.silence(|state| match revocation {
            Revocation::User { issued_before, .. } => {
                is_before(state.identity.issued_at, *issued_before)
            }
            Revocation::Token { token } => state.identity.token_id.as_deref() == Some(token),
            Revocation::Room { .. } => false,
        });
        if is_revoked {
            self.dismiss(SessionEnd::Revoked);
        }
        is_revoked
    }

    /// Takes `room` from every token that was issued before `instant`: it is left, and not joined
    /// again with this token. Returns the rooms that were left.
    pub(crate) fn take(&self, room: &Room, instant: Timestamp) -> Vec<Room> {
        let mut state = self.state.lock();
        if !is_before(state.identity.issued_at, instant) {
            return Vec::new();
        }
        let mut taken = std::mem::take(&mut state.taken).into_vec();
        taken.retain(|one| one.room != *room || one.instant > instant);
        taken.push(Taken {
            room: room.clone(),
            instant,
        });
        state.taken = taken.into();
        self.leave_where(&mut state, |one| room.includes(one))
    }

    /// Puts another token of the same user in the place of the one that there is, which does not
    /// cover the rooms `taken`.
    ///
    /// What it does not cover is left, what a session is always in is joined, and nothing is in
    /// doubt any more. `None` if `may` says so, which is asked when nothing can come in between any
    /// more.
    pub(crate) fn renew(
        &self,
        identity: Identity,
        grants: &[Grant],
        taken: Vec<(Room, Timestamp)>,
        may: impl FnOnce() -> bool,
    ) -> Result<Option<Renewal>, Ended> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(Ended);
        }
        if !may() {
            return Ok(None);
        }
        state.identity = identity;
        state.renewals = state.renewals.wrapping_add(1);
        let granted: HashSet<&Room> = grants.iter().map(Grant::room).collect();
        let is_taken = |room: &Room| taken.iter().any(|(one, _)| one.includes(room));
        let left = self.leave_where(&mut state, |room| !granted.contains(room) || is_taken(room));
        let taken = taken.into_iter();
        state.taken = taken
            .map(|(room, instant)| Taken { room, instant })
            .collect();
        let before = state.rooms.len();
        for grant in grants {
            // What is taken stays so.
            let _ = self.join(&mut state, grant);
            self.settle(&mut state, grant);
        }
        let is_changed = !left.is_empty() || state.rooms.len() > before;
        Ok(Some(Renewal { left, is_changed }))
    }

    /// Leaves these rooms because they were decided about anew, unless the token that this was
    /// decided for has been replaced. Returns those that the session was in.
    pub(crate) fn withdraw(&self, rooms: &[Room], renewals: u32) -> Vec<Room> {
        let mut state = self.state.lock();
        if state.renewals != renewals {
            return Vec::new();
        }
        self.leave_where(&mut state, |one| {
            rooms.iter().any(|room| room.includes(one))
        })
    }

    /// Refuses what is about a room that no token of this session covers any more, whatever it says.
    pub(crate) fn check_kept(&self, room: &Room) -> Result<(), Refused> {
        let state = self.state.lock();
        if state.is_ended || state.is_taken(room) {
            return Err(Refused::Taken(room.clone()));
        }
        Ok(())
    }

    /// Tells the client which rooms it is not in any more, and why.
    pub(crate) fn tell_left(&self, rooms: &[Room], reason: &'static str) {
        let told = json!({ "rooms": rooms, "reason": reason }).to_string();
        self.handle
            .emit("session:left", &[told.as_bytes()], Vec::new());
    }

    /// How often the token was replaced.
    pub(crate) fn renewals(&self) -> u32 {
        self.state.lock().renewals
    }

    /// Makes the session hear nothing more if `why`; false if it does so already, or need not.
    ///
    /// Its rooms stay written down, for when the client comes back.
    fn silence(&self, why: impl FnOnce(&State) -> bool) -> bool {
        let mut state = self.state.lock();
        if state.is_ended || !why(&state) {
            return false;
        }
        state.is_ended = true;
        state.no_doubt(|_| true);
        self.seat.leave_all();
        true
    }

    fn dismiss(&self, reason: SessionEnd) {
        let told = json!({ "reason": reason.name() }).to_string();
        self.handle
            .emit("session:expired", &[told.as_bytes()], Vec::new());
        self.handle.close(CloseReason::Requested);
        self.lane.counters.end(reason);
        audit::ended(self, reason);
    }

    fn leave_where(&self, state: &mut State, is_left: impl Fn(&Room) -> bool) -> Vec<Room> {
        let rooms = std::mem::take(&mut state.rooms);
        let (left, kept): (Vec<_>, _) = rooms.into_iter().partition(|one| is_left(&one.room));
        state.rooms = kept;
        for one in &left {
            self.seat.leave(&one.room);
        }
        if !left.is_empty() {
            state.no_doubt(|room| left.iter().any(|one| one.room == *room));
        }
        left.into_iter().map(|one| one.room).collect()
    }
}

impl State {
    pub(super) fn is_taken(&self, room: &Room) -> bool {
        self.taken.iter().any(|one| one.room.includes(room))
    }
}
