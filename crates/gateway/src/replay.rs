//! What a room said before a client joined it.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Clock, Position, Room, RoomKind};
use switchboard_journal::{Journal, Query, ReadError, Record, TenantRoom};
use tokio::time::{Instant, timeout_at};

use crate::counters::Path;
use crate::delivery::{self, Mark};
use crate::missed::everyone;
use crate::pace;
use crate::session::{Hearing, Membership, Session};

/// Sends what `membership.room` said after `after` and up to where the membership comes live.
///
/// Goes at the pace of the client's socket, one page at a time. Returns where to go on if
/// [`RECORDS_MAX`] or [`TIME_MAX`] is reached first.
pub(crate) async fn replay(
    journal: &dyn Journal,
    clock: &Clock,
    session: &Session,
    membership: &Membership,
    after: Position,
) -> Result<Option<Position>, ReadError> {
    let mut query = Query {
        partition: session.lane.partition,
        rooms: rooms_of(session, &membership.room),
        after,
        through: membership.from,
        limit: PAGE_RECORDS,
        bytes_max: PAGE_BYTES,
        now: clock.now(),
    };
    let deadline = Instant::now() + TIME_MAX;
    let mut sent = 0;
    loop {
        query.now = clock.now();
        let page = journal.read(query.clone()).await?;
        let posting = post(session, membership, &page.records, clock, &mut query.after);
        let is_late = timeout_at(deadline, posting).await.is_err();
        if session.handle.is_closed() {
            return Ok(None);
        }
        if is_late {
            return Ok(Some(query.after));
        }
        sent += page.records.len();
        match page.next {
            None => return Ok(None),
            Some(next) if sent >= RECORDS_MAX || Instant::now() >= deadline => {
                return Ok(Some(next));
            }
            Some(next) => query.after = next,
        }
    }
}

/// Sends one page, and keeps in `after` how far it came.
async fn post(
    session: &Session,
    membership: &Membership,
    records: &[Arc<Record>],
    clock: &Clock,
    after: &mut Position,
) {
    for record in records {
        if replays(session, record, &membership.room).await {
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

/// Whether the replay holds `record`; waits while it is being decided about the room.
async fn replays(session: &Session, record: &Record, room: &Room) -> bool {
    loop {
        match session.replays(record, room) {
            Hearing::Yes => return true,
            Hearing::No => return false,
            Hearing::Undecided => session.decided(room).await,
        }
    }
}

/// Where the journal keeps what `room` heard; a team also hears what is said to every tenant.
fn rooms_of(session: &Session, room: &Room) -> Vec<TenantRoom> {
    let tenant = session.tenant().clone();
    let mut rooms = vec![TenantRoom {
        tenant,
        room: room.clone(),
    }];
    if matches!(room.kind(), RoomKind::Team) {
        rooms.push(everyone());
    }
    rooms
}

/// A page is small beside an outbox, so that there is space for what is live meanwhile, and so that
/// a slow client gets through several of them in time.
const PAGE_RECORDS: usize = 128;
const PAGE_BYTES: usize = 64 * 1024;
/// The most records that one subscription replays, and the longest time that it takes.
const RECORDS_MAX: usize = 10_000;
const TIME_MAX: Duration = Duration::from_secs(10);
