use std::sync::atomic::Ordering;

use async_trait::async_trait;
use redis::{Cmd, Value};
use switchboard_event::{TenantId, Timestamp, UserId};
use switchboard_journal::{Claimed, Generation, SessionError, SessionKey, Sessions, StoredSession};

use crate::RedisJournal;
use crate::codec::{decode_session, encode_session, owner};
use crate::core::Core;
use crate::error::Failure;
use crate::reply;
use crate::script::{CLAIM, REMOVE, SAVE, Script, TOUCH};

impl Core {
    /// Over how many partitions sessions are spread: over all, unless there may be so few that
    /// each share would be too small to be even.
    pub(crate) fn session_shards(&self) -> usize {
        if self.config.sessions_max.get() < SPREAD_MIN {
            1
        } else {
            self.shards.len()
        }
    }

    /// Where the sessions of a shard lie.
    pub(crate) fn session_keys(&self, index: usize) -> [String; 2] {
        let place = &self.shards[index].place;
        ["sessions", "sessions-due"].map(|name| place.key(name))
    }

    /// Which shard a session is in: its key is a hash, so any part of it is even.
    fn session_shard(&self, key: &SessionKey) -> usize {
        let [first, second, ..] = *key.digest();
        usize::from(u16::from_be_bytes([first, second])) % self.session_shards()
    }

    async fn session(
        &self,
        shard: usize,
        script: &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<Value, Failure> {
        self.open()?;
        let mut call = script.call(&self.session_keys(shard));
        fill(&mut call);
        let answer = self.router.run(&self.shards[shard].place, script, &call);
        answer.await
    }

    fn note_sessions(&self, shard: usize, count: i64) {
        let count = u64::try_from(count).unwrap_or(0);
        self.sessions[shard].store(count, Ordering::Relaxed);
    }
}

#[async_trait]
impl Sessions for RedisJournal {
    async fn save(
        &self,
        key: &SessionKey,
        generation: Generation,
        session: &StoredSession,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        session.check()?;
        self.core.tell(now);
        let shard = self.core.session_shard(key);
        let shards = u64::try_from(self.core.session_shards()).unwrap_or(u64::MAX);
        let count_max = u64::from(self.core.config.sessions_max.get()).div_ceil(shards);
        let saved = self.core.session(shard, &SAVE, |call| {
            call.arg(&key.digest()[..])
                .arg(generation.number())
                .arg(expires_at.as_millis())
                .arg(encode_session(session))
                .arg(now.as_millis())
                .arg(count_max);
        });
        match reply::integer(&saved.await?) {
            Some(count) if count >= 0 => {
                self.core.note_sessions(shard, count);
                Ok(())
            }
            Some(_) => Err(SessionError::Superseded),
            None => Err(Failure::strange("a save").into()),
        }
    }

    async fn claim(
        &self,
        key: &SessionKey,
        tenant: &TenantId,
        user: &UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Claimed>, SessionError> {
        self.core.tell(now);
        let shard = self.core.session_shard(key);
        let claimed = self.core.session(shard, &CLAIM, |call| {
            call.arg(&key.digest()[..])
                .arg(owner(tenant, user))
                .arg(expires_at.as_millis())
                .arg(now.as_millis());
        });
        let claimed = match claimed.await? {
            Value::Nil | Value::Boolean(false) => return Ok(None),
            Value::Array(claimed) => claimed,
            _ => return Err(Failure::strange("a claim").into()),
        };
        let read = || {
            let [generation, stored] = claimed.try_into().ok()?;
            Some(Claimed {
                generation: Generation::new(reply::number(&generation)?),
                session: decode_session(&reply::bytes(stored)?, tenant, user)?,
            })
        };
        read().map(Some).ok_or_else(|| SessionError::Damaged {
            reason: "it is not as written".to_owned(),
        })
    }

    async fn touch(
        &self,
        sessions: &[(SessionKey, Generation)],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<usize>, SessionError> {
        self.core.open()?;
        self.core.tell(now);
        let mut shares: Vec<Vec<usize>> = vec![Vec::new(); self.core.session_shards()];
        for (index, (key, _)) in sessions.iter().enumerate() {
            shares[self.core.session_shard(key)].push(index);
        }
        let mut skipped = Vec::new();
        for (shard, indices) in shares.iter().enumerate() {
            for indices in indices.chunks(TOUCH_MAX) {
                let answer = self.core.session(shard, &TOUCH, |call| {
                    call.arg(expires_at.as_millis()).arg(now.as_millis());
                    for (key, generation) in indices.iter().map(|index| &sessions[*index]) {
                        call.arg(&key.digest()[..]).arg(generation.number());
                    }
                });
                let found = reply::list(answer.await?);
                let found = found.ok_or_else(|| Failure::strange("a touch"))?;
                let index = |found: &Value| {
                    let place = usize::try_from(reply::number(found)?).ok()?;
                    indices.get(place).copied()
                };
                skipped.extend(found.iter().filter_map(index));
            }
        }
        Ok(skipped)
    }

    async fn remove(&self, key: &SessionKey, generation: Generation) -> Result<(), SessionError> {
        let shard = self.core.session_shard(key);
        let removed = self.core.session(shard, &REMOVE, |call| {
            call.arg(&key.digest()[..]).arg(generation.number());
        });
        if let Some(count) = reply::integer(&removed.await?) {
            self.core.note_sessions(shard, count);
        }
        Ok(())
    }
}

/// How many sessions there may be before they are spread.
const SPREAD_MIN: u32 = 65_536;
/// How many sessions one script touches.
const TOUCH_MAX: usize = 500;
