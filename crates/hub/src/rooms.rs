//! The tables of one partition: members, rooms, and who is in which.

use std::hash::{BuildHasher, RandomState};
use std::mem;

use hashbrown::HashTable;
use slab::Slab;
use switchboard_event::{Offset, Room, RoomKind, TenantId};

/// Everything behind the lock of a [`Hub`](crate::Hub).
///
/// A member keeps its places and a room keeps its members, each by number, so that joining and
/// leaving cost the same in a room of one and in a room of a hundred thousand.
pub(crate) struct Rooms<P> {
    reached: Offset,
    round: u64,
    members: Slab<Member<P>>,
    occupied: Slab<Occupied>,
    by_name: HashTable<u32>,
    hasher: RandomState,
    users: usize,
}

/// Names a member of one partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MemberKey(u32);

struct Member<P> {
    post: P,
    /// The last round of fan-out in which this member was counted or excluded.
    round: u64,
    places: Vec<Place>,
}

/// Where a member sits: the room, and its seat in that room's list.
#[derive(Clone, Copy)]
struct Place {
    room: u32,
    seat: u32,
}

/// A room with at least one member.
struct Occupied {
    tenant: TenantId,
    room: Room,
    members: Vec<MemberKey>,
}

impl<P: Clone> Rooms<P> {
    pub(crate) fn new(reached: Offset) -> Self {
        Self {
            reached,
            round: 0,
            members: Slab::new(),
            occupied: Slab::new(),
            by_name: HashTable::new(),
            hasher: RandomState::new(),
            users: 0,
        }
    }

    pub(crate) fn sit(&mut self, post: P) -> MemberKey {
        let key = self.members.insert(Member {
            post,
            round: 0,
            places: Vec::new(),
        });
        MemberKey(narrow(key))
    }

    /// Takes a member out of all its rooms and forgets it.
    pub(crate) fn rise(&mut self, member: MemberKey) {
        self.leave_all(member);
        self.members.remove(member.index());
    }

    /// Takes a member out of all its rooms.
    pub(crate) fn leave_all(&mut self, member: MemberKey) {
        for place in mem::take(&mut self.members[member.index()].places) {
            self.vacate(place);
        }
    }

    /// Returns the room as it is kept here, whose name all its members share, and whether the
    /// member was not in it yet.
    pub(crate) fn join(
        &mut self,
        member: MemberKey,
        tenant: &TenantId,
        room: &Room,
    ) -> (Room, bool) {
        let key = self.occupy(tenant, room);
        let kept = self.occupied[key as usize].room.clone();
        if self.place(member, key).is_some() {
            return (kept, false);
        }
        let occupied = &mut self.occupied[key as usize];
        let seat = narrow(occupied.members.len());
        occupied.members.push(member);
        self.members[member.index()]
            .places
            .push(Place { room: key, seat });
        (kept, true)
    }

    /// Returns whether the member was in the room.
    pub(crate) fn leave(&mut self, member: MemberKey, tenant: &TenantId, room: &Room) -> bool {
        let place = self
            .find(tenant, room)
            .and_then(|key| self.place(member, key));
        match place {
            Some(place) => {
                let places = &mut self.members[member.index()].places;
                places.retain(|one| one.room != place.room);
                self.vacate(place);
                true
            }
            None => false,
        }
    }

    /// Goes on after `offset` without handing out what lies before.
    pub(crate) fn skip_to(&mut self, offset: Offset) {
        self.reached = offset;
    }

    /// Whoever is in one of `rooms` and in none of `except`, each once; fan-out has then reached
    /// `offset`.
    pub(crate) fn recipients(
        &mut self,
        offset: Offset,
        tenant: &TenantId,
        rooms: &[Room],
        except: &[Room],
    ) -> Vec<P> {
        self.reached = offset;
        if tenant.is_everyone() {
            return self.all();
        }
        if let ([room], []) = (rooms, except) {
            return self.all_of(tenant, room);
        }

        self.round += 1;
        for room in except {
            self.each_new(tenant, room, |_| ());
        }
        let mut recipients = Vec::new();
        for room in rooms {
            self.each_new(tenant, room, |post| recipients.push(post.clone()));
        }
        recipients
    }

    /// Everybody who is in a room.
    pub(crate) fn all(&self) -> Vec<P> {
        self.members
            .iter()
            .filter(|(_, member)| !member.places.is_empty())
            .map(|(_, member)| member.post.clone())
            .collect()
    }

    pub(crate) fn reached(&self) -> Offset {
        self.reached
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn room_count(&self) -> usize {
        self.occupied.len()
    }

    /// How many members are in one room.
    pub(crate) fn count(&self, tenant: &TenantId, room: &Room) -> usize {
        self.find(tenant, room)
            .map_or(0, |key| self.occupied[key as usize].members.len())
    }

    /// How many users have at least one member here.
    pub(crate) fn user_count(&self) -> usize {
        self.users
    }

    fn all_of(&self, tenant: &TenantId, room: &Room) -> Vec<P> {
        let Some(key) = self.find(tenant, room) else {
            return Vec::new();
        };
        let members = self.occupied[key as usize].members.iter();
        members
            .map(|member| self.members[member.index()].post.clone())
            .collect()
    }

    /// Calls `visit` for each member of the room that this round has not met yet.
    fn each_new(&mut self, tenant: &TenantId, room: &Room, mut visit: impl FnMut(&P)) {
        let Some(key) = self.find(tenant, room) else {
            return;
        };
        for member in &self.occupied[key as usize].members {
            let member = &mut self.members[member.index()];
            if member.round != self.round {
                member.round = self.round;
                visit(&member.post);
            }
        }
    }

    fn occupy(&mut self, tenant: &TenantId, room: &Room) -> u32 {
        if let Some(key) = self.find(tenant, room) {
            return key;
        }
        let occupied = Occupied {
            tenant: tenant.clone(),
            room: room.clone(),
            members: Vec::new(),
        };
        let key = narrow(self.occupied.insert(occupied));
        let (rooms, hasher) = (&self.occupied, &self.hasher);
        self.by_name
            .insert_unique(hasher.hash_one((tenant, room)), key, |&key| {
                let occupied = &rooms[key as usize];
                hasher.hash_one((&occupied.tenant, &occupied.room))
            });
        if matches!(room.kind(), RoomKind::User) {
            self.users += 1;
        }
        key
    }

    /// Takes whoever sits at `place` out of the room's list; the last of the list moves there.
    fn vacate(&mut self, place: Place) {
        let occupied = &mut self.occupied[place.room as usize];
        occupied.members.swap_remove(place.seat as usize);
        let moved = occupied.members.get(place.seat as usize).copied();
        if occupied.members.is_empty() {
            self.forget(place.room);
        } else if let Some(moved) = moved {
            let places = &mut self.members[moved.index()].places;
            if let Some(one) = places.iter_mut().find(|one| one.room == place.room) {
                one.seat = place.seat;
            }
        }
    }

    /// Forgets a room that nobody is in any more.
    fn forget(&mut self, key: u32) {
        let occupied = self.occupied.remove(key as usize);
        let hash = self.hasher.hash_one((&occupied.tenant, &occupied.room));
        if let Ok(entry) = self.by_name.find_entry(hash, |&one| one == key) {
            entry.remove();
        }
        if matches!(occupied.room.kind(), RoomKind::User) {
            self.users -= 1;
        }
    }

    fn find(&self, tenant: &TenantId, room: &Room) -> Option<u32> {
        let found = self
            .by_name
            .find(self.hasher.hash_one((tenant, room)), |&key| {
                let occupied = &self.occupied[key as usize];
                occupied.tenant == *tenant && occupied.room == *room
            });
        found.copied()
    }

    fn place(&self, member: MemberKey, room: u32) -> Option<Place> {
        self.members[member.index()]
            .places
            .iter()
            .find(|place| place.room == room)
            .copied()
    }
}

impl MemberKey {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Slots are counted in 32 bits: a process has fewer file descriptors than that, and a session has
/// fewer rooms.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 members and rooms in one process")
}
