//! Reads that many ask for at once, done once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use switchboard_event::{Offset, Position};
use tokio::sync::OnceCell;

use crate::{Page, Partition, Query, ReadError, TenantRoom};

/// The pages that are being read. Whoever asks for one of them waits for it and reads nothing.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Flight, Arc<OnceCell<Outcome>>>>);

type Outcome = Result<Page, ReadError>;

/// What decides what a page holds, but for what expires.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Flight {
    partition: Partition,
    rooms: Arc<[TenantRoom]>,
    after: Position,
    through: Offset,
    limit: usize,
    bytes_max: usize,
    /// How many payloads had been forgotten when it was begun.
    burials: u64,
}

impl Flights {
    /// The page of a query, which `read` reads unless somebody does already.
    ///
    /// Records change only by losing their payloads, which `burials` counts, so otherwise a page that was begun before is as good as a fresh one; what expired
    /// since then is left out.
    pub(super) async fn page<F>(
        &self,
        query: Query,
        burials: u64,
        read: impl FnOnce(Query) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let now = query.now;
        let flight = Flight {
            partition: query.partition,
            rooms: query.rooms.as_slice().into(),
            after: query.after,
            through: query.through,
            limit: query.limit,
            bytes_max: query.bytes_max,
            burials,
        };
        let cell = Arc::clone(self.0.lock().entry(flight.clone()).or_default());
        let outcome = cell.get_or_init(|| read(query)).await.clone();
        self.land(&flight, &cell);
        outcome.map(|mut page| {
            page.records
                .retain(|record| record.event.expires_at().is_none_or(|end| end > now));
            page
        })
    }

    /// Whoever comes from now on reads anew.
    fn land(&self, flight: &Flight, cell: &Arc<OnceCell<Outcome>>) {
        let mut flights = self.0.lock();
        if flights
            .get(flight)
            .is_some_and(|one| Arc::ptr_eq(one, cell))
        {
            flights.remove(flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use switchboard_event::{Epoch, Timestamp};
    use tokio::sync::Notify;

    use super::*;
    use crate::Partitions;

    #[tokio::test]
    async fn what_many_ask_for_at_once_is_read_once_and_anew_after_it() {
        let (flights, reads) = (Flights::default(), AtomicUsize::new(0));
        let go_on = Notify::new();
        let ask = async |burials| {
            let read = async |_| {
                reads.fetch_add(1, Ordering::Relaxed);
                go_on.notified().await;
                Ok(Page {
                    records: Vec::new(),
                    next: None,
                })
            };
            flights.page(query(7), burials, read).await.unwrap()
        };

        let together = async { tokio::join!(ask(0), ask(0), ask(0)) };
        let ((..), ()) = tokio::join!(together, async {
            tokio::task::yield_now().await;
            go_on.notify_one();
        });
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert!(flights.0.lock().is_empty());

        go_on.notify_one();
        ask(0).await;
        assert_eq!(reads.load(Ordering::Relaxed), 2);

        // What was begun before something was erased is not for who asks after it.
        let apart = async { tokio::join!(ask(0), ask(1)) };
        let ((..), ()) = tokio::join!(apart, async {
            tokio::task::yield_now().await;
            go_on.notify_one();
            tokio::task::yield_now().await;
            go_on.notify_one();
        });
        assert_eq!(reads.load(Ordering::Relaxed), 4);
    }

    fn query(after: u64) -> Query {
        let partitions = Partitions::new(NonZeroU16::MIN);
        Query {
            partition: partitions.at(0).unwrap(),
            rooms: Vec::new(),
            after: Position {
                epoch: Epoch::new(1),
                offset: Offset::new(after),
            },
            through: Offset::new(9),
            limit: 1,
            bytes_max: 1,
            now: Timestamp::from_millis(0),
        }
    }
}
