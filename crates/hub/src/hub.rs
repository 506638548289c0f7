//! Rooms and fan-out of one partition.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use switchboard_event::{Offset, Room, TenantId};

use crate::access::Grant;
use crate::rooms::{MemberKey, Recipients, Rooms};

/// Where a delivery goes: one session's line.
///
/// Cloning is cheap (an `Arc`), and posting never waits.
pub trait Post: Clone + Send + Sync + 'static {
    /// A record, encoded once for everybody.
    type Delivery;

    /// Queues `delivery`. What does not fit puts the line behind; it slows nobody else.
    fn post(&self, delivery: &Self::Delivery);
}

/// Who is in which room, for the tenants of one partition.
pub struct Hub<P> {
    rooms: Mutex<Rooms<P>>,
}

/// A session's place in the hub; dropping it leaves all rooms.
pub struct Seat<P: Post> {
    hub: Arc<Hub<P>>,
    tenant: TenantId,
    member: MemberKey,
}

/// What a join found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Joined {
    /// The room, whose name is shared by all who are in it.
    pub room: Room,
    /// How far fan-out had come: what is beyond it comes live, what is not is the caller's to
    /// replay.
    pub from: Offset,
    /// Whether the session was not in the room before.
    pub is_new: bool,
}

/// A grant of one tenant was used in the seat of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("grant and seat belong to different tenants")]
pub struct OtherTenant;

/// Who hears a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Audience<'a> {
    /// The border that nothing crosses; [`TenantId::everyone`] is every session that is in a room.
    pub tenant: &'a TenantId,
    /// Whoever is in any of these,
    pub rooms: &'a [Room],
    /// and in none of these.
    pub except: &'a [Room],
}

/// How many sessions, rooms and users a hub holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HubStats {
    /// Sessions with a seat.
    pub sessions: usize,
    /// Rooms with at least one session in them.
    pub rooms: usize,
    /// Users with at least one session.
    pub users: usize,
    /// Places of sessions in rooms in which they are suspended.
    pub suspended: usize,
}

impl<P: Post> Hub<P> {
    /// A hub whose fan-out begins after `reached`.
    #[must_use]
    pub fn new(reached: Offset) -> Self {
        Self {
            rooms: Mutex::new(Rooms::new(reached)),
        }
    }

    /// Gives a session of `tenant` a seat, in no room yet.
    #[must_use]
    pub fn sit(self: &Arc<Self>, tenant: TenantId, post: P) -> Seat<P> {
        let member = self.rooms.lock().sit(post);
        Seat {
            hub: Arc::clone(self),
            tenant,
            member,
        }
    }

    /// Hands the record at `offset`, encoded as `delivery`, once to everyone in `audience`, and
    /// returns how many that are.
    ///
    /// Taking the recipients is one step with respect to [`Seat::join`]; posting happens outside
    /// of the lock. To be called for every record of the partition, in order, by one task.
    pub fn publish(&self, offset: Offset, audience: Audience<'_>, delivery: &P::Delivery) -> usize {
        let recipients = self.recipients(offset, audience).posts;
        for recipient in &recipients {
            recipient.post(delivery);
        }
        recipients.len()
    }

    /// The same for whoever has so many recipients, or deliveries of one audience at once, that it
    /// posts at its own pace: everyone in `audience`, once, and whoever is suspended there. Fan-out
    /// counts as having reached `offset` from here on, so nothing else may be handed out before
    /// these have theirs.
    #[must_use]
    pub fn recipients(&self, offset: Offset, audience: Audience<'_>) -> Recipients<P> {
        let Audience {
            tenant,
            rooms,
            except,
        } = audience;
        self.rooms.lock().recipients(offset, tenant, rooms, except)
    }

    /// Goes on after `offset`, because what lies before it cannot be read any more: whoever has a
    /// seat has a gap and must be told.
    pub fn skip_to(&self, offset: Offset) {
        self.rooms.lock().skip_to(offset);
    }

    /// How far fan-out has come.
    #[must_use]
    pub fn reached(&self) -> Offset {
        self.rooms.lock().reached()
    }

    /// How many sessions hear `room` of `tenant`.
    #[must_use]
    pub fn count(&self, tenant: &TenantId, room: &Room) -> usize {
        self.rooms.lock().count(tenant, room)
    }

    /// How many sessions, rooms and users there are now.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let rooms = self.rooms.lock();
        HubStats {
            sessions: rooms.member_count(),
            rooms: rooms.room_count(),
            users: rooms.user_count(),
            suspended: rooms.suspended_count(),
        }
    }
}

impl<P: Post> Seat<P> {
    /// Lets the session hear the room of `grant`.
    ///
    /// # Errors
    ///
    /// [`OtherTenant`] if the grant is not of this session's tenant; nothing was joined then.
    pub fn join(&self, grant: &Grant) -> Result<Joined, OtherTenant> {
        if *grant.tenant() != self.tenant {
            return Err(OtherTenant);
        }
        let mut rooms = self.hub.rooms.lock();
        let (room, is_new) = rooms.join(self.member, grant.tenant(), grant.room());
        Ok(Joined {
            room,
            from: rooms.reached(),
            is_new,
        })
    }

    /// Lets the session hear the rooms of all `grants`, in one step of the fan-out: what is beyond
    /// the offset that it returns comes live through each of the rooms, in the order of `grants`.
    ///
    /// # Errors
    ///
    /// [`OtherTenant`] if one is not of this session's tenant; nothing was joined then.
    pub fn join_all(&self, grants: &[Grant]) -> Result<(Offset, Vec<Room>), OtherTenant> {
        if grants.iter().any(|grant| *grant.tenant() != self.tenant) {
            return Err(OtherTenant);
        }
        let mut rooms = self.hub.rooms.lock();
        let join = |grant: &Grant| rooms.join(self.member, grant.tenant(), grant.room()).0;
        let joined = grants.iter().map(join).collect();
        Ok((rooms.reached(), joined))
    }

    /// Whose seat it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Ends the session's hearing of everything: who is in no room hears nothing.
    pub fn leave_all(&self) {
        self.hub.rooms.lock().leave_all(self.member);
    }

    /// Ends the session's hearing of `room` until it joins again, and keeps it in mind meanwhile:
    /// what the room says is not for it, and whoever hands it out is told for whom it may be later.
    /// Returns whether the session heard it.
    pub fn suspend(&self, room: &Room) -> bool {
        let mut rooms = self.hub.rooms.lock();
        rooms.suspend(self.member, &self.tenant, room)
    }

    /// Ends the session's hearing of `room`; returns whether it was in it, suspended or not.
    pub fn leave(&self, room: &Room) -> bool {
        self.hub.rooms.lock().leave(self.member, &self.tenant, room)
    }
}

impl<P: Post> Drop for Seat<P> {
    fn drop(&mut self) {
        self.hub.rooms.lock().rise(self.member);
    }
}

impl<P: Post> fmt::Debug for Hub<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<P: Post> fmt::Debug for Seat<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Seat")
            .field("tenant", &self.tenant)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}
