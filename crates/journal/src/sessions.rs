use async_trait::async_trait;
use switchboard_event::{TenantId, Timestamp, UserId};

use crate::{Claimed, Generation, SessionError, SessionKey, StoredSession};

/// What clients come back to: kept beside the log, under the same promises.
///
/// A session belongs to the connection of the highest generation. It is there until its owner
/// removes it or its time is over, and no longer than it is among the many that the store keeps:
/// beyond that number the one that expires first goes. `conformance` holds every implementation
/// to what is said here.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Writes what a session is now, and returns once it is durable, as an append does.
    ///
    /// A key that is unknown or whose time is over becomes this session, whatever the generation:
    /// so does a new client begin, with [`Generation::FIRST`], and one that was forgotten while
    /// it was connected goes on. Refused with [`SessionError::Superseded`] if a higher generation
    /// owns the key.
    ///
    /// Saves of one session happen in the order in which they were first polled.
    async fn save(
        &self,
        key: &SessionKey,
        generation: Generation,
        session: &StoredSession,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), SessionError>;

    /// Takes a session over for a new connection of the same person: from then on, durably,
    /// nothing of an earlier generation counts. Its life is extended to `expires_at`.
    ///
    /// `None` if the key is unknown, its time is over, or it is somebody else's; then nothing
    /// changes, so that a key in the wrong hands does not disturb its owner. Of several who claim
    /// at once each gets a generation of its own, and the highest one owns the session.
    async fn claim(
        &self,
        key: &SessionKey,
        tenant: &TenantId,
        user: &UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Claimed>, SessionError>;

    /// Extends the life of sessions whose clients are connected; never shortens one.
    ///
    /// Answers which ones were skipped, as indices of `sessions` in no order: those that are
    /// unknown, whose time is over, or that a higher generation owns. Any number may be given; it
    /// is not one transaction.
    async fn touch(
        &self,
        sessions: &[(SessionKey, Generation)],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<usize>, SessionError>;

    /// Forgets a session whose client left on purpose. Nothing happens if it is unknown or a
    /// higher generation owns it.
    async fn remove(&self, key: &SessionKey, generation: Generation) -> Result<(), SessionError>;
}
