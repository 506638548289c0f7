//! One client's rights, seat and rooms.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use switchboard_engine::{Client, Connect, Handshake, SocketHandle};
use switchboard_event::{Offset, Position, Room, RoomKind, Timestamp};
use switchboard_hub::{Grant, Seat};
use switchboard_journal::{Record, StoredRoom, StoredSession};
use switchboard_protocol::SocketId;

use crate::access::{Ticket, link_room};
use crate::auth::Identity;
use crate::delivery::{Line, Mark};
use crate::lane::Lane;
use crate::recovery::Credential;
use crate::reply::Refused;

/// An authenticated client: who it is, where it sits, and what it hears.
pub struct Session {
    pub(crate) handle: SocketHandle,
    pub(crate) lane: Arc<Lane>,
    handshake: Arc<Handshake>,
    identity: Identity,
    seat: Seat<Line>,
    rooms: Mutex<Vec<Membership>>,
    /// Where the line began, over all its connections.
    start: Position,
    /// Where this connection's part of it begins.
    begins_after: Position,
    joined_at: Offset,
    owner: Option<Owner>,
}

/// By what a session is found again, and the id that its client keeps.
#[derive(Clone, Copy)]
struct Owner {
    credential: Credential,
    socket_id: SocketId,
}

/// A room of a session, and from where on it comes live.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) room: Room,
    /// What is beyond this offset comes live; what is not is for replay.
    pub(crate) from: Offset,
}

/// What a subscription found.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) membership: Membership,
    /// The rooms that the session was not in before; none if it was subscribed already.
    pub(crate) joined: Vec<Room>,
}

impl Session {
    /// Seats a new client in the rooms that are its own.
    pub(crate) fn open(
        identity: Identity,
        grants: &[Grant],
        request: &Connect,
        lane: Arc<Lane>,
    ) -> Self {
        let handle = request.handle.clone();
        let seat = lane
            .hub
            .sit(identity.rights.tenant().clone(), Line(handle.clone()));
        let (joined_at, rooms) = join_all(&seat, grants);
        let start = lane.position(joined_at);
        let rooms = memberships(rooms, |_| None, joined_at);
        Self {
            handle,
            lane,
            handshake: Arc::clone(&request.handshake),
            identity,
            seat,
            rooms: Mutex::new(rooms),
            start,
            begins_after: start,
            joined_at,
            owner: None,
        }
    }

    /// Seats a client that comes back, in its rooms of before as far as `grants` still cover them.
    /// Its line goes on after `after`.
    pub(crate) fn resume(
        identity: Identity,
        grants: &[Grant],
        request: &Connect,
        lane: Arc<Lane>,
        stored: &StoredSession,
        after: Position,
    ) -> Self {
        let handle = request.handle.clone();
        let seat = lane
            .hub
            .sit(identity.rights.tenant().clone(), Line(handle.clone()));
        let (joined_at, rooms) = join_all(&seat, grants);
        let before = |room: &Room| stored.rooms.iter().find(|one| one.room == *room);
        let rooms = memberships(rooms, |room| before(room).map(|one| one.from), joined_at);
        Self {
            handle,
            lane,
            handshake: Arc::clone(&request.handshake),
            identity,
            seat,
            rooms: Mutex::new(rooms),
            start: stored.start,
            begins_after: after,
            joined_at,
            owner: None,
        }
    }

    /// The same session with a line that begins now, because what came before cannot be had.
    pub(crate) fn begun_anew(mut self) -> Self {
        self.start = self.lane.position(self.joined_at);
        self.begins_after = self.start;
        for membership in self.rooms.get_mut() {
            membership.from = self.joined_at;
        }
        self
    }

    /// The same session with a way to come back.
    pub(crate) fn owned_by(mut self, credential: Credential, socket_id: SocketId) -> Self {
        self.owner = Some(Owner {
            credential,
            socket_id,
        });
        self
    }

    /// Joins the room of `ticket` if there is space, and with an account's room its inner room, if
    /// the ticket is for that too.
    pub(crate) fn subscribe(&self, ticket: &Ticket, rooms_max: usize) -> Result<Entry, Refused> {
        let room = ticket.room.room();
        if let Some(membership) = self.membership(room) {
            return Ok(Entry {
                membership,
                joined: Vec::new(),
            });
        }
        if self.rooms.lock().len() >= rooms_max {
            return Err(Refused::TooManyRooms { rooms_max });
        }
        let membership = self.join(&ticket.room);
        let mut joined = vec![room.clone()];
        if let Some(link) = &ticket.link
            && self.membership(link.room()).is_none()
        {
            self.join(link);
            joined.push(link.room().clone());
        }
        Ok(Entry { membership, joined })
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
        let mut rooms = self.rooms.lock();
        for room in leaving {
            rooms.retain(|one| one.room != *room);
            self.seat.leave(room);
        }
    }

    /// Who this is and what the token allows.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the client is.
    pub fn client(&self) -> Client {
        self.handshake.client()
    }

    /// When the client's token ends.
    pub fn expires_at(&self) -> Timestamp {
        self.identity.expires_at
    }

    /// The position of `offset` on this session's partition.
    pub(crate) fn position(&self, offset: Offset) -> Position {
        self.lane.position(offset)
    }

    /// Where the line began.
    pub(crate) fn start(&self) -> Position {
        self.start
    }

    /// How far fan-out had come when this connection took its seat.
    pub(crate) fn joined_at(&self) -> Offset {
        self.joined_at
    }

    /// The last position of the line that was wholly written.
    pub(crate) fn cursor(&self) -> Position {
        let written = Mark::offset(self.handle.outbox().written());
        if written > self.begins_after.offset {
            Position {
                offset: written,
                ..self.begins_after
            }
        } else {
            self.begins_after
        }
    }

    pub(crate) fn credential(&self) -> Option<Credential> {
        self.owner.map(|owner| owner.credential)
    }

    /// The socket's id, also before the engine gives a client that came back its old one.
    pub(crate) fn socket_id(&self) -> SocketId {
        self.owner
            .map_or_else(|| self.handle.id(), |owner| owner.socket_id)
    }

    pub(crate) fn rooms(&self) -> Vec<Room> {
        self.rooms
            .lock()
            .iter()
            .map(|one| one.room.clone())
            .collect()
    }

    pub(crate) fn stored_rooms(&self) -> Vec<StoredRoom> {
        let stored = |one: &Membership| StoredRoom {
            room: one.room.clone(),
            from: one.from,
        };
        self.rooms.lock().iter().map(stored).collect()
    }

    /// Whether `record` is of this line: through a room that came live before it, and through no
    /// room that it excepts.
    pub(crate) fn hears(&self, record: &Record) -> bool {
        let (offset, audience) = (record.position.offset, record.event.audience());
        if record.event.tenant().is_everyone() {
            return self.start.offset < offset;
        }
        let rooms = self.rooms.lock();
        let is_live = |one: &Membership| one.from < offset && audience.rooms.contains(&one.room);
        rooms.iter().any(is_live) && !rooms.iter().any(|one| audience.except.contains(&one.room))
    }

    /// Whether a replay of `replayed` leaves `record` out: because the line has had it, or will
    /// have it, through another room, or because the session is in a room that it excepts.
    pub(crate) fn passes_over(&self, record: &Record, replayed: &Room) -> bool {
        let audience = record.event.audience();
        let rooms = self.rooms.lock();
        let excepted = rooms.iter().any(|one| audience.except.contains(&one.room));
        let covered = rooms.iter().any(|one| {
            one.room != *replayed
                && one.from < record.position.offset
                && audience.rooms.contains(&one.room)
        });
        excepted || covered
    }

    fn join(&self, grant: &Grant) -> Membership {
        // The lock is held over the join, so that two joins of one room agree on where it began.
        let mut rooms = self.rooms.lock();
        if let Some(membership) = rooms.iter().find(|one| one.room == *grant.room()) {
            return membership.clone();
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
        rooms.reserve_exact(1);
        rooms.push(membership.clone());
        membership
    }

    fn membership(&self, room: &Room) -> Option<Membership> {
        self.rooms
            .lock()
            .iter()
            .find(|one| one.room == *room)
            .cloned()
    }
}

/// The token's claims are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("socket", &self.socket_id())
            .field("tenant", self.identity.rights.tenant())
            .field("user", self.identity.rights.user())
            .finish_non_exhaustive()
    }
}

fn join_all(seat: &Seat<Line>, grants: &[Grant]) -> (Offset, Vec<Room>) {
    seat.join_all(grants)
        .expect("rights and seat are of one tenant")
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
