//! A record, encoded once for everybody, and the line that it goes to.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::json;
use switchboard_engine::{AckId, Packet, SocketHandle};
use switchboard_event::binary::{self, Split};
use switchboard_event::{Offset, Position, Timestamp, UserId};
use switchboard_hub::Post;
use switchboard_journal::Record;
use switchboard_protocol::socket_io::Namespace;

/// What a whole room is sent: `["name",{..},"position"]`.
///
/// The last argument is the position of the line, which is Socket.IO's recovery offset.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) packet: Arc<Packet>,
    pub(crate) offset: Offset,
    pub(crate) mark: Mark,
}

/// How far a line has come once a packet of it is written, as an outbox counts.
///
/// What is said of a position comes behind its record, so that a line that was caught up to there
/// takes it for new, and the record itself for one that it has had.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mark(u64);

/// The newest deliveries of a partition, for lines that come back: many ask for the same ones.
#[derive(Default)]
pub(crate) struct Recent {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
}

/// One session's line, as the hub knows it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) handle: SocketHandle,
    /// Whose it is, for receipts.
    pub(crate) user: UserId,
}

impl Mark {
    /// Of what does not move the line.
    pub(crate) const NONE: Self = Self(0);

    /// Of the record at `offset`.
    pub(crate) fn of_record(offset: Offset) -> Self {
        Self(offset.as_u64() << 1)
    }

    /// Of what tells that the line has come to `offset`.
    pub(crate) fn of_sync(offset: Offset) -> Self {
        Self(offset.as_u64() << 1 | 1)
    }

    /// How far a line has come of which this was written last.
    pub(crate) fn offset(written: u64) -> Offset {
        Offset::new(written >> 1)
    }

    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

impl Delivery {
    pub(crate) fn of(record: &Record) -> Self {
        let event = &record.event;
        Self {
            packet: Arc::new(self::event(
                event.name(),
                event.data(),
                record.position,
                ack_id(record).as_ref(),
            )),
            offset: record.position.offset,
            mark: Mark::of_record(record.position.offset),
        }
    }

    /// What is so for a moment, told to lines that have come to `position`.
    pub(crate) fn fleeting(name: &str, data: &[u8], position: Position) -> Self {
        Self {
            packet: Arc::new(event(name, data, position, None)),
            offset: position.offset,
            mark: Mark::of_sync(position.offset),
        }
    }

    /// How many bytes one connection is sent.
    pub(crate) fn wire_len(&self) -> usize {
        self.packet.wire_len()
    }
}

impl Recent {
    /// Keeps `delivery`, which is newer than all others.
    pub(crate) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.wire_len();
        self.deliveries.push_back(delivery);
        while self.bytes > Self::BYTES_MAX || self.deliveries.len() > Self::DELIVERIES_MAX {
            match self.deliveries.pop_front() {
                Some(oldest) => self.bytes -= oldest.wire_len(),
                None => break,
            }
        }
    }

    pub(crate) fn find(&self, offset: Offset) -> Option<&Delivery> {
        let index = self
            .deliveries
            .binary_search_by_key(&offset, |one| one.offset)
            .ok()?;
        self.deliveries.get(index)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    const DELIVERIES_MAX: usize = 1_024;
    const BYTES_MAX: usize = 1 << 20;
}

/// Deliveries with one audience, in their order: each line takes all of them at once.
pub(crate) struct Run(Vec<(Arc<Packet>, u64)>);

impl Run {
    pub(crate) fn of<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Self {
        let event = |one: &Delivery| (Arc::clone(&one.packet), one.mark.as_u64());
        Self(deliveries.into_iter().map(event).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Post for Line {
    type Delivery = Run;

    /// Nothing is written before the line is flushed. An outbox that is full tells its own session
    /// that it fell behind.
    fn post(&self, run: &Run) {
        self.handle.post_all(&run.0);
    }
}

impl Line {
    /// Posts what nobody has to hear, if there is space to spare.
    pub(crate) fn tell(&self, delivery: &Delivery) {
        let packet = Arc::clone(&delivery.packet);
        self.handle.post_fleeting(packet, delivery.mark.as_u64());
    }

    /// Makes the line wait before a record of which it is not known whether it is the line's: it
    /// falls behind, and goes on from the journal once that is decided.
    pub(crate) fn wait(&self) {
        self.handle.outbox().fall_behind();
    }

    /// Posts `run` and writes all that is queued, in one step.
    pub(crate) fn write(&self, run: &Run) {
        self.handle.write_all(&run.0);
    }

    /// Writes what was posted.
    pub(crate) fn flush(&self) {
        self.handle.flush();
    }
}

/// Where the line is: `["session:sync",{"position","timestamp","lagMs"},"position"]`.
pub(crate) fn sync(position: Position, now: Timestamp, lag_ms: u64) -> Delivery {
    let data = json!({
        "position": position.to_string(),
        "timestamp": now.to_string(),
        "lagMs": lag_ms,
    });
    Delivery {
        packet: Arc::new(event(
            "session:sync",
            data.to_string().as_bytes(),
            position,
            None,
        )),
        offset: position.offset,
        mark: Mark::of_sync(position.offset),
    }
}

/// An event of the line.
fn event(name: &str, data: &[u8], position: Position, ack: Option<&AckId>) -> Packet {
    packet(name, data, &format!("\"{position}\""), ack)
}

/// Asks for an answer, if the record's producer wants a receipt. The offset is its number on every
/// node and connection, so that an answer is matched wherever it comes.
fn ack_id(record: &Record) -> Option<AckId> {
    let offset = record.position.offset.as_u64();
    record.event.receipt_by().map(|_| AckId::of_event(offset))
}

/// A record of the past of one room: `["name",{..},{"position":"..","replay":true}]`.
///
/// The position is not a bare string, so that the recovery offset of the client never goes back.
pub(crate) fn replayed(record: &Record) -> Packet {
    let mark = json!({ "position": record.position.to_string(), "replay": true });
    packet(
        record.event.name(),
        record.event.data(),
        &mark.to_string(),
        ack_id(record).as_ref(),
    )
}

fn packet(name: &str, data: &[u8], last: &str, ack: Option<&AckId>) -> Packet {
    let event = |data, attachments| {
        Packet::event(
            &Namespace::ROOT,
            ack,
            name,
            &[data, last.as_bytes()],
            attachments,
        )
    };
    match binary::split(data) {
        Some(Split { data, attachments }) => event(&data, attachments),
        None => event(data, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_a_position_comes_behind_its_record_and_before_the_next() {
        let at = Offset::new(7);

        assert!(Mark::of_record(at) < Mark::of_sync(at));
        assert!(Mark::of_sync(at) < Mark::of_record(at.next()));
        assert!(Mark::NONE < Mark::of_sync(Offset::ZERO));
        for mark in [Mark::of_record(at), Mark::of_sync(at)] {
            assert_eq!(Mark::offset(mark.as_u64()), at);
        }
    }
}
