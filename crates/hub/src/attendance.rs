//! Who is here: the people behind the sockets of one node.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::time::Duration;

use switchboard_event::{Id, TenantId, Timestamp, UserId};

use crate::presence::Status;

/// The people who have sockets on this node, and what this node says of each.
///
/// However many tabs and devices somebody has, they are one person, who is away when all of them
/// are. Somebody who leaves is here for a time of grace, so that a reload is no absence.
#[derive(Debug)]
pub struct Attendance {
    grace: Duration,
    tenants: HashMap<TenantId, HashMap<UserId, Person>>,
    /// When grace ends, of all people: the one order of deadlines.
    ends: BTreeSet<(Timestamp, TenantId, UserId)>,
    /// Of whom there is something to say, each once.
    unsaid: VecDeque<(TenantId, UserId)>,
}

/// What a node says of a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// Whose colleague.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// How they are here; `None` if they are not.
    pub status: Option<Status>,
    /// When somebody who is not here left.
    pub left_at: Timestamp,
}

/// Small: there is one of it for each person, most of whom sit at one socket and look at it.
#[derive(Debug)]
struct Person {
    sockets: u32,
    /// What is said, or about to be.
    said: Option<Status>,
    is_unsaid: bool,
    left_at: Timestamp,
    rare: Option<Box<Rare>>,
}

/// What is of few people at a time.
#[derive(Debug, Default)]
struct Rare {
    /// Which of the sockets are away.
    away: Vec<Id>,
    /// When less is said than is, if it is not more by then.
    grace_ends: Option<Timestamp>,
}

impl Attendance {
    /// Nobody is here. Whoever leaves is taken for here so much longer.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            tenants: HashMap::new(),
            ends: BTreeSet::new(),
            unsaid: VecDeque::new(),
        }
    }

    /// A socket of a person came. One that `came_back` is as it was if it was the only one: a laptop
    /// that reconnects in a bag does not make its owner appear.
    pub fn enter(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
        socket: &Id,
        came_back: bool,
        now: Timestamp,
    ) {
        let people = self.tenants.entry(tenant.clone()).or_default();
        let person = people.entry(user.clone()).or_insert_with(|| Person {
            sockets: 0,
            said: None,
            is_unsaid: false,
            left_at: now,
            rare: None,
        });
        if came_back && person.sockets == 0 && person.said == Some(Status::Away) {
            person.put_away(socket);
        }
        person.sockets += 1;
        self.review(tenant, user, None);
    }

    /// A socket of a person went; to be called once for each that came.
    pub fn leave(&mut self, tenant: &TenantId, user: &UserId, socket: &Id, now: Timestamp) {
        let Some(person) = self.person(tenant, user) else {
            return;
        };
        person.sockets = person.sockets.saturating_sub(1);
        person.call_back(socket);
        person.left_at = now;
        let end = now.checked_add(self.grace).unwrap_or(Timestamp::MAX);
        self.review(tenant, user, Some(end));
    }

    /// A person says at one of the sockets whether they are there.
    pub fn set(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
        socket: &Id,
        status: Status,
        now: Timestamp,
    ) {
        let Some(person) = self.person(tenant, user) else {
            return;
        };
        person.call_back(socket);
        if status == Status::Away {
            person.put_away(socket);
        }
        // Who left a moment ago may be back in a moment: their grace is not cut short.
        let end = person.grace_ends().unwrap_or(now);
        self.review(tenant, user, Some(end));
        self.expire(now);
    }

    /// Ends the grace of whose time is over.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((end, ..)) = self.ends.first()
            && *end <= now
        {
            let Some((_, tenant, user)) = self.ends.pop_first() else {
                return;
            };
            if let Some(person) = self.person(&tenant, &user) {
                person.set_grace(None);
                person.said = person.status();
                self.mark(&tenant, &user);
            }
        }
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// What there is to say, of at most so many people; of each what is so now, whatever it was in
    /// between. Whoever says it [`settles`](Self::settle) it or [`puts it back`](Self::put_back).
    pub fn take_words(&mut self, count_max: usize) -> Vec<Word> {
        let count = self.unsaid.len().min(count_max);
        let names: Vec<_> = self.unsaid.drain(..count).collect();
        let mut words = Vec::with_capacity(count);
        for (tenant, user) in names {
            if let Some(person) = self.person(&tenant, &user) {
                person.is_unsaid = false;
                let (status, left_at) = (person.said, person.left_at);
                words.push(Word {
                    tenant,
                    user,
                    status,
                    left_at,
                });
            }
        }
        words
    }

    /// It was said. Who is not here is forgotten.
    pub fn settle(&mut self, words: &[Word]) {
        for word in words.iter().filter(|word| word.status.is_none()) {
            let Some(people) = self.tenants.get_mut(&word.tenant) else {
                continue;
            };
            let is_gone = |person: &Person| person.said.is_none() && !person.is_unsaid;
            if people.get(&word.user).is_some_and(is_gone) {
                people.remove(&word.user);
            }
            if people.is_empty() {
                self.tenants.remove(&word.tenant);
            }
        }
    }

    /// It could not be said, or must be said again: it is to be said later.
    pub fn put_back(&mut self, tenant: &TenantId, user: &UserId) {
        self.mark(tenant, user);
    }

    /// Who is said to be here.
    pub fn people(&self) -> impl Iterator<Item = (&TenantId, &UserId)> {
        self.tenants.iter().flat_map(|(tenant, people)| {
            let here = people.iter().filter(|(_, person)| person.said.is_some());
            here.map(move |(user, _)| (tenant, user))
        })
    }

    /// The id of a person who is here, as it is kept here: whoever keeps it too shares it.
    pub fn name(&self, tenant: &TenantId, user: &UserId) -> Option<UserId> {
        let (name, _) = self.tenants.get(tenant)?.get_key_value(user)?;
        Some(name.clone())
    }

    /// Says more at once, and less only at the end of grace: of the one that is given, or of one
    /// that runs already.
    fn review(&mut self, tenant: &TenantId, user: &UserId, grace_ends: Option<Timestamp>) {
        let Some(person) = self.person(tenant, user) else {
            return;
        };
        let status = person.status();
        let before = person.grace_ends();
        let (is_news, after) = if status >= person.said {
            (mem::replace(&mut person.said, status) != status, None)
        } else {
            (false, grace_ends.or(before))
        };
        person.set_grace(after);
        if before != after {
            if let Some(end) = before {
                self.ends.remove(&(end, tenant.clone(), user.clone()));
            }
            if let Some(end) = after {
                self.ends.insert((end, tenant.clone(), user.clone()));
            }
        }
        if is_news {
            self.mark(tenant, user);
        }
    }

    fn mark(&mut self, tenant: &TenantId, user: &UserId) {
        if let Some(person) = self.person(tenant, user)
            && !mem::replace(&mut person.is_unsaid, true)
        {
            self.unsaid.push_back((tenant.clone(), user.clone()));
        }
    }

    fn person(&mut self, tenant: &TenantId, user: &UserId) -> Option<&mut Person> {
        self.tenants.get_mut(tenant)?.get_mut(user)
    }
}

impl Person {
    /// One of the sockets is away.
    fn put_away(&mut self, socket: &Id) {
        let rare = self.rare.get_or_insert_default();
        rare.away.push(socket.clone());
    }

    /// It is not, if it was.
    fn call_back(&mut self, socket: &Id) {
        if let Some(rare) = &mut self.rare {
            rare.away.retain(|known| known != socket);
        }
        self.tidy();
    }

    fn set_grace(&mut self, ends: Option<Timestamp>) {
        if ends != self.grace_ends() {
            self.rare.get_or_insert_default().grace_ends = ends;
            self.tidy();
        }
    }

    /// Keeps nothing for what is rare while it is not so.
    fn tidy(&mut self) {
        let is_idle = |rare: &mut Box<Rare>| rare.away.is_empty() && rare.grace_ends.is_none();
        self.rare.take_if(is_idle);
    }

    fn grace_ends(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.grace_ends
    }

    fn away(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.away.len())
    }

    fn status(&self) -> Option<Status> {
        match self.sockets {
            0 => None,
            count if self.away() >= count as usize => Some(Status::Away),
            _ => Some(Status::Online),
        }
    }
}
