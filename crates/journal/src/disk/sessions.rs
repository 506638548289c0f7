use async_trait::async_trait;
use switchboard_event::{TenantId, Timestamp, UserId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::disk::queue::{Job, Refused, SessionJob};
use crate::disk::session::{Fault, Table};
use crate::disk::session_row::SessionRow;
use crate::disk::{DiskJournal, StorageError};
use crate::session::Tenure;
use crate::{Claimed, Generation, SessionError, SessionKey, Sessions, StoredSession};

#[async_trait]
impl Sessions for DiskJournal {
    async fn save(
        &self,
        key: &SessionKey,
        generation: Generation,
        session: &StoredSession,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        session.check()?;
        let (key, row) = (*key, SessionRow::new(session));
        let tenure = Tenure {
            generation,
            expires_at,
        };
        let bytes = WRITE_OVERHEAD + row.bytes();
        self.write(bytes, Some(now), move |table| {
            table.save(&key, tenure, &row, now)
        })
        .await
    }

    async fn claim(
        &self,
        key: &SessionKey,
        tenant: &TenantId,
        user: &UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Claimed>, SessionError> {
        let (key, tenant, user) = (*key, tenant.clone(), user.clone());
        let claimed = self
            .write(WRITE_OVERHEAD, Some(now), move |table| {
                table.claim(&key, (&tenant, &user), expires_at, now)
            })
            .await?;
        claimed
            .map(|(row, generation)| {
                let session = row.into_session()?;
                Ok(Claimed {
                    session,
                    generation,
                })
            })
            .transpose()
    }

    async fn touch(
        &self,
        sessions: &[(SessionKey, Generation)],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<usize>, SessionError> {
        let mut entries: Vec<_> = sessions.iter().copied().enumerate().collect();
        // In the order of the table, a slice writes few pages, each once.
        entries.sort_unstable_by_key(|(_, (key, _))| *key);
        let mut skipped = Vec::new();
        // One slice after the other, so that appends in between do not wait for all of them.
        for slice in entries.chunks(TOUCH_SLICE) {
            let (bytes, slice) = (slice.len() * WRITE_OVERHEAD, slice.to_vec());
            let touch = move |table: &mut Table<'_>| {
                let mut skipped = Vec::new();
                for (index, (key, generation)) in slice {
                    if !table.touch(&key, generation, expires_at, now)? {
                        skipped.push(index);
                    }
                }
                Ok(skipped)
            };
            skipped.extend(self.write(bytes, Some(now), touch).await?);
        }
        Ok(skipped)
    }

    async fn remove(&self, key: &SessionKey, generation: Generation) -> Result<(), SessionError> {
        let key = *key;
        self.write(WRITE_OVERHEAD, None, move |table| {
            table.remove(&key, generation)
        })
        .await
    }
}

impl DiskJournal {
    /// Lets the writer do something to the table, and waits until it is durable.
    async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        now: Option<Timestamp>,
        work: impl FnOnce(&mut Table<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SessionError> {
        let room = self.queue.room(bytes)?;
        let (answer, answered) = oneshot::channel();
        self.queue.put(Job::Session(Box::new(Ticket {
            bytes,
            now,
            step: Step::Waiting(work),
            answer,
            room,
        })))?;
        let ended = |_| Err(Refused::Ended.into());
        answered.await.unwrap_or_else(ended)
    }
}

/// Work on its way to the writer, and its answer until the group is committed.
struct Ticket<W, T> {
    bytes: usize,
    now: Option<Timestamp>,
    step: Step<W, T>,
    answer: oneshot::Sender<Result<T, SessionError>>,
    room: OwnedSemaphorePermit,
}

enum Step<W, T> {
    Waiting(W),
    /// While it runs, and for ever if it failed.
    Begun,
    Done(Result<T, SessionError>),
}

impl<W, T> SessionJob for Ticket<W, T>
where
    W: FnOnce(&mut Table<'_>) -> Result<T, Fault> + Send,
    T: Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn now(&self) -> Option<Timestamp> {
        self.now
    }

    fn write(&mut self, table: &mut Table<'_>) -> Result<(), StorageError> {
        if let Step::Waiting(work) = std::mem::replace(&mut self.step, Step::Begun) {
            let outcome = match work(table) {
                Ok(value) => Ok(value),
                Err(Fault::Session(error)) => Err(error),
                Err(Fault::Storage(error)) => return Err(error),
            };
            self.step = Step::Done(outcome);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), &str>) {
        let outcome = match (committed, self.step) {
            (Ok(()), Step::Done(outcome)) => outcome,
            (Err(reason), _) => Err(SessionError::Unavailable {
                reason: reason.to_owned(),
            }),
            (Ok(()), Step::Waiting(_) | Step::Begun) => Err(Refused::Ended.into()),
        };
        drop(self.room);
        // Who does not wait any more needs no answer.
        let _ = self.answer.send(outcome);
    }
}

/// How many sessions are touched in one group of commits.
const TOUCH_SLICE: usize = 1_000;
/// What a write takes up beside its text: about half of a page of the table, as keys are random.
const WRITE_OVERHEAD: usize = 1_024;
