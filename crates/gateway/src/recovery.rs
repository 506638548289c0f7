//! Coming back: what is kept of a session, and how its line goes on.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use switchboard_engine::{Admission, Connect};
use switchboard_event::{Clock, Position, Timestamp};
use switchboard_hub::Grant;
use switchboard_journal::{
    Claimed, Generation, Journal, ReadError, SessionError, SessionKey, Sessions, StoredRoom,
    StoredSession,
};
use switchboard_protocol::{RecoveryId, SocketId};
use tracing::{debug, warn};

use crate::access::Access;
use crate::auth::Identity;
use crate::lane::{Lane, Registration};
use crate::lifetime::Lifetime;
use crate::missed::{Missed, missed};
use crate::reply::Refused;
use crate::revocation::{Standing, standing};
use crate::session::{Basis, Ended, NotSeated, Session};

/// Keeps sessions so that their clients can come back. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recovery {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) access: Access,
    pub(crate) clock: Clock,
    pub(crate) ttl: Duration,
    pub(crate) lifetime: Lifetime,
}

/// A client on its way in.
struct Arrival {
    session: Arc<Session>,
    registration: Registration,
}

/// Why an authenticated client is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// Its token was revoked: another one cures it.
    #[error("the token was revoked")]
    Revoked,
    /// Its user connects too often, or too much.
    #[error("too many connections of the user")]
    Limited,
    /// It is to try again.
    #[error("it cannot be let in now")]
    Unavailable,
}

/// By which a client comes back: what is kept is found under the key, and belongs to the
/// connection of the highest generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credential {
    pub(crate) key: SessionKey,
    pub(crate) generation: Generation,
}

/// What a client that comes back sends along with CONNECT.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) id: RecoveryId,
    pub(crate) key: SessionKey,
    /// The position of the last event that the client had; none if it had none.
    pub(crate) offset: Option<Position>,
}

impl Arrival {
    /// The client is in.
    fn stay(self) {
        self.registration.keep();
    }
}

/// It was ended while it came in: it is being closed, and the client comes back and learns why.
impl From<Ended> for NotAdmitted {
    fn from(_: Ended) -> Self {
        Self::Unavailable
    }
}

/// Somebody who decides about a room of before cannot be asked: the client comes back.
impl From<Refused> for NotAdmitted {
    fn from(reason: Refused) -> Self {
        warn!(%reason, "a client's rooms could not be decided");
        Self::Unavailable
    }
}

impl Claim {
    /// Reads `pid` and `offset`; an offset that is no position counts as none, because it is then
    /// not one of ours (any event may end in a string).
    pub(crate) fn parse(id: &str, offset: Option<&str>) -> Option<Self> {
        Some(Self {
            id: id.parse().ok()?,
            key: id.parse().ok()?,
            offset: offset.and_then(|offset| offset.parse().ok()),
        })
    }
}

impl Recovery {
    /// Lets a client in with a new line, in `rooms` as far as its rights cover them.
    pub(crate) async fn begin(
        &self,
        identity: &Identity,
        rooms: &[StoredRoom],
        request: &Connect,
        lane: &Arc<Lane>,
    ) -> Result<Admission<Arc<Session>>, NotAdmitted> {
        let id = random_id().ok_or(NotAdmitted::Unavailable)?;
        let credential = Credential {
            key: id.as_str().parse().expect("a recovery id is a session key"),
            generation: Generation::FIRST,
        };
        let socket_id = request.handle.id();
        let arrival = self.arrive(identity, credential, socket_id, request, lane);
        let session = Arc::clone(&arrival.session);
        self.check_standing(&session).await?;
        let begin = |grants: &[Grant], basis| session.begin(grants, basis);
        self.take_seats(&session, identity, rooms, begin).await?;
        let saved = self.save(&session).await;
        arrival.stay();
        let admission = Admission::new(session);
        Ok(match saved {
            Ok(()) => admission.recoverable(id),
            // Without a promise that could not be kept.
            Err(error) => {
                warn!(%error, "a session could not be written and will not be recovered");
                admission
            }
        })
    }

    /// Lets a client go on where it was, if that can be; `None` makes it a new one.
    ///
    /// The claim was authenticated by the token and each room is granted anew before anything is
    /// read: who came back with less rights hears less.
    pub(crate) async fn resume(
        &self,
        claim: &Claim,
        identity: &Identity,
        request: &Connect,
        lane: &Arc<Lane>,
    ) -> Result<Option<Admission<Arc<Session>>>, NotAdmitted> {
        if let Some(offset) = claim.offset {
            lane.reach(offset, &*self.journal).await;
        }
        let now = self.clock.now();
        let (tenant, user) = (identity.rights.tenant(), identity.rights.user());
        let claimed = self
            .sessions
            .claim(&claim.key, tenant, user, self.expiry(now), now);
        let Claimed {
            session: stored,
            generation,
        } = match claimed.await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(None),
            Err(error) => {
                warn!(%error, "a session could not be claimed");
                return Err(NotAdmitted::Unavailable);
            }
        };
        let Ok(socket_id) = stored.socket_id.parse::<SocketId>() else {
            return Ok(None);
        };
        let owner = Credential {
            key: claim.key,
            generation,
        };
        // A half-open connection of the same client has lost it.
        lane.evict(owner);

        let arrival = self.arrive(identity, owner, socket_id, request, lane);
        let session = Arc::clone(&arrival.session);
        self.check_standing(&session).await?;
        let after = line_position(claim.offset, stored.start);
        let resume = |grants: &[Grant], basis| session.resume(grants, &stored, after, basis);
        let seated = self.take_seats(&session, identity, &stored.rooms, resume);
        seated.await?;
        let page = missed(&*self.journal, &session, after, session.joined_at(), now).await;
        match page {
            Ok(page) => {
                self.go_on(&session, &stored, &page).await;
                arrival.stay();
                let admission = Admission::new(session).recoverable(claim.id);
                Ok(Some(admission.recovered(socket_id, page.packets)))
            }
            // The history is gone: the rooms are joined all the same, and the client is told.
            Err(
                reason @ (ReadError::Trimmed { .. }
                | ReadError::OtherEpoch { .. }
                | ReadError::Ahead { .. }),
            ) => {
                debug!(%reason, "not recovered");
                drop(arrival);
                let begun = self.begin(identity, &stored.rooms, request, lane);
                Ok(Some(begun.await?))
            }
            Err(error) => {
                warn!(%error, "a session could not be recovered");
                Err(NotAdmitted::Unavailable)
            }
        }
    }

    /// Makes a client known, in no room yet: what ends its rights from now on finds it.
    fn arrive(
        &self,
        identity: &Identity,
        credential: Credential,
        socket_id: SocketId,
        request: &Connect,
        lane: &Arc<Lane>,
    ) -> Arrival {
        let due_at = self
            .lifetime
            .first_due(identity.expires_at, self.clock.now());
        let session = Session::new(
            identity.clone(),
            request,
            Arc::clone(lane),
            credential,
            socket_id,
        );
        let session = Arc::new(session);
        Arrival {
            registration: session.lane.register(&session, due_at),
            session,
        }
    }

    /// Decides about the rooms of a client that comes in and has it join them, in the end without
    /// anything in between that says that what was decided may not count.
    async fn take_seats(
        &self,
        session: &Arc<Session>,
        identity: &Identity,
        rooms: &[StoredRoom],
        join: impl Fn(&[Grant], Basis) -> Result<(), NotSeated>,
    ) -> Result<(), NotAdmitted> {
        for _ in 0..ATTEMPTS_MAX {
            let basis = session.basis();
            let rooms = rooms.iter().map(|one| one.room.clone());
            let granted = self.access.again(identity, rooms).await?;
            match join(&granted.grants, basis) {
                Ok(()) => {
                    session.lane.hold(session, &granted.terms);
                    return Ok(());
                }
                Err(NotSeated::Overtaken) => {}
                Err(NotSeated::Ended(ended)) => return Err(ended.into()),
            }
        }
        Err(NotAdmitted::Unavailable)
    }

    /// Asks what was revoked before the client came, and keeps to it.
    async fn check_standing(&self, session: &Session) -> Result<(), NotAdmitted> {
        let identity = session.identity();
        match standing(&*self.journal, &identity, self.clock.now()).await {
            Ok(Standing::Good(taken)) => {
                for (room, instant) in taken {
                    session.take(&room, instant);
                }
                Ok(())
            }
            Ok(Standing::Revoked) => Err(NotAdmitted::Revoked),
            Ok(Standing::PerhapsNew) => Err(NotAdmitted::Unavailable),
            Err(error) => {
                warn!(%error, "revocations could not be read");
                Err(NotAdmitted::Unavailable)
            }
        }
    }

    /// Puts a session that came back in its place. The claim was a write already; only rooms that
    /// changed need another one.
    async fn go_on(&self, session: &Session, stored: &StoredSession, page: &Missed) {
        debug!(socket = %session.socket_id(), missed = page.packets.len(), "recovered");
        if page.next.is_some() {
            session.handle.outbox().fall_behind();
        }
        if session.stored_rooms() != stored.rooms {
            // What is stored is more than what is left, and is checked again each time.
            self.write(session).await;
        }
    }

    /// Writes what the session is now; its rooms are known again after a crash.
    pub(crate) async fn save(&self, session: &Session) -> Result<(), SessionError> {
        let Credential { key, generation } = session.credential();
        let now = self.clock.now();
        self.sessions
            .save(&key, generation, &session.stored(), self.expiry(now), now)
            .await
    }

    /// The same for what is in force whatever becomes of the note.
    pub(crate) async fn write(&self, session: &Session) {
        if let Err(error) = self.save(session).await {
            warn!(socket = %session.socket_id(), %error, "a session could not be written");
        }
    }

    /// Forgets a session whose client left on purpose.
    ///
    /// Begins at once, so that it comes before a claim that the client makes next.
    pub(crate) fn forget(&self, Credential { key, generation }: Credential) {
        let sessions = Arc::clone(&self.sessions);
        let mut forgetting = Box::pin(async move {
            if let Err(error) = sessions.remove(&key, generation).await {
                // It expires by itself.
                debug!(%error, "a session was not forgotten");
            }
        });
        let begun = forgetting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if begun.is_pending() {
            tokio::spawn(forgetting);
        }
    }

    /// Extends the life of what belongs to connected clients.
    pub(crate) async fn keep_alive(&self, lane: &Lane) {
        let now = self.clock.now();
        for chunk in lane.credentials().chunks(KEEP_ALIVE_MAX) {
            if let Err(error) = self.sessions.touch(chunk, self.expiry(now), now).await {
                warn!(%error, "sessions were not kept alive");
                return;
            }
        }
    }

    /// How often [`keep_alive`](Self::keep_alive) is due: a client that goes away has at least
    /// three quarters of its time left.
    pub(crate) fn keep_alive_interval(&self) -> Duration {
        (self.ttl / 4).max(Duration::from_secs(1))
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.ttl).unwrap_or(Timestamp::MAX)
    }
}

impl Session {
    fn stored(&self) -> StoredSession {
        StoredSession {
            socket_id: self.socket_id().as_str().into(),
            tenant: self.tenant().clone(),
            user: self.user(),
            start: self.start(),
            rooms: self.stored_rooms(),
        }
    }
}

/// Where a line goes on: behind what its client had, but never before its own beginning.
fn line_position(offset: Option<Position>, start: Position) -> Position {
    match offset {
        Some(offset) if offset.epoch != start.epoch || offset.offset > start.offset => offset,
        _ => start,
    }
}

fn random_id() -> Option<RecoveryId> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(RecoveryId::from_random(bytes))
}

/// How often the rooms of a client that comes in are decided about because rights are being ended
/// at the same time.
const ATTEMPTS_MAX: usize = 8;
/// How many sessions are kept alive in one call.
const KEEP_ALIVE_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use switchboard_event::{Epoch, Offset};

    use super::*;

    #[test]
    fn a_line_goes_on_behind_what_its_client_had_and_not_before_its_beginning() {
        let at = |epoch, offset| Position {
            epoch: Epoch::new(epoch),
            offset: Offset::new(offset),
        };

        assert_eq!(line_position(None, at(1, 5)), at(1, 5));
        assert_eq!(line_position(Some(at(1, 9)), at(1, 5)), at(1, 9));
        assert_eq!(line_position(Some(at(1, 2)), at(1, 5)), at(1, 5));
        assert_eq!(line_position(Some(at(2, 2)), at(1, 5)), at(2, 2));
    }

    #[test]
    fn an_offset_that_is_not_ours_counts_as_none() {
        let claim = Claim::parse("YHcX2sdAF1z452-HAAAW", Some("goodbye")).unwrap();

        assert_eq!(claim.offset, None);
        assert!(Claim::parse("short", None).is_none());
    }
}
