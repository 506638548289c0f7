//! What a line was not sent yet: read from the journal, filtered as live delivery filters.

use std::sync::Arc;

use switchboard_engine::Packet;
use switchboard_event::{Offset, Position, Room, TenantId, Timestamp};
use switchboard_journal::{Journal, Query, ReadError, TenantRoom};

use crate::counters::Path;
use crate::session::{Hearing, Session};

/// One page of a line: packets with their marks.
pub(crate) struct Missed {
    pub(crate) packets: Vec<(Arc<Packet>, u64)>,
    /// Where to go on, if this was not all.
    pub(crate) next: Option<Position>,
    /// Whether what comes next waits for somebody who decides about its room.
    pub(crate) is_undecided: bool,
}

/// Reads one page of what `session` should have been sent within (`after`, `through`].
///
/// A record is the line's if one of the session's rooms hears it and came live before it. What
/// came live before the session was in any of its rooms is replay, and not the line's. A page ends
/// before a record of which it is not known yet.
pub(crate) async fn missed(
    journal: &dyn Journal,
    session: &Session,
    after: Position,
    through: Offset,
    now: Timestamp,
) -> Result<Missed, ReadError> {
    let query = Query {
        partition: session.lane.partition,
        rooms: rooms_of(session),
        after,
        through,
        limit: PAGE_RECORDS,
        bytes_max: PAGE_BYTES,
        now,
    };
    let page = journal.read(query).await?;
    let user = session.user();
    let mut missed = Missed {
        packets: Vec::new(),
        next: page.next,
        is_undecided: false,
    };
    let mut before = after;
    for record in &page.records {
        match session.hears(record) {
            Hearing::Yes => {
                let delivery = session.lane.delivery(record);
                session.lane.sent(record, [&user], now);
                (missed.packets).push((delivery.packet, delivery.mark.as_u64()));
            }
            Hearing::No => {}
            Hearing::Undecided => {
                missed.next = Some(before);
                missed.is_undecided = true;
                break;
            }
        }
        before = record.position;
    }
    let count = missed.packets.len();
    session.lane.counters.deliver(Path::Missed, count);
    Ok(missed)
}

/// Where the journal keeps what the session hears: its rooms, and what is said to every tenant.
fn rooms_of(session: &Session) -> Vec<TenantRoom> {
    let tenant = session.tenant();
    let own = session.rooms().into_iter().map(|room| TenantRoom {
        tenant: tenant.clone(),
        room,
    });
    own.chain(std::iter::once(everyone())).collect()
}

/// Where the journal keeps what is said to every tenant.
pub(crate) fn everyone() -> TenantRoom {
    let tenant = TenantId::everyone();
    TenantRoom {
        room: Room::team(&tenant),
        tenant,
    }
}

/// At most one page precedes a CONNECT reply, and one waits in an outbox while a line catches up.
const PAGE_RECORDS: usize = 256;
const PAGE_BYTES: usize = 256 * 1024;
