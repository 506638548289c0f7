mod window;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use switchboard_event::{Epoch, Offset, Position};
use tokio::sync::watch;

use crate::page::{Extent, PageBuilder, admit};
use crate::{Page, Query, ReadError, Record};

use window::Window;

/// The newest records of one partition, in memory, shared by all tails and reads.
///
/// Dense: it holds every record from its first to the head, and knows which rooms heard them. The lock
/// is short; nobody waits in it.
#[derive(Debug)]
pub struct Ring {
    epoch: Epoch,
    limits: RingLimits,
    window: Mutex<Window>,
    reach: watch::Sender<Reach>,
    /// Held by whoever fetches what the storage has of the time before.
    recalling: tokio::sync::Mutex<()>,
    /// How many payloads were forgotten.
    burials: AtomicU64,
}

/// How much a ring holds at most.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// How many records.
    pub records_max: usize,
    /// How many bytes of them.
    pub bytes_max: usize,
}

/// What a ring is still to be given of the time before it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recall {
    pub(crate) floor: Offset,
    pub(crate) before: Offset,
    pub(crate) limits: RingLimits,
}

/// How far a partition has come; what tails wait for.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// The last offset that was published.
    pub head: Offset,
    /// Whether nothing follows.
    pub closed: bool,
}

/// What a ring knows about the records after some offset.
#[derive(Debug)]
pub enum Look {
    /// They begin with these.
    Records(Vec<Arc<Record>>),
    /// There are none yet.
    CaughtUp,
    /// The storage has them, up to this head; the ring no longer does.
    Older(Offset),
}

impl Ring {
    /// A ring for a partition of which only the storage has records.
    pub fn new(epoch: Epoch, floor: Offset, head: Offset, limits: RingLimits) -> Self {
        let (reach, _) = watch::channel(Reach {
            head,
            closed: false,
        });
        Self {
            epoch,
            limits,
            window: Mutex::new(Window::new(floor, head)),
            reach,
            recalling: tokio::sync::Mutex::default(),
            burials: AtomicU64::default(),
        }
    }

    /// Makes durable records visible. They follow the head without a hole.
    pub fn publish(&self, records: Vec<Arc<Record>>) {
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
    pub fn trim(&self, floor: Offset) {
        self.window.lock().trim(floor);
    }

    /// Forgets the payload of a record, as the storage has.
    pub(crate) fn bury(&self, offset: Offset) {
        let mut window = self.window.lock();
        self.burials.fetch_add(1, Ordering::SeqCst);
        window.bury(offset);
    }

    /// How many payloads were forgotten. What was read before and after another number is old.
    pub(crate) fn burials(&self) -> u64 {
        self.burials.load(Ordering::SeqCst)
    }

    /// Takes over what the storage says after an append whose outcome was in doubt.
    pub fn catch_up(&self, floor: Offset, head: Offset) {
        let mut window = self.window.lock();
        if window.head != head {
            *window = Window::new(floor, head);
        }
        window.trim(floor);
        drop(window);
        self.reach.send_modify(|reach| reach.head = head);
    }

    /// Lets tails end once they have said everything.
    pub fn close(&self) {
        self.reach.send_modify(|reach| reach.closed = true);
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.reach.borrow().closed
    }

    /// What changes with each publication.
    pub fn watch(&self) -> watch::Receiver<Reach> {
        self.reach.subscribe()
    }

    /// What the partition holds, as far as the ring was told.
    pub fn extent(&self) -> Extent {
        let window = self.window.lock();
        Extent {
            epoch: self.epoch,
            floor: window.floor,
            head: window.head,
        }
    }

    /// The records after `after`, at most `count_max`, as far as the ring has them.
    pub fn look(&self, after: Position, count_max: usize) -> Result<Look, ReadError> {
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
        let Some(records) = window.from(after.offset.next()) else {
            return Ok(Look::Older(window.head));
        };
        Ok(Look::Records(records.take(count_max).cloned().collect()))
    }

    /// Has `fetch` bring the newest records from the storage, in their order, if that was not done
    /// before: those who come back after a start read them once and not each. Whoever comes meanwhile
    /// waits for them.
    pub(crate) async fn recall<F>(&self, fetch: impl FnOnce(Recall) -> F) -> Result<(), ReadError>
    where
        F: Future<Output = Result<Vec<Arc<Record>>, ReadError>>,
    {
        let _alone = self.recalling.lock().await;
        let (wanted, burials) = {
            let mut window = self.window.lock();
            let space = window.space(self.limits);
            window.is_recalled |= space.records_max == 0;
            if window.is_recalled {
                return Ok(());
            }
            let wanted = Recall {
                floor: window.floor,
                before: window.first().unwrap_or_else(|| window.head.next()),
                limits: space,
            };
            (wanted, self.burials())
        };
        let fetched = fetch(wanted).await;
        let mut window = self.window.lock();
        if self.burials() != burials {
            // It may hold what was erased meanwhile. Whoever comes next fetches it anew.
            return fetched.map(|_| ());
        }
        // What is damaged stays so, and is found by whoever wants it.
        window.is_recalled = matches!(&fetched, Ok(_) | Err(ReadError::Damaged { .. }));
        let records = fetched?;
        for record in records.into_iter().rev() {
            let is_here = window
                .first()
                .is_some_and(|first| record.position.offset >= first);
            if !is_here && !window.push_oldest(record, self.limits) {
                break;
            }
        }
        Ok(())
    }

    /// Answers a query if the ring covers its whole range. Looks at the records of its rooms only.
    ///
    /// Gives way between slices, so that a long history does not hold up other tasks.
    pub async fn read(&self, query: &Query) -> Result<Option<Page>, ReadError> {
        let Some(through) = admit(query, &self.extent())? else {
            return Ok(Some(Page {
                records: Vec::new(),
                next: None,
            }));
        };
        let mut page = PageBuilder::new(query, through);
        let mut after = query.after;
        loop {
            let Some(slice) = self.heard(query, after, through)? else {
                return Ok(None);
            };
            let is_all = slice.len() < SLICE_MAX;
            for record in slice {
                after = record.position;
                if page.offer(record) == ControlFlow::Break(()) {
                    return Ok(Some(page.finish()));
                }
            }
            if is_all {
                return Ok(Some(page.finish()));
            }
            tokio::task::yield_now().await;
        }
    }

    /// The next records of a query, at most [`SLICE_MAX`]; none if not all of them are here.
    fn heard(
        &self,
        query: &Query,
        after: Position,
        through: Offset,
    ) -> Result<Option<Vec<Arc<Record>>>, ReadError> {
        let window = self.window.lock();
        let extent = Extent {
            epoch: self.epoch,
            floor: window.floor,
            head: window.head,
        };
        extent.check(after)?;
        let is_here = match window.first() {
            Some(first) => first <= after.offset.next(),
            None => after.offset >= window.head,
        };
        Ok(is_here.then(|| window.heard(&query.rooms, after.offset, through, SLICE_MAX)))
    }
}

/// How many records a read takes out of the lock at once.
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

    #[tokio::test]
    async fn what_the_storage_has_of_before_is_fetched_once_and_as_far_as_it_fits() {
        let limits = RingLimits {
            records_max: 4,
            ..LIMITS
        };
        let ring = Ring::new(Epoch::new(1), Offset::new(1), Offset::new(5), limits);
        ring.publish(vec![record(6)]);

        let fetched = ring.recall(async |wanted: Recall| {
            assert_eq!(
                (wanted.floor, wanted.before),
                (Offset::new(1), Offset::new(6))
            );
            // More came meanwhile, and what is fetched may overlap.
            ring.publish(vec![record(7)]);
            Ok((2..=6).map(record).collect())
        });
        let fetched = fetched.await;
        let again = ring.recall(|_| std::future::ready(Err(ReadError::Closed)));

        assert_eq!((fetched, again.await), (Ok(()), Ok(())));
        assert_eq!(looked(&ring, 3), Some(vec![4, 5, 6, 7]));
        assert_eq!(looked(&ring, 2), None);
    }

    #[tokio::test]
    async fn a_room_is_read_without_the_records_of_others() {
        let ring = ring(RingLimits {
            records_max: 1_000,
            bytes_max: usize::MAX,
        });
        let room = |offset: u64| {
            if offset.is_multiple_of(100) {
                "contact:quiet"
            } else {
                "contact:busy"
            }
        };
        let records = (1..=1_500).map(|offset| record_in(offset, &[room(offset), "flow:all"]));
        ring.publish(records.collect());

        let offsets = async |rooms: &[&str], after: u64, limit: usize| {
            let page = ring.read(&query(rooms, after, limit)).await.unwrap();
            page.map(|page| {
                let offset = |record: &Arc<Record>| record.position.offset.as_u64();
                let next = page.next.map(|next| next.offset.as_u64());
                (page.records.iter().map(offset).collect::<Vec<_>>(), next)
            })
        };

        let quiet = vec![600, 700, 800, 900, 1_000, 1_100, 1_200, 1_300, 1_400, 1_500];
        assert_eq!(
            offsets(&["contact:quiet"], 500, 99).await,
            Some((quiet.clone(), None))
        );
        assert_eq!(
            offsets(&["contact:quiet"], 500, 3).await,
            Some((quiet[..3].to_vec(), Some(800)))
        );
        assert_eq!(
            offsets(&["contact:none"], 500, 3).await,
            Some((Vec::new(), None))
        );
        // Each once, however many of its rooms are asked for.
        let all = (501..=1_500).collect();
        assert_eq!(
            offsets(&["flow:all", "contact:quiet", "contact:busy"], 500, 1_000).await,
            Some((all, None))
        );
        assert_eq!(offsets(&["contact:quiet"], 499, 99).await, None);
        // What is forgotten is in no index.
        ring.trim(Offset::new(1_500));
        assert!(format!("{:?}", ring.window.lock()).contains("rooms: {}"));
    }

    fn query(rooms: &[&str], after: u64, limit: usize) -> Query {
        let partitions = crate::Partitions::new(std::num::NonZeroU16::MIN);
        let room = |name: &&str| crate::TenantRoom {
            tenant: "acme".parse().unwrap(),
            room: name.parse().unwrap(),
        };
        Query {
            partition: partitions.at(0).unwrap(),
            rooms: rooms.iter().map(room).collect(),
            after: at(after),
            through: Offset::new(u64::MAX),
            limit,
            bytes_max: Query::BYTES_MAX,
            now: Timestamp::from_millis(0),
        }
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
        record_in(offset, &[])
    }

    fn record_in(offset: u64, rooms: &[&str]) -> Arc<Record> {
        let event = Event::from_parts(EventParts {
            id: offset.to_string().parse().unwrap(),
            tenant: "acme".parse::<TenantId>().unwrap(),
            at: Timestamp::from_millis(0),
            name: "contact:updated".into(),
            data: bytes::Bytes::new(),
            audience: Audience {
                rooms: rooms.iter().map(|room| room.parse().unwrap()).collect(),
                except: Vec::new(),
            },
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
