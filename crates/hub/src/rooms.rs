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
    /// How many of `occupied` are lists of who is suspended.
    suspensions: usize,
}

/// Whom a record reaches.
#[derive(Debug)]
pub struct Recipients<P> {
    /// Whoever hears it.
    pub posts: Vec<P>,
    /// Whoever would hear it in a room in which it is suspended: it is to have it later, or not at
    /// all. It may be among `posts` too, because of another room.
    pub suspended: Vec<P>,
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

/// A room with at least one member in this list of it.
struct Occupied {
    tenant: TenantId,
    room: Room,
    list: List,
    members: Vec<MemberKey>,
}

/// One of the two lists of a room. A member is in one of them at most.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum List {
    /// Who hears it.
    Hearing,
    /// Who hears nothing of it until somebody has decided.
    Suspended,
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
            suspensions: 0,
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
    /// member did not hear it yet. Who was suspended in it is so no more.
    pub(crate) fn join(
        &mut self,
        member: MemberKey,
        tenant: &TenantId,
        room: &Room,
    ) -> (Room, bool) {
        if self.suspensions > 0 {
            self.strike(member, tenant, room, List::Suspended);
        }
        self.enlist(member, tenant, room, List::Hearing)
    }

    /// Lets a member that hears the room hear nothing of it until it joins again; returns whether
    /// it was in it.
    pub(crate) fn suspend(&mut self, member: MemberKey, tenant: &TenantId, room: &Room) -> bool {
        let was_hearing = self.strike(member, tenant, room, List::Hearing);
        if was_hearing {
            self.enlist(member, tenant, room, List::Suspended);
        }
        was_hearing
    }

    /// Returns whether the member was in the room, suspended or not.
    pub(crate) fn leave(&mut self, member: MemberKey, tenant: &TenantId, room: &Room) -> bool {
        self.strike(member, tenant, room, List::Hearing)
            || self.strike(member, tenant, room, List::Suspended)
    }

    fn enlist(
        &mut self,
        member: MemberKey,
        tenant: &TenantId,
        room: &Room,
        list: List,
    ) -> (Room, bool) {
        let key = self.occupy(tenant, room, list);
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

    /// Takes a member off a list; returns whether it was on it.
    fn strike(&mut self, member: MemberKey, tenant: &TenantId, room: &Room, list: List) -> bool {
        let place = self
            .find(tenant, room, list)
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
    ) -> Recipients<P> {
        self.reached = offset;
        if tenant.is_everyone() {
            return Recipients {
                posts: self.all(),
                suspended: Vec::new(),
            };
        }
        let mut suspended = Vec::new();
        if self.suspensions > 0 {
            for room in rooms {
                suspended.extend(self.all_of(tenant, room, List::Suspended));
            }
        }
        let posts = match (rooms, except) {
            ([room], []) => self.all_of(tenant, room, List::Hearing).collect(),
            _ => self.each_once(tenant, rooms, except),
        };
        Recipients { posts, suspended }
    }

    fn each_once(&mut self, tenant: &TenantId, rooms: &[Room], except: &[Room]) -> Vec<P> {
        self.round += 1;
        for room in except {
            self.each_new(tenant, room, List::Hearing, |_| ());
            self.each_new(tenant, room, List::Suspended, |_| ());
        }
        let mut recipients = Vec::new();
        for room in rooms {
            self.each_new(tenant, room, List::Hearing, |post| {
                recipients.push(post.clone());
            });
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
        self.occupied.len() - self.suspensions
    }

    /// How many members hear one room.
    pub(crate) fn count(&self, tenant: &TenantId, room: &Room) -> usize {
        self.find(tenant, room, List::Hearing)
            .map_or(0, |key| self.occupied[key as usize].members.len())
    }

    /// How many users have at least one member here.
    pub(crate) fn user_count(&self) -> usize {
        self.users
    }

    /// How many places there are of members that are suspended.
    pub(crate) fn suspended_count(&self) -> usize {
        if self.suspensions == 0 {
            return 0;
        }
        let lists = self.occupied.iter().map(|(_, occupied)| occupied);
        let suspended = lists.filter(|occupied| occupied.list == List::Suspended);
        suspended.map(|occupied| occupied.members.len()).sum()
    }

    fn all_of(&self, tenant: &TenantId, room: &Room, list: List) -> impl Iterator<Item = P> {
        let key = self.find(tenant, room, list);
        let members = key.map_or(&[][..], |key| &self.occupied[key as usize].members);
        let post = |member: &MemberKey| self.members[member.index()].post.clone();
        members.iter().map(post)
    }

    /// Calls `visit` for each member of the list that this round has not met yet.
    fn each_new(&mut self, tenant: &TenantId, room: &Room, list: List, mut visit: impl FnMut(&P)) {
        let Some(key) = self.find(tenant, room, list) else {
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

    fn occupy(&mut self, tenant: &TenantId, room: &Room, list: List) -> u32 {
        if let Some(key) = self.find(tenant, room, list) {
            return key;
        }
        let occupied = Occupied {
            tenant: tenant.clone(),
            room: room.clone(),
            list,
            members: Vec::new(),
        };
        let key = narrow(self.occupied.insert(occupied));
        let (rooms, hasher) = (&self.occupied, &self.hasher);
        self.by_name
            .insert_unique(hasher.hash_one((tenant, room, list)), key, |&key| {
                let occupied = &rooms[key as usize];
                hasher.hash_one((&occupied.tenant, &occupied.room, occupied.list))
            });
        match list {
            List::Hearing if matches!(room.kind(), RoomKind::User) => self.users += 1,
            List::Hearing => {}
            List::Suspended => self.suspensions += 1,
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
        let key_of = (&occupied.tenant, &occupied.room, occupied.list);
        let hash = self.hasher.hash_one(key_of);
        if let Ok(entry) = self.by_name.find_entry(hash, |&one| one == key) {
            entry.remove();
        }
        match occupied.list {
            List::Hearing if matches!(occupied.room.kind(), RoomKind::User) => self.users -= 1,
            List::Hearing => {}
            List::Suspended => self.suspensions -= 1,
        }
    }

    fn find(&self, tenant: &TenantId, room: &Room, list: List) -> Option<u32> {
        let found = self
            .by_name
            .find(self.hasher.hash_one((tenant, room, list)), |&key| {
                let occupied = &self.occupied[key as usize];
                occupied.list == list && occupied.tenant == *tenant && occupied.room == *room
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
