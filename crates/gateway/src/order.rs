//! What is done about an order, between two other records.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Event, Invalidation, Order, Revocation, Room, TenantId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::audit::{self, Left};
use crate::auth::Identity;
use crate::counters::SessionEnd;
use crate::lane::Lane;
use crate::recovery::Recovery;
use crate::reply::Refused;
use crate::session::Session;

impl Lane {
    /// Does what `event` orders, if it is an order. When this returns, nothing that is fanned out
    /// next reaches whom it is about.
    pub(crate) fn obey(&self, event: &Event, recovery: &Recovery) {
        let tenant = event.tenant();
        match Order::of(event) {
            None => {}
            Some(Ok(order)) => self.apply(&order, tenant, recovery),
            Some(Err(invalid)) => {
                error!(%tenant, event = event.name(), error = %invalid, "an order cannot be obeyed");
            }
        }
    }

    fn apply(&self, order: &Order, tenant: &TenantId, recovery: &Recovery) {
        audit::ordered(tenant, order);
        if let Order::Invalidate(Invalidation { user, room, kind }) = order {
            let (user, room, kind) = (user.as_ref(), room.as_ref(), kind.as_ref());
            recovery.access.invalidate(tenant, user, room, kind);
        }
        // Before anybody is looked for: who decides about something at this moment, and is not
        // found, sees that it has to decide again.
        let number = self.note_order();
        let sessions = self.present.lock().of(|session| {
            let is_named = match order {
                Order::Revoke(Revocation::User { user, .. } | Revocation::Room { user, .. })
                | Order::Disconnect { user } => session.user() == *user,
                Order::Revoke(Revocation::Token { .. }) => true,
                Order::Invalidate(Invalidation { user, .. }) => {
                    user.as_ref().is_none_or(|user| session.user() == *user)
                }
            };
            is_named && session.tenant() == tenant
        });
        match order {
            Order::Revoke(Revocation::Room {
                room,
                issued_before,
                ..
            }) => {
                let left = |session: &Arc<Session>| {
                    let left = session.take(room, *issued_before);
                    say_left(session, &left, Left::Revoked)
                };
                recovery.write_later(sessions.into_iter().filter(left).collect());
            }
            Order::Revoke(revocation) => {
                for session in sessions {
                    if session.end_if_revoked(revocation) {
                        info!(socket = %session.socket_id(), %tenant, user = %session.user(), "revoked");
                    }
                }
            }
            Order::Disconnect { .. } => {
                for session in sessions {
                    session.end(SessionEnd::Disconnected);
                }
            }
            Order::Invalidate(invalidation) => {
                let is_meant = |identity: &Identity, room: &Room| {
                    invalidation.concerns(room) && recovery.access.asks(identity, room)
                };
                let is_left_open = |session: &Arc<Session>| session.suspend(number, is_meant);
                let sessions: Vec<_> = sessions.into_iter().filter(is_left_open).collect();
                recovery.decide_again_later(sessions, number);
            }
        }
    }
}

impl Recovery {
    /// Decides about the rooms of these sessions that the order of this number put in doubt. In a
    /// task of its own: whoever decides may take its time, which the line of everybody else has not.
    fn decide_again_later(&self, sessions: Vec<Arc<Session>>, order: u64) {
        if sessions.is_empty() {
            return;
        }
        let recovery = self.clone();
        let until = Instant::now() + UNDECIDED_MAX;
        tokio::spawn(async move {
            a_few_at_once(sessions, SESSIONS_AT_ONCE_MAX, |session| {
                let recovery = recovery.clone();
                async move { recovery.decide_again(&session, order, until).await }
            })
            .await;
        });
    }

    /// Asks until everything is decided. What nobody could say by `until` is left: it was said that
    /// the yes of before does not count, and there is no other.
    async fn decide_again(&self, session: &Arc<Session>, order: u64, until: Instant) {
        loop {
            if session.handle.is_closed() {
                session.retire();
            }
            let rooms = session.undecided(order);
            if rooms.is_empty() {
                return;
            }
            let (renewals, identity) = (session.renewals(), session.identity());
            let (mut denied, mut unknown) = (Vec::new(), Vec::new());
            let outcomes = self.access.grant_all(&identity, rooms.clone()).await;
            for (room, outcome) in rooms.into_iter().zip(outcomes) {
                match outcome {
                    Ok(granted) => {
                        if session.restore(&granted.grant, order, renewals) {
                            let term = granted.term.map(|term| (room, term));
                            session.lane.hold(session, term.as_slice());
                        }
                    }
                    Err(Refused::Denied(_)) => denied.push(room),
                    Err(reason) => {
                        debug!(socket = %session.socket_id(), %reason, "not decided yet");
                        unknown.push(room);
                    }
                }
            }
            self.withdraw(session, &denied, renewals, Left::Withdrawn)
                .await;
            if unknown.is_empty() {
                continue;
            }
            if Instant::now() >= until {
                warn!(socket = %session.socket_id(), rooms = unknown.len(), "rights lapsed undecided");
                self.withdraw(session, &unknown, renewals, Left::Unavailable)
                    .await;
            } else {
                sleep(PAUSE).await;
            }
        }
    }

    /// Takes a session out of rooms, unless its token was replaced after this was decided.
    pub(crate) async fn withdraw(
        &self,
        session: &Arc<Session>,
        rooms: &[Room],
        renewals: u32,
        reason: Left,
    ) {
        let left = session.withdraw(rooms, renewals);
        if say_left(session, &left, reason) {
            self.write(session).await;
        }
    }

    /// Writes what these sessions are now. In a task of its own; it is in force already.
    fn write_later(&self, sessions: Vec<Arc<Session>>) {
        if sessions.is_empty() {
            return;
        }
        let recovery = self.clone();
        tokio::spawn(async move {
            for session in sessions {
                recovery.write(&session).await;
            }
        });
    }
}

/// Tells a client which rooms it has left, if any; returns whether there were some.
pub(crate) fn say_left(session: &Session, left: &[Room], reason: Left) -> bool {
    for room in left {
        audit::left(session, room, reason);
        session.turn_from(room);
    }
    if left.is_empty() {
        return false;
    }
    let (socket, code) = (session.socket_id(), reason.code());
    debug!(%socket, rooms = left.len(), code, "taken out of rooms");
    session.tell_left(left, code);
    true
}

/// Does `work` with each of `items`, in their order, but with at most `count_max` at once.
async fn a_few_at_once<T, F>(items: Vec<T>, count_max: usize, mut work: impl FnMut(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for item in items {
        while under_way.len() >= count_max {
            under_way.join_next().await;
        }
        under_way.spawn(work(item));
    }
    while under_way.join_next().await.is_some() {}
}

/// How many sessions are decided about at once. Each asks up to 16 questions at a time: together no
/// more than a quarter of those that may be under way, and so few that each has its turn in time.
const SESSIONS_AT_ONCE_MAX: usize = 16;
/// How long after an order it is asked again who cannot say, and how long it is waited in between.
const UNDECIDED_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_sessions_do_not_wait_for_each_other_but_are_decided_a_few_at_once() {
        let begin = Instant::now();
        let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let work = |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(300)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };

        a_few_at_once((0..20).collect(), SESSIONS_AT_ONCE_MAX, work).await;
        assert_eq!(begin.elapsed(), Duration::from_millis(600));
        a_few_at_once((0..200).collect(), SESSIONS_AT_ONCE_MAX, work).await;

        assert_eq!(most.load(Ordering::SeqCst), SESSIONS_AT_ONCE_MAX);
        assert_eq!(now.load(Ordering::SeqCst), 0);
    }
}
