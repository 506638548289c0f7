//! One client's rights, seat and rooms.

mod past;
mod rights;
mod suspension;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use switchboard_engine::{Client, Connect, Handshake, SocketHandle};
use switchboard_event::{Offset, Position, Room, RoomKind, TenantId, Timestamp, UserId};
use switchboard_hub::{Grant, Seat};
use switchboard_journal::{Record, SessionKey, StoredRoom, StoredSession};
use switchboard_protocol::SocketId;

use crate::access::{Ticket, link_room};
use crate::auth::Identity;
use crate::delivery::{Line, Mark};
use crate::lane::Lane;
use crate::recovery::Credential;
use crate::reply::Refused;

use rights::Taken;
pub(crate) use rights::{Ended, NotSeated, Renewal};
pub(crate) use suspension::Basis;
use suspension::Undecided;

/// An authenticated client: who it is, where it sits, and what it hears.
///
/// Known to its lane from before it is in any room until it has gone, so that whatever ends its
/// rights finds it.
pub struct Session {
    pub(crate) handle: SocketHandle,
    pub(crate) lane: Arc<Lane>,
    handshake: Arc<Handshake>,
    seat: Seat<Line>,
    credential: Credential,
    socket_id: SocketId,
    state: Mutex<State>,
    /// When the lane is to look at its token, in milliseconds; the lane's own.
    due_at: AtomicI64,
    /// Whether the client is sent some of the past that it asked for.
    is_replaying: AtomicBool,
}

/// What changes while a session lasts. Tenant and user never do.
struct State {
    identity: Identity,
    rooms: Vec<Membership>,
    /// Rooms that the token does not cover any more, whatever it says.
    taken: Box<[Taken]>,
    /// Those of `rooms` that are being decided about again; few sessions ever have some.
    undecided: Option<Box<Undecided>>,
    span: Span,
    /// How often the token was replaced.
    renewals: u32,
    /// Hears nothing more: its transport is about to be closed.
    is_ended: bool,
}

/// Where a line, and this connection's part of it, begin.
#[derive(Clone, Copy)]
struct Span {
    /// Where the line began, over all its connections.
    start: Position,
    /// Where this connection's part of it begins.
    begins_after: Position,
    joined_at: Offset,
}

/// A room of a session, and from where on it comes live.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) room: Room,
    /// What is beyond this offset comes live; what is not is for replay.
    pub(crate) from: Offset,
}

/// Whether a record is of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hearing {
    Yes,
    No,
    /// Only through a room about which is being decided: it is not known yet.
    Undecided,
}

/// What a subscription found.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) membership: Membership,
    /// The rooms that the session was not in before; none if it was subscribed already.
    pub(crate) joined: Vec<Room>,
}

impl Session {
    /// A client that is in no room yet, and hears nothing.
    pub(crate) fn new(
        identity: Identity,
        request: &Connect,
        lane: Arc<Lane>,
        credential: Credential,
        socket_id: SocketId,
    ) -> Self {
        let handle = request.handle.clone();
        let seat = lane
            .hub
            .sit(identity.rights.tenant().clone(), line(&identity, &handle));
        let reached = lane.hub.reached();
        let start = lane.position(reached);
        let state = State {
            identity,
            rooms: Vec::new(),
            taken: Box::default(),
            undecided: None,
            span: Span {
                start,
                begins_after: start,
                joined_at: reached,
            },
            renewals: 0,
            is_ended: false,
        };
        Self {
            handle,
            lane,
            handshake: Arc::clone(&request.handshake),
            seat,
            credential,
            socket_id,
            state: Mutex::new(state),
            due_at: AtomicI64::new(Timestamp::MAX.as_millis()),
            is_replaying: AtomicBool::new(false),
        }
    }

    /// Joins the first rooms of a new line.
    pub(crate) fn begin(&self, grants: &[Grant], basis: Basis) -> Result<(), NotSeated> {
        let mut state = self.state.lock();
        let (joined_at, rooms) = self.join_all(&state, grants, basis)?;
        let start = self.lane.position(joined_at);
        state.rooms = memberships(rooms, |_| None, joined_at);
        state.span = Span {
            start,
            begins_after: start,
            joined_at,
        };
        Ok(())
    }

    /// Joins the rooms of before as far as `grants` still cover them. The line goes on after
    /// `after`.
    pub(crate) fn resume(
        &self,
        grants: &[Grant],
        stored: &StoredSession,
        after: Position,
        basis: Basis,
    ) -> Result<(), NotSeated> {
        let mut state = self.state.lock();
        let (joined_at, rooms) = self.join_all(&state, grants, basis)?;
        let before = |room: &Room| stored.rooms.iter().find(|one| one.room == *room);
        state.rooms = memberships(rooms, |room| before(room).map(|one| one.from), joined_at);
        state.span = Span {
            start: stored.start,
            begins_after: after,
            joined_at,
        };
        Ok(())
    }

    /// Joins the room of `ticket` if there is space, and with an account's room its inner room, if
    /// the ticket is for that too. `None` if the ticket may not count any more.
    pub(crate) fn subscribe(
        &self,
        ticket: &Ticket,
        rooms_max: usize,
        basis: Basis,
    ) -> Result<Option<Entry>, Refused> {
        let room = ticket.room.room();
        // The lock is held over the join, so that two joins of one room agree on where it began,
        // and so that a room that is taken, or put in doubt, meanwhile is not heard.
        let mut state = self.state.lock();
        if !self.is_sound(&state, basis) {
            return Ok(None);
        }
        if let Some(membership) = state.membership(room).cloned() {
            self.settle(&mut state, &ticket.room.grant);
            let joined = Vec::new();
            return Ok(Some(Entry { membership, joined }));
        }
        if state.rooms.len() >= rooms_max {
            return Err(Refused::TooManyRooms { rooms_max });
        }
        let membership = self.join(&mut state, &ticket.room.grant)?;
        let mut joined = vec![room.clone()];
        if let Some(link) = &ticket.link
            && state.membership(link.room()).is_none()
            && self.join(&mut state, &link.grant).is_ok()
        {
            joined.push(link.room().clone());
        }
        Ok(Some(Entry { membership, joined }))
    }

    /// Leaves `room` at the client's wish, and with an account's room its inner room; those that a
    /// session is always in stay.
    pub(crate) fn unsubscribe(&self, room: &Room) -> Result<(), Refused> {
        if matches!(
            room.kind(),
            RoomKind::User | RoomKind::Team | RoomKind::Contacts
        ) {
            return Err(Refused::AlwaysJoined(room.name().into()));
        }
        let link = link_room(room);
        self.leave(std::iter::once(room).chain(&link));
        Ok(())
    }

    /// Leaves these rooms.
    pub(crate) fn leave<'a>(&self, leaving: impl IntoIterator<Item = &'a Room>) {
        let mut state = self.state.lock();
        for room in leaving {
            state.rooms.retain(|one| one.room != *room);
            state.no_doubt(|one| one == room);
            self.seat.leave(room);
        }
    }

    /// Who this is and what the token allows now.
    pub fn identity(&self) -> Identity {
        self.state.lock().identity.clone()
    }

    /// Where the client is.
    pub fn client(&self) -> Client {
        self.handshake.client()
    }

    /// Whose client it is.
    pub fn tenant(&self) -> &TenantId {
        self.seat.tenant()
    }

    /// Which person's.
    pub fn user(&self) -> UserId {
        self.state.lock().identity.rights.user().clone()
    }

    /// When the client's token ends.
    pub fn expires_at(&self) -> Timestamp {
        self.state.lock().identity.expires_at
    }

    /// The position of `offset` on this session's partition.
    pub(crate) fn position(&self, offset: Offset) -> Position {
        self.lane.position(offset)
    }

    /// Where the line began.
    pub(crate) fn start(&self) -> Position {
        self.state.lock().span.start
    }

    /// How far fan-out had come when this connection joined its rooms.
    pub(crate) fn joined_at(&self) -> Offset {
        self.state.lock().span.joined_at
    }

    /// The last position of the line that was wholly written.
    pub(crate) fn cursor(&self) -> Position {
        let written = Mark::offset(self.handle.outbox().written());
        let begins_after = self.state.lock().span.begins_after;
        if written > begins_after.offset {
            Position {
                offset: written,
                ..begins_after
            }
        } else {
            begins_after
        }
    }

    /// By what the client comes back.
    pub(crate) fn credential(&self) -> Credential {
        self.credential
    }

    /// The same without its generation.
    pub(crate) fn key(&self) -> &SessionKey {
        &self.credential.key
    }

    /// The socket's id, also before the engine gives a client that came back its old one.
    pub(crate) fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// When the lane is to look at the token; the lane alone asks and tells.
    pub(crate) fn due_at(&self) -> Timestamp {
        Timestamp::from_millis(self.due_at.load(Ordering::Relaxed))
    }

    pub(crate) fn set_due_at(&self, due_at: Timestamp) {
        self.due_at.store(due_at.as_millis(), Ordering::Relaxed);
    }

    /// Its rooms, those in doubt too.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        let state = self.state.lock();
        state.rooms.iter().map(|one| one.room.clone()).collect()
    }

    /// Its rooms that it hears at this moment.
    pub(crate) fn rooms_heard(&self) -> Vec<Room> {
        let state = self.state.lock();
        let rooms = state.rooms.iter().map(|one| &one.room);
        rooms
            .filter(|room| !state.is_undecided(room))
            .cloned()
            .collect()
    }

    pub(crate) fn stored_rooms(&self) -> Vec<StoredRoom> {
        let stored = |one: &Membership| StoredRoom {
            room: one.room.clone(),
            from: one.from,
        };
        self.state.lock().rooms.iter().map(stored).collect()
    }

    /// Whether `record` is of this line: through a room that came live before it, and through no
    /// room that it excepts.
    pub(crate) fn hears(&self, record: &Record) -> Hearing {
        let (offset, audience) = (record.position.offset, record.event.audience());
        let state = self.state.lock();
        if state.is_ended {
            return Hearing::No;
        }
        if record.event.tenant().is_everyone() {
            let is_later = state.span.start.offset < offset;
            return if is_later { Hearing::Yes } else { Hearing::No };
        }
        if (state.rooms.iter()).any(|one| audience.except.contains(&one.room)) {
            return Hearing::No;
        }
        let is_live = |one: &&Membership| one.from < offset && audience.rooms.contains(&one.room);
        let mut hearing = Hearing::No;
        for one in state.rooms.iter().filter(is_live) {
            if !state.is_undecided(&one.room) {
                return Hearing::Yes;
            }
            hearing = Hearing::Undecided;
        }
        hearing
    }

    /// Whether the session is in `room`, and hears it at this moment.
    pub(crate) fn is_in(&self, room: &Room) -> bool {
        let state = self.state.lock();
        state.membership(room).is_some() && !state.is_undecided(room)
    }

    fn join(&self, state: &mut State, grant: &Grant) -> Result<Membership, Refused> {
        if let Some(membership) = state.membership(grant.room()) {
            return Ok(membership.clone());
        }
        if state.is_ended || state.is_taken(grant.room()) {
            return Err(Refused::Taken(grant.room().clone()));
        }
        let joined = self
            .seat
            .join(grant)
            .expect("rights and seat are of one tenant");
        let membership = Membership {
            room: joined.room,
            from: joined.from,
        };
        // Most sessions are in a few rooms for long: growing by doubling would be half empty.
        state.rooms.reserve_exact(1);
        state.rooms.push(membership.clone());
        Ok(membership)
    }

    /// Joins what is not taken, in one step.
    fn join_all(
        &self,
        state: &State,
        grants: &[Grant],
        basis: Basis,
    ) -> Result<(Offset, Vec<Room>), NotSeated> {
        if state.is_ended {
            return Err(Ended.into());
        }
        if !self.is_sound(state, basis) {
            return Err(NotSeated::Overtaken);
        }
        let kept = grants.iter().filter(|grant| !state.is_taken(grant.room()));
        let kept: Vec<_> = kept.cloned().collect();
        let joined = self.seat.join_all(&kept);
        Ok(joined.expect("rights and seat are of one tenant"))
    }
}

impl State {
    fn membership(&self, room: &Room) -> Option<&Membership> {
        self.rooms.iter().find(|one| one.room == *room)
    }
}

/// The token's claims are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("socket", &self.socket_id())
            .field("tenant", self.tenant())
            .field("user", &self.user())
            .finish_non_exhaustive()
    }
}

fn line(identity: &Identity, handle: &SocketHandle) -> Line {
    Line {
        handle: handle.clone(),
        user: identity.rights.user().clone(),
    }
}

fn memberships(
    rooms: Vec<Room>,
    before: impl Fn(&Room) -> Option<Offset>,
    joined_at: Offset,
) -> Vec<Membership> {
    let membership = |room: Room| Membership {
        from: before(&room).unwrap_or(joined_at),
        room,
    };
    rooms.into_iter().map(membership).collect()
}
