//! The clients of one partition: by what they come back with, and by when their tokens end.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use switchboard_event::Timestamp;
use switchboard_journal::{Generation, SessionKey};

use crate::recovery::Credential;
use crate::session::Session;

/// Every session that there is, from before it hears anything until it is gone.
///
/// Whoever enters a session takes it out again: nothing here ends by itself.
#[derive(Debug, Default)]
pub(crate) struct Present {
    owners: HashSet<Owner>,
    /// Those whose tokens end, in the order in which there is something to do about it.
    due: BTreeSet<Due>,
}

/// A session by its key, which is in it: a table of both would keep each key twice.
#[derive(Debug)]
struct Owner(Arc<Session>);

/// Something is to be done about a session's token then.
#[derive(Debug)]
struct Due {
    at: Timestamp,
    session: Arc<Session>,
}

impl Present {
    /// Enters a session, of which [`take_due`](Self::take_due) speaks at `due_at`. Of two with one
    /// key the one of the lower generation loses its place, and is returned.
    pub(crate) fn enter(
        &mut self,
        session: &Arc<Session>,
        due_at: Option<Timestamp>,
    ) -> Option<Arc<Session>> {
        let Credential { key, generation } = session.credential();
        let owner = self.owner(&key);
        if owner.is_some_and(|owner| owner.credential().generation > generation) {
            return Some(Arc::clone(session));
        }
        let loser = self.owners.replace(Owner(Arc::clone(session)));
        let loser = loser.map(|Owner(loser)| loser);
        if let Some(loser) = &loser {
            self.forget_due(loser);
        }
        self.schedule(session, due_at);
        loser
    }

    /// Takes out a session that ended; another one that has its key stays.
    pub(crate) fn leave(&mut self, session: &Arc<Session>) {
        self.forget_due(session);
        let key = session.credential().key;
        let owner = self.owner(&key);
        if owner.is_some_and(|owner| Arc::ptr_eq(owner, session)) {
            self.owners.remove(&key);
        }
    }

    /// Takes out the session that had the key before `credential`, if it is there still.
    pub(crate) fn evict(&mut self, credential: Credential) -> Option<Arc<Session>> {
        let owner = self.owner(&credential.key)?;
        if owner.credential().generation >= credential.generation {
            return None;
        }
        let Owner(earlier) = self.owners.take(&credential.key)?;
        self.forget_due(&earlier);
        Some(earlier)
    }

    /// Has [`take_due`](Self::take_due) speak of a session at another time, if it is here.
    pub(crate) fn reschedule(&mut self, session: &Arc<Session>, due_at: Option<Timestamp>) {
        let owner = self.owner(&session.credential().key);
        if owner.is_some_and(|owner| Arc::ptr_eq(owner, session)) {
            self.forget_due(session);
            self.schedule(session, due_at);
        }
    }

    /// The sessions whose time has come, at most `count_max`; each is spoken of once.
    pub(crate) fn take_due(&mut self, now: Timestamp, count_max: usize) -> Vec<Arc<Session>> {
        let mut sessions = Vec::new();
        while sessions.len() < count_max
            && self.due.first().is_some_and(|due| due.at <= now)
            && let Some(due) = self.due.pop_first()
        {
            due.session.set_due_at(Timestamp::MAX);
            sessions.push(due.session);
        }
        sessions
    }

    /// The sessions that fit.
    pub(crate) fn of(&self, fits: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let sessions = self.owners.iter().map(|Owner(session)| session);
        sessions.filter(|session| fits(session)).cloned().collect()
    }

    /// What they come back with.
    pub(crate) fn credentials(&self) -> Vec<(SessionKey, Generation)> {
        let credential = |Owner(session): &Owner| {
            let Credential { key, generation } = session.credential();
            (key, generation)
        };
        self.owners.iter().map(credential).collect()
    }

    fn owner(&self, key: &SessionKey) -> Option<&Arc<Session>> {
        self.owners.get(key).map(|Owner(session)| session)
    }

    fn schedule(&mut self, session: &Arc<Session>, due_at: Option<Timestamp>) {
        let Some(at) = due_at else {
            return;
        };
        session.set_due_at(at);
        self.due.insert(Due {
            at,
            session: Arc::clone(session),
        });
    }

    fn forget_due(&mut self, session: &Arc<Session>) {
        self.due.remove(&Due {
            at: session.due_at(),
            session: Arc::clone(session),
        });
        session.set_due_at(Timestamp::MAX);
    }
}

impl Borrow<SessionKey> for Owner {
    fn borrow(&self) -> &SessionKey {
        self.0.key()
    }
}

impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<SessionKey>::borrow(self).hash(state);
    }
}

impl Eq for Owner {}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<SessionKey>::borrow(self) == Borrow::<SessionKey>::borrow(other)
    }
}

impl Ord for Due {
    /// Of one moment by address, which tells sessions apart while they are here.
    fn cmp(&self, other: &Self) -> Ordering {
        let address = |due: &Self| Arc::as_ptr(&due.session);
        self.at
            .cmp(&other.at)
            .then_with(|| address(self).cmp(&address(other)))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Due {}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
