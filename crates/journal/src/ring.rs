use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use switchboard_event::{Epoch, Offset, Position};
use tokio::sync::watch;

use crate::batch::event_bytes;
use crate::page::{Extent, PageBuilder, RoomSet, admit};
use crate::{Page, Query, ReadError, Record};

/// The newest records of one partition, in memory, shared by all tails and reads.
///
/// Dense: it holds every record from its first to the head. The lock is short; nobody waits in it.
#[derive(Debug)]
pub(crate) struct Ring {
    epoch: Epoch,
    limits: RingLimits,
    window: Mutex<Window>,
    reach: watch::Sender<Reach>,
}

/// How much a ring holds at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingLimits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

/// How far a partition has come; what tails wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) head: Offset,
    pub(crate) closed: bool,
}

/// What a ring knows about the records after some offset.
#[derive(Debug)]
pub(crate) enum Look {
    /// They begin with these.
    Records(Vec<Arc<Record>>),
    /// There are none yet.
    CaughtUp,
    /// The storage has them, up to this head; the ring no longer does.
    Older(Offset),
}

#[derive(Debug)]
struct Window {
    floor: Offset,
    head: Offset,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Ring {
    /// A ring for a partition of which only the storage has records.
    pub(crate) fn new(epoch: Epoch, floor: Offset, head: Offset, limits: RingLimits) -> Self {
        let window = Window {
            floor,
            head,
            records: VecDeque::new(),
            bytes: 0,
        };
        let (reach, _) = watch::channel(Reach {
            head,
            closed: false,
        });
        Self {
            epoch,
            limits,
            window: Mutex::new(window),
            reach,
        }
    }

    /// Makes durable records visible. They follow the head without a hole.
    pub(crate) fn publish(&self, records: Vec<Arc<Record>>) {
        let head = {
            let mut window = self.window.lock();
            for record in records {
                window.push(record);
            }
            window.shrink(self.limits);
            window.head
        };
        self.reach.send_modify(|reach| reach.head = head);
    }

    /// Forgets what retention took.
    pub(crate) fn trim(&self, floor: Offset) {
        self.window.lock().trim(floor);
    }

    /// Takes over what the storage says after an append whose outcome was in doubt.
    pub(crate) fn catch_up(&self, floor: Offset, head: Offset) {
        let mut window = self.window.lock();
        if window.head != head {
            *window = Window {
                floor,
                head,
                records: VecDeque::new(),
                bytes: 0,
            };
        }
        window.trim(floor);
        drop(window);
        self.reach.send_modify(|reach| reach.head = head);
    }

    /// Lets tails end once they have said everything.
    pub(crate) fn close(&self) {
        self.reach.send_modify(|reach| reach.closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.reach.borrow().closed
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Reach> {
        self.reach.subscribe()
    }

    pub(crate) fn extent(&self) -> Extent {
        let window = self.window.lock();
        Extent {
            epoch: self.epoch,
            floor: window.floor,
            head: window.head,
        }
    }

    /// The records after `after`, at most `count_max`, as far as the ring has them.
    pub(crate) fn look(&self, after: Position, count_max: usize) -> Result<Look, ReadError> {
        let window = self.window.lock();
        let extent = Extent {
            epoch: self.epoch,
            floor: window.floor,
            head: window.head,
        };
        extent.check(after)?;
        if after.offset == window.head {
            return Ok(Look::CaughtUp);
        }
        let Some(start) = window.index(after.offset.next()) else {
            return Ok(Look::Older(window.head));
        };
        let records = window
            .records
            .range(start..)
            .take(count_max)
            .cloned()
            .collect();
        Ok(Look::Records(records))
    }

    /// Answers a query if the ring covers its whole range.
    ///
    /// Gives way between slices, so that a long scan does not hold up other tasks.
    pub(crate) async fn read(&self, query: &Query) -> Result<Option<Page>, ReadError> {
        let Some(through) = admit(query, &self.extent())? else {
            return Ok(Some(Page {
                records: Vec::new(),
                next: None,
            }));
        };
        let rooms = RoomSet::new(&query.rooms);
        let mut page = PageBuilder::new(query, through);
        let mut after = query.after;
        while after.offset < through {
            let slice = match self.look(after, SLICE_MAX)? {
                Look::Records(slice) => slice,
                Look::CaughtUp => break,
                Look::Older(_) => return Ok(None),
            };
            for record in slice {
                after = record.position;
                if after.offset > through {
                    break;
                }
                if rooms.wants(&record) && page.offer(record) == ControlFlow::Break(()) {
                    return Ok(Some(page.finish()));
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(Some(page.finish()))
    }
}

impl Window {
    fn push(&mut self, record: Arc<Record>) {
        debug_assert_eq!(record.position.offset, self.head.next());
        self.head = record.position.offset;
        self.bytes += event_bytes(&record.event);
        self.records.push_back(record);
    }

    fn shrink(&mut self, limits: RingLimits) {
        while self.records.len() > limits.records_max || self.bytes > limits.bytes_max {
            if !self.pop() {
                return;
            }
        }
    }

    fn trim(&mut self, floor: Offset) {
        self.floor = self.floor.max(floor);
        while self.first().is_some_and(|first| first <= self.floor) {
            self.pop();
        }
    }

    fn pop(&mut self) -> bool {
        let Some(record) = self.records.pop_front() else {
            return false;
        };
        self.bytes -= event_bytes(&record.event);
        true
    }

    fn first(&self) -> Option<Offset> {
        self.records.front().map(|record| record.position.offset)
    }

    /// Where in the ring the record with this offset is.
    fn index(&self, offset: Offset) -> Option<usize> {
        let distance = offset.as_u64().checked_sub(self.first()?.as_u64())?;
        usize::try_from(distance)
            .ok()
            .filter(|index| *index < self.records.len())
    }
}

/// How many records a scan takes out of the lock at once.
const SLICE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use switchboard_event::{Audience, Event, EventParts, TenantId, Timestamp};

    use super::*;

    #[test]
    fn a_ring_forgets_the_oldest_beyond_its_limits() {
        let ring = ring(RingLimits {
            records_max: 3,
            bytes_max: usize::MAX,
        });
        ring.publish((1..=5).map(record).collect());

        assert_eq!(looked(&ring, 2), Some(vec![3, 4, 5]));
        assert_eq!(looked(&ring, 1), None);
        assert!(matches!(ring.look(at(5), 9), Ok(Look::CaughtUp)));
    }

    #[test]
    fn a_ring_can_hold_nothing_and_still_say_how_far_it_is() {
        let ring = ring(RingLimits {
            records_max: 9,
            bytes_max: 0,
        });
        ring.publish((1..=5).map(record).collect());

        assert_eq!(looked(&ring, 4), None);
        assert!(matches!(ring.look(at(5), 9), Ok(Look::CaughtUp)));
        assert_eq!(ring.watch().borrow().head, Offset::new(5));
    }

    #[test]
    fn after_a_doubtful_append_the_ring_is_what_the_storage_says() {
        let ring = ring(LIMITS);
        ring.publish((1..=3).map(record).collect());

        // The append that seemed to fail had happened: its records come from the storage.
        ring.catch_up(Offset::ZERO, Offset::new(5));
        assert_eq!(looked(&ring, 2), None);
        assert_eq!(ring.watch().borrow().head, Offset::new(5));
        ring.publish(vec![record(6)]);
        assert_eq!(looked(&ring, 5), Some(vec![6]));

        // It had not: everything stays, but for what retention took.
        ring.catch_up(Offset::new(2), Offset::new(6));
        assert_eq!(looked(&ring, 5), Some(vec![6]));
        let trimmed = ReadError::Trimmed {
            oldest: Offset::new(3),
        };
        assert_eq!(ring.look(at(1), 9).unwrap_err(), trimmed);
    }

    fn ring(limits: RingLimits) -> Ring {
        Ring::new(Epoch::new(1), Offset::ZERO, Offset::ZERO, limits)
    }

    fn looked(ring: &Ring, after: u64) -> Option<Vec<u64>> {
        match ring.look(at(after), 9).unwrap() {
            Look::Records(records) => Some(
                records
                    .iter()
                    .map(|record| record.position.offset.as_u64())
                    .collect(),
            ),
            Look::CaughtUp => Some(Vec::new()),
            Look::Older(_) => None,
        }
    }

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch::new(1),
            offset: Offset::new(offset),
        }
    }

    fn record(offset: u64) -> Arc<Record> {
        let event = Event::from_parts(EventParts {
            id: offset.to_string().parse().unwrap(),
            tenant: "acme".parse::<TenantId>().unwrap(),
            at: Timestamp::from_millis(0),
            name: "contact:updated".into(),
            data: bytes::Bytes::new(),
            audience: Audience::default(),
            expires_at: None,
            receipt_by: None,
            fingerprint: [0; 16],
        });
        Arc::new(Record {
            position: at(offset),
            event,
        })
    }

    const LIMITS: RingLimits = RingLimits {
        records_max: 9,
        bytes_max: usize::MAX,
    };
}
