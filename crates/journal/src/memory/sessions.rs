use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;

use async_trait::async_trait;
use switchboard_event::{TenantId, Timestamp, UserId};

use crate::memory::MemoryJournal;
use crate::session::Tenure;
use crate::{Claimed, Generation, SessionError, SessionKey, Sessions, StoredSession};

/// The sessions of a [`MemoryJournal`].
#[derive(Debug)]
pub(super) struct Table {
    closed: bool,
    count_max: usize,
    entries: HashMap<SessionKey, Entry>,
    /// When sessions expire, to find the first one without a search.
    expiries: BTreeSet<(Timestamp, SessionKey)>,
}

#[derive(Debug)]
struct Entry {
    tenure: Tenure,
    session: StoredSession,
}

impl Table {
    pub(super) fn new(count_max: NonZeroU32) -> Self {
        Self {
            closed: false,
            count_max: usize::try_from(count_max.get()).unwrap_or(usize::MAX),
            entries: HashMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn open(&mut self) -> Result<&mut Self, SessionError> {
        if self.closed {
            return Err(SessionError::Closed);
        }
        Ok(self)
    }

    fn save(
        &mut self,
        key: SessionKey,
        tenure: Tenure,
        session: StoredSession,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        self.expire(now);
        if let Some(entry) = self.entries.get(&key) {
            if entry.tenure.supersedes(tenure.generation) {
                return Err(SessionError::Superseded);
            }
            self.forget(&key);
        }
        if self.entries.len() >= self.count_max
            && let Some((_, first)) = self.expiries.pop_first()
        {
            self.entries.remove(&first);
        }
        self.expiries.insert((tenure.expires_at, key));
        self.entries.insert(key, Entry { tenure, session });
        Ok(())
    }

    fn claim(
        &mut self,
        key: &SessionKey,
        tenant: &TenantId,
        user: &UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Claimed> {
        self.expire(now);
        let Entry { tenure, session } = self.entries.get(key)?;
        if session.tenant != *tenant || session.user != *user {
            return None;
        }
        let (tenure, session) = (tenure.claimed(expires_at), session.clone());
        self.extend(key, tenure);
        Some(Claimed {
            session,
            generation: tenure.generation,
        })
    }

    fn touch(
        &mut self,
        key: &SessionKey,
        generation: Generation,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        self.expire(now);
        match self.entries.get(key).map(|entry| entry.tenure) {
            Some(tenure) if !tenure.supersedes(generation) => {
                self.extend(key, tenure.touched(expires_at));
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, key: &SessionKey, generation: Generation) {
        if let Some(entry) = self.entries.get(key)
            && !entry.tenure.supersedes(generation)
        {
            self.forget(key);
        }
    }

    fn extend(&mut self, key: &SessionKey, tenure: Tenure) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.expiries.remove(&(entry.tenure.expires_at, *key));
            self.expiries.insert((tenure.expires_at, *key));
            entry.tenure = tenure;
        }
    }

    fn forget(&mut self, key: &SessionKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.expiries.remove(&(entry.tenure.expires_at, *key));
        }
    }

    /// Forgets sessions whose time is over. They count as unknown already.
    fn expire(&mut self, now: Timestamp) {
        while let Some((end, key)) = self.expiries.first().copied()
            && end <= now
        {
            self.expiries.pop_first();
            self.entries.remove(&key);
        }
    }
}

#[async_trait]
impl Sessions for MemoryJournal {
    async fn save(
        &self,
        key: &SessionKey,
        generation: Generation,
        session: &StoredSession,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        session.check()?;
        let tenure = Tenure {
            generation,
            expires_at,
        };
        self.sessions
            .lock()
            .open()?
            .save(*key, tenure, session.clone(), now)
    }

    async fn claim(
        &self,
        key: &SessionKey,
        tenant: &TenantId,
        user: &UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Claimed>, SessionError> {
        let mut sessions = self.sessions.lock();
        Ok(sessions.open()?.claim(key, tenant, user, expires_at, now))
    }

    async fn touch(
        &self,
        sessions: &[(SessionKey, Generation)],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<usize>, SessionError> {
        let mut table = self.sessions.lock();
        let table = table.open()?;
        let mut skipped = Vec::new();
        for (index, (key, generation)) in sessions.iter().enumerate() {
            if !table.touch(key, *generation, expires_at, now) {
                skipped.push(index);
            }
        }
        Ok(skipped)
    }

    async fn remove(&self, key: &SessionKey, generation: Generation) -> Result<(), SessionError> {
        self.sessions.lock().open()?.remove(key, generation);
        Ok(())
    }
}
