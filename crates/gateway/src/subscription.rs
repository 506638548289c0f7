//! Hearing rooms at a client's wish, and ceasing to.

use std::sync::Arc;

use serde_json::json;
use switchboard_engine::{Handling, Incoming};
use switchboard_event::{Position, Room};
use tracing::debug;

use crate::access::Ticket;
use crate::audit;
use crate::gateway::{Gateway, refuse};
use crate::pace::Held;
use crate::replay::{Past, replay};
use crate::reply::{Refused, Subscribed, answer};
use crate::requests::Asked;
use crate::session::{Entry, Membership, Session};
use crate::snapshot::{self, Snapshot};

impl Gateway {
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: &Incoming,
        room: Room,
        after: Option<Position>,
        ack: Asked,
    ) -> Handling {
        // From before the join, so that no live event comes before what it follows: a replay, or a
        // snapshot that is older.
        let must_wait = after.is_some() || snapshot::is_of(&room);
        let held = must_wait.then(|| Held::begin(&session.handle));
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        let name = event.name.clone();
        Handling::later(async move {
            let subscribed = gateway.enter(&session, &room, after).await;
            gateway.counters.subscribe(subscribed.as_ref().map(|_| ()));
            match subscribed {
                Ok(subscribed) => answer(&session.handle, &name, ack, Ok(subscribed)),
                Err(refused) => {
                    audit::join_refused(&session, &room, refused.code());
                    refuse(&session, &name, ack, refused);
                }
            }
            drop(held);
        })
    }

    /// What comes between a wish to hear a room and its ack: a grant, a seat, a note of it, and what
    /// was missed. A refused subscription has no effect.
    async fn enter(
        &self,
        session: &Arc<Session>,
        room: &Room,
        after: Option<Position>,
    ) -> Result<Subscribed, Refused> {
        if let Some(after) = after {
            session.lane.reach(after, &*self.journal).await;
        }
        let (ticket, entry) = self.take_seat(session, room).await?;
        let Entry { membership, joined } = entry;
        let inner = ticket.link.as_ref().map(|link| link.grant.room());
        debug!(socket = %session.socket_id(), room = room.name(), "joined");
        let is_new = !joined.is_empty();
        if is_new {
            session.lane.hold(session, &ticket.terms());
        }
        let told = async {
            let next = self.settle(session, &membership, is_new, after).await?;
            for _ in 0..ATTEMPTS_MAX {
                // It may be in doubt again, also while it is read what is so in it.
                session.decided(room).await;
                let rooms = std::iter::once(room).chain(inner);
                let snapshot = self.show(session, rooms).await?;
                if session.is_in(room) {
                    return Ok((next, snapshot));
                }
                if !session.is_in_doubt(room) {
                    return Err(Refused::Taken(room.clone()));
                }
            }
            Err(Refused::Unsettled)
        };
        let (next, snapshot) = match told.await {
            Ok(told) => told,
            Err(refused) => {
                session.leave(&joined);
                session.lane.release(session, &joined);
                if is_new && !session.handle.is_closed() {
                    // It was written down, and is not to be found again by who comes back.
                    self.recovery.write(session).await;
                }
                return Err(refused);
            }
        };
        for room in &joined {
            audit::joined(session, room);
        }
        // Whoever was subscribed already must not be sent back behind what it has.
        let from = match after {
            Some(after) => membership.from.max(after.offset),
            None => membership.from,
        };
        let position = session.position(from);
        let subscribed = Subscribed::new(room.name(), position, next, snapshot);
        Ok(subscribed.with(session.snapshot(room)))
    }

    /// Decides about a room and joins it, in the end without anything in between that says that what
    /// was decided may not count. From then on the lane knows who is in it.
    async fn take_seat(
        &self,
        session: &Arc<Session>,
        room: &Room,
    ) -> Result<(Ticket, Entry), Refused> {
        for _ in 0..ATTEMPTS_MAX {
            let basis = session.basis();
            let identity = session.identity();
            let ticket = self.access.ticket(&identity, room.clone()).await?;
            let entry = session.subscribe(&ticket, self.limits.rooms_max(), basis)?;
            if let Some(entry) = entry {
                return Ok((ticket, entry));
            }
        }
        Err(Refused::Unsettled)
    }

    /// What is so now in rooms that the session is in.
    async fn show(
        &self,
        session: &Session,
        rooms: impl Iterator<Item = &Room>,
    ) -> Result<Snapshot, Refused> {
        Ok(snapshot::read(&*self.journal, session, rooms, self.clock.now()).await?)
    }

    /// What comes between a join and its ack: it is written down, so that no crash forgets it, and
    /// what was missed is replayed.
    async fn settle(
        &self,
        session: &Session,
        membership: &Membership,
        is_new: bool,
        after: Option<Position>,
    ) -> Result<Option<Position>, Refused> {
        if is_new {
            self.recovery.save(session).await?;
        }
        match after {
            Some(after) => {
                let past = Past::of(membership, after);
                Ok(replay(&*self.journal, &self.clock, session, past).await?)
            }
            None => Ok(None),
        }
    }

    pub(crate) fn unsubscribe(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: &Incoming,
        room: Room,
        ack: Asked,
    ) -> Handling {
        if let Err(refused) = session.unsubscribe(&room) {
            return refuse(session, &event.name, ack, refused);
        }
        session.lane.release(session, std::slice::from_ref(&room));
        session.turn_from(&room);
        debug!(socket = %session.socket_id(), room = room.name(), "left");
        audit::left(session, &room, audit::Left::Unsubscribed);
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        let name = event.name.clone();
        Handling::later(async move {
            // It is in force whatever becomes of the note.
            gateway.recovery.write(&session).await;
            let left = json!({ "ok": true, "room": room.name() });
            answer(&session.handle, &name, ack, Ok(left));
        })
    }
}

/// How often a subscription is decided about because rights are being ended at the same time.
const ATTEMPTS_MAX: usize = 8;
