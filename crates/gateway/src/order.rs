//! What is done about an order, between two other records.

use std::sync::Arc;

use switchboard_event::{Event, Invalidation, Order, Revocation, Room, TenantId};
use tracing::{debug, error, info, warn};

use crate::audit::{self, Left};
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
        if let Order::Invalidate(Invalidation { user, room, kind }) = order {
            let (user, room, kind) = (user.as_ref(), room.as_ref(), kind.as_ref());
            recovery.access.invalidate(tenant, user, room, kind);
        }
        // Before anybody is looked for: who decides about something at this moment, and is not
        // found, sees that it has to decide again.
        self.note_order();
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
                recovery.decide_again_later(sessions, invalidation.clone());
            }
        }
    }
}

impl Recovery {
    /// Decides again about the rooms of these sessions that `invalidation` concerns. In a task of its
    /// own: whoever decides may take its time, which the line of everybody else has not.
    pub(crate) fn decide_again_later(
        &self,
        sessions: Vec<Arc<Session>>,
        invalidation: Invalidation,
    ) {
        if sessions.is_empty() {
            return;
        }
        let recovery = self.clone();
        tokio::spawn(async move {
            for session in sessions {
                recovery.decide_again(&session, &invalidation).await;
            }
        });
    }

    async fn decide_again(&self, session: &Arc<Session>, invalidation: &Invalidation) {
        let renewals = session.renewals();
        let identity = session.identity();
        let mut denied: Vec<Room> = Vec::new();
        let rooms = session.rooms().into_iter();
        let rooms = rooms.filter(|room| invalidation.concerns(room));
        for outcome in self.access.grant_all(&identity, rooms).await {
            match outcome {
                Ok(granted) => {
                    let term = granted.term.map(|term| (granted.room().clone(), term));
                    session.lane.hold(session, term.as_slice());
                }
                Err(Refused::Denied(reason)) => denied.push(reason.room().clone()),
                // Nobody could say: what was granted stays, until somebody says otherwise.
                Err(reason) => {
                    warn!(socket = %session.socket_id(), %reason, "a right could not be decided again");
                }
            }
        }
        let left = session.withdraw(&denied, renewals);
        if say_left(session, &left, Left::Withdrawn) {
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
