//! What rooms said before: to a client that joins one, and to one that asks again.

use std::sync::Arc;
use std::time::Duration;

use switchboard_engine::{Handling, Incoming};
use switchboard_event::{Clock, Offset, Position, Room, RoomKind};
use switchboard_journal::{Journal, Query, ReadError, Record, TenantRoom};
use tokio::time::{Instant, timeout_at};

use crate::counters::Path;
use crate::delivery::{self, Mark};
use crate::gateway::{Gateway, refuse};
use crate::missed::everyone;
use crate::pace;
use crate::reply::{Refused, Replayed, answer};
use crate::requests::Asked;
use crate::session::{Hearing, Membership, Session};

/// A part of the past, for one session.
pub(crate) struct Past<'a> {
    pub(crate) part: Part<'a>,
    /// What the client has already.
    pub(crate) after: Position,
    /// The last offset that is sent.
    pub(crate) through: Offset,
    /// Most records that are sent at once, at most [`RECORDS_MAX`].
    pub(crate) records_max: usize,
}

/// Whose past it is.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// That of a room which was just joined, but for what other rooms have brought.
    Joined(&'a Room),
    /// That of rooms which the session is in, whatever it was sent of it before.
    Again(&'a [Room]),
}

/// What a client that asks again wants.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// None for all rooms that the session is in.
    pub(crate) rooms: Option<Vec<Room>>,
    pub(crate) after: Position,
    pub(crate) limit: usize,
}

impl<'a> Past<'a> {
    /// What `membership.room` said after `after` and up to where the membership comes live.
    pub(crate) fn of(membership: &'a Membership, after: Position) -> Self {
        Self {
            part: Part::Joined(&membership.room),
            after,
            through: membership.from,
            records_max: RECORDS_MAX,
        }
    }
}

impl Gateway {
    /// `session:replay`. In a task of its own, since the client may go on meanwhile, and may ask for
    /// only one at a time.
    pub(crate) fn replay(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: &Incoming,
        wanted: Wanted,
        ack: Asked,
    ) -> Handling {
        let Some(replaying) = session.begin_replay() else {
            return refuse(session, &event.name, ack, Refused::Busy);
        };
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        let name = event.name.clone();
        tokio::spawn(async move {
            let replayed = gateway.replay_again(&session, wanted).await;
            // Whoever has the answer may ask for the next page.
            drop(replaying);
            match replayed {
                Ok(replayed) => answer(&session.handle, &name, ack, Ok(replayed)),
                Err(refused) => {
                    refuse(&session, &name, ack, refused);
                }
            }
        });
        Handling::Done
    }

    /// Sends what the session's rooms said after a position and up to now, whether or not it was
    /// sent before. Each record is sent only while the session is in one of the rooms.
    async fn replay_again(&self, session: &Session, wanted: Wanted) -> Result<Replayed, Refused> {
        let Wanted {
            rooms,
            after,
            limit,
        } = wanted;
        let joined = session.rooms();
        let rooms = match rooms {
            None => joined,
            Some(rooms) => match rooms.iter().find(|room| !joined.contains(room)) {
                None => rooms,
                Some(room) => return Err(Refused::NotSubscribed(room.clone())),
            },
        };
        let through = session.lane.hub.reached();
        let past = Past {
            part: Part::Again(&rooms),
            after,
            through,
            records_max: limit.min(RECORDS_MAX),
        };
        let next = replay(&*self.journal, &self.clock, session, past).await?;
        // Who knows a position from elsewhere may be ahead of fan-out, and stays there.
        let reached = session.position(through.max(after.offset));
        Ok(Replayed::new(reached, next))
    }
}

/// Sends a part of the past at the pace of the client's socket, one page at a time. Returns where to go
/// on if `past.records_max` or [`TIME_MAX`] is reached first.
pub(crate) async fn replay(
    journal: &dyn Journal,
    clock: &Clock,
    session: &Session,
    past: Past<'_>,
) -> Result<Option<Position>, ReadError> {
    let mut query = Query {
        partition: session.lane.partition,
        rooms: past.part.rooms(session),
        after: past.after,
        through: past.through,
        limit: PAGE_RECORDS,
        bytes_max: PAGE_BYTES,
        now: clock.now(),
    };
    let deadline = Instant::now() + TIME_MAX;
    let mut left = past.records_max;
    loop {
        query.now = clock.now();
        query.limit = left.min(PAGE_RECORDS);
        let page = journal.read(query.clone()).await?;
        let posting = post(session, past.part, &page.records, clock, &mut query.after);
        let is_late = timeout_at(deadline, posting).await.is_err();
        if session.handle.is_closed() {
            return Ok(None);
        }
        if is_late {
            return Ok(Some(query.after));
        }
        left = left.saturating_sub(page.records.len());
        match page.next {
            None => return Ok(None),
            Some(next) if left == 0 || Instant::now() >= deadline => {
                return Ok(Some(next));
            }
            Some(next) => query.after = next,
        }
    }
}

/// Sends one page, and keeps in `after` how far it came.
async fn post(
    session: &Session,
    part: Part<'_>,
    records: &[Arc<Record>],
    clock: &Clock,
    after: &mut Position,
) {
    for record in records {
        if is_heard(session, record, part).await {
            session.lane.sent(record, [&session.user()], clock.now());
            // Replays do not move the line, so they bear no mark.
            let packet = Arc::new(delivery::replayed(record));
            if !pace::post(&session.handle, &packet, Mark::NONE.as_u64()).await {
                return;
            }
            session.lane.counters.deliver(Path::Replayed, 1);
        }
        *after = record.position;
    }
    session.handle.outbox().drained().await;
}

/// Whether the replay holds `record`; waits while it is being decided about its rooms.
async fn is_heard(session: &Session, record: &Record, part: Part<'_>) -> bool {
    loop {
        let doubts = session.doubts();
        let hearing = match part {
            Part::Joined(room) => session.replays(record, room),
            Part::Again(rooms) => session.hears_again(record, rooms),
        };
        match hearing {
            Hearing::Yes => return true,
            Hearing::No => return false,
            Hearing::Undecided => doubts.next_decision().await,
        }
    }
}

impl Part<'_> {
    /// Where the journal keeps it; a team also hears what is said to every tenant.
    fn rooms(self, session: &Session) -> Vec<TenantRoom> {
        let rooms = match self {
            Self::Joined(room) => std::slice::from_ref(room),
            Self::Again(rooms) => rooms,
        };
        let of_tenant = |room: &Room| TenantRoom {
            tenant: session.tenant().clone(),
            room: room.clone(),
        };
        let mut kept: Vec<_> = rooms.iter().map(of_tenant).collect();
        if rooms.iter().any(|room| *room.kind() == RoomKind::Team) {
            kept.push(everyone());
        }
        kept
    }
}

/// A page is small beside an outbox, so that there is space for what is live meanwhile, and so that
/// a slow client gets through several of them in time.
const PAGE_RECORDS: usize = 128;
const PAGE_BYTES: usize = 64 * 1024;
/// The most records that are replayed at once, and the longest time that it takes.
pub(crate) const RECORDS_MAX: usize = 10_000;
/// How many are replayed to whoever asks again and does not say.
pub(crate) const RECORDS_DEFAULT: usize = 1_000;
const TIME_MAX: Duration = Duration::from_secs(10);
