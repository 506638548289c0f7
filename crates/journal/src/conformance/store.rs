use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Epoch, Offset, Position, TenantId, Timestamp, UserId};

use super::fixture::{Fixture, later, tenant};
use super::{Setup, Subject};
use crate::{Claimed, Generation, SessionError, SessionKey, Sessions, StoredRoom, StoredSession};

/// The sessions under test. Times are minutes from [`now`]; what says nothing else happens at
/// once and lasts for ten.
pub(super) struct Store {
    pub(super) store: Arc<dyn Sessions>,
    pub(super) fixture: Fixture,
}

impl Store {
    pub(super) async fn open(open: impl AsyncFn(Setup) -> Subject) -> Self {
        Self::with(open, Setup::default()).await
    }

    pub(super) async fn with(open: impl AsyncFn(Setup) -> Subject, setup: Setup) -> Self {
        let fixture = Fixture::with(open, setup).await;
        let store = Arc::clone(&fixture.sessions);
        Self { store, fixture }
    }

    pub(super) async fn save(
        &self,
        number: u32,
        generation: Generation,
        session: &StoredSession,
    ) -> Result<(), SessionError> {
        self.save_at(number, generation, session, 10, 0).await
    }

    pub(super) async fn save_at(
        &self,
        number: u32,
        generation: Generation,
        session: &StoredSession,
        end: u64,
        now: u64,
    ) -> Result<(), SessionError> {
        let (end, now) = (at(end), at(now));
        self.store
            .save(&key(number), generation, session, end, now)
            .await
    }

    pub(super) async fn claim(&self, number: u32) -> Result<Option<Claimed>, SessionError> {
        self.claim_at(number, 10, 0).await
    }

    pub(super) async fn claim_at(
        &self,
        number: u32,
        end: u64,
        now: u64,
    ) -> Result<Option<Claimed>, SessionError> {
        let (tenant, user) = owner();
        self.claim_as(number, &tenant, &user, end, now).await
    }

    pub(super) async fn claim_as(
        &self,
        number: u32,
        tenant: &TenantId,
        user: &UserId,
        end: u64,
        now: u64,
    ) -> Result<Option<Claimed>, SessionError> {
        let (end, now) = (at(end), at(now));
        self.store.claim(&key(number), tenant, user, end, now).await
    }

    pub(super) async fn touch(
        &self,
        sessions: &[(u32, Generation)],
        end: u64,
        now: u64,
    ) -> Vec<usize> {
        let sessions: Vec<_> = sessions
            .iter()
            .map(|(number, generation)| (key(*number), *generation))
            .collect();
        let (end, now) = (at(end), at(now));
        self.store.touch(&sessions, end, now).await.unwrap()
    }

    pub(super) async fn remove(
        &self,
        number: u32,
        generation: Generation,
    ) -> Result<(), SessionError> {
        self.store.remove(&key(number), generation).await
    }

    /// Which of these are there; looking changes nothing.
    pub(super) async fn known(&self, numbers: &[u32]) -> Vec<u32> {
        let sessions: Vec<_> = numbers.iter().map(|number| (*number, FIRST)).collect();
        let skipped = self.touch(&sessions, 0, 0).await;
        let all = numbers.iter().enumerate();
        let known = all.filter(|(index, _)| !skipped.contains(index));
        known.map(|(_, number)| *number).collect()
    }
}

pub(super) fn at(minutes: u64) -> Timestamp {
    later(Duration::from_mins(minutes))
}

pub(super) fn key(number: u32) -> SessionKey {
    format!("{number:020}").parse().unwrap()
}

pub(super) fn owner() -> (TenantId, UserId) {
    (tenant("acme"), "7".parse().unwrap())
}

pub(super) fn session(socket_id: &str) -> StoredSession {
    let (tenant, user) = owner();
    StoredSession {
        socket_id: socket_id.into(),
        tenant,
        user,
        start: Position {
            epoch: Epoch::new(0xface),
            offset: Offset::new(3),
        },
        rooms: rooms(&[("user:7", 3), ("team:acme", 3), ("contact:1", 300)]),
    }
}

pub(super) fn rooms(rooms: &[(&str, u64)]) -> Vec<StoredRoom> {
    let room = |(name, from): &(&str, u64)| StoredRoom {
        room: name.parse().unwrap(),
        from: Offset::new(*from),
    };
    rooms.iter().map(room).collect()
}

pub(super) const FIRST: Generation = Generation::FIRST;
