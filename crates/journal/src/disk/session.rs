//! The table of sessions, and what is done to it inside of a group's transaction.

use std::num::NonZeroU32;

use rusqlite::{Connection, OptionalExtension};
use switchboard_event::{TenantId, Timestamp, UserId};

use crate::disk::ledger::Ledger;
use crate::disk::session_row::SessionRow;
use crate::disk::{StorageError, row};
use crate::session::Tenure;
use crate::{Generation, SessionError, SessionKey};

/// The sessions, as the current transaction sees them.
pub(super) struct Table<'t> {
    pub(super) connection: &'t Connection,
    /// Counts them.
    pub(super) ledger: &'t mut Ledger,
    pub(super) count_max: NonZeroU32,
}

/// Why a session was not written: its own fault, or the whole group's.
#[derive(Debug)]
pub(super) enum Fault {
    Session(SessionError),
    Storage(StorageError),
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl<E: Into<StorageError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Storage(error.into())
    }
}

impl Table<'_> {
    pub(super) fn save(
        &mut self,
        key: &SessionKey,
        tenure: Tenure,
        session: &SessionRow,
        now: Timestamp,
    ) -> Result<(), Fault> {
        match self.tenure(key)? {
            Some(stored) if !stored.is_over(now) && stored.supersedes(tenure.generation) => {
                return Err(SessionError::Superseded.into());
            }
            Some(_) => {}
            None => {
                self.make_room()?;
                self.ledger.sessions += 1;
            }
        }
        session.write(self.connection, key, tenure)?;
        Ok(())
    }

    /// The generation after the stored one, and what was stored of this person's session.
    pub(super) fn claim(
        &mut self,
        key: &SessionKey,
        owner: (&TenantId, &UserId),
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(SessionRow, Generation)>, Fault> {
        let Some(stored) = self.tenure(key)?.filter(|stored| !stored.is_over(now)) else {
            return Ok(None);
        };
        let Some(session) = SessionRow::read(self.connection, key)? else {
            return Err(SessionRow::damaged().into());
        };
        let (tenant, user) = owner;
        if !session.is_of(tenant, user) {
            return Ok(None);
        }
        let tenure = stored.claimed(expires_at);
        self.set(key, tenure)?;
        Ok(Some((session, tenure.generation)))
    }

    /// Whether the session was there for its owner.
    pub(super) fn touch(
        &mut self,
        key: &SessionKey,
        generation: Generation,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        match self.tenure(key)? {
            Some(stored) if !stored.is_over(now) && !stored.supersedes(generation) => {
                let tenure = stored.touched(expires_at);
                if tenure != stored {
                    self.set(key, tenure)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    pub(super) fn remove(&mut self, key: &SessionKey, generation: Generation) -> Result<(), Fault> {
        let stored = self.tenure(key)?;
        if stored.is_some_and(|stored| !stored.supersedes(generation)) {
            let mut delete = self
                .connection
                .prepare_cached("DELETE FROM session WHERE key = ?1")?;
            self.ledger.forget_sessions(delete.execute([key.digest()])?);
        }
        Ok(())
    }

    /// Forgets sessions whose time is over, and those that expire first if there are too many:
    /// at most so many of each. Answers whether there may be more.
    pub(super) fn trim(&mut self, now: Timestamp, slice: u32) -> Result<bool, StorageError> {
        let mut delete = self.connection.prepare_cached(
            "DELETE FROM session WHERE key IN \
             (SELECT key FROM session WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
        )?;
        let expired = delete.execute((now.as_millis(), slice))?;
        self.ledger.forget_sessions(expired);
        let count_max = u64::from(self.count_max.get());
        let excess = self.ledger.sessions.saturating_sub(count_max);
        self.forget_first(excess.min(u64::from(slice)))?;
        Ok(row::stored(expired) == i64::from(slice) || excess > u64::from(slice))
    }

    fn make_room(&mut self) -> Result<(), StorageError> {
        if self.ledger.sessions >= u64::from(self.count_max.get()) {
            self.forget_first(1)?;
        }
        Ok(())
    }

    /// Forgets the sessions that expire first.
    fn forget_first(&mut self, count: u64) -> Result<(), StorageError> {
        if count > 0 {
            let mut delete = self.connection.prepare_cached(
                "DELETE FROM session WHERE key IN \
                 (SELECT key FROM session ORDER BY expires_at, key LIMIT ?1)",
            )?;
            let forgotten = delete.execute([row::stored(count)])?;
            self.ledger.forget_sessions(forgotten);
        }
        Ok(())
    }

    fn tenure(&self, key: &SessionKey) -> Result<Option<Tenure>, StorageError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT generation, expires_at FROM session WHERE key = ?1")?;
        let tenure = select.query_row([key.digest()], |row| {
            Ok(Tenure {
                generation: Generation::new(row::number(row.get(0)?)),
                expires_at: Timestamp::from_millis(row.get(1)?),
            })
        });
        Ok(tenure.optional()?)
    }

    fn set(&self, key: &SessionKey, tenure: Tenure) -> Result<(), StorageError> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE session SET generation = ?2, expires_at = ?3 WHERE key = ?1")?;
        let generation = row::stored(tenure.generation.number());
        update.execute((key.digest(), generation, tenure.expires_at.as_millis()))?;
        Ok(())
    }
}
