use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use switchboard_event::FleetingEvent;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::{FLEETING_QUEUE_MAX, Heard, Listener, Partition, Partitions};

/// Fleeting events within one process: a bounded ring per partition that somebody listens to.
#[derive(Debug)]
pub(crate) struct Exchange {
    partitions: Partitions,
    /// How much a listener may be behind.
    queue_max: usize,
    /// `None` once closed: without a sender the listeners end.
    lines: RwLock<Option<Vec<Line>>>,
}

/// Made for the first listener, because the ring is allocated whole.
type Line = Option<Sender<Arc<FleetingEvent>>>;

impl Exchange {
    pub(crate) fn new(partitions: Partitions) -> Self {
        let lines = partitions.all().map(|_| None).collect();
        let share = QUEUES_MAX / usize::from(partitions.count().get());
        Self {
            partitions,
            queue_max: share.clamp(QUEUE_MIN, FLEETING_QUEUE_MAX),
            lines: RwLock::new(Some(lines)),
        }
    }

    pub(crate) fn send(&self, partition: Partition, event: Arc<FleetingEvent>) {
        debug_assert!(self.partitions.allow(&event.tenant, partition), "{event:?}");
        let lines = self.lines.read();
        let line = lines.as_ref().and_then(|lines| lines.get(index(partition)));
        if let Some(Some(line)) = line {
            // An error means that nobody listens.
            let _ = line.send(event);
        }
    }

    pub(crate) fn listen(&self, partition: Partition) -> Box<dyn Listener> {
        let mut lines = self.lines.write();
        let line = lines
            .as_mut()
            .and_then(|lines| lines.get_mut(index(partition)));
        Box::new(ExchangeListener(line.map(|line| {
            line.get_or_insert_with(|| channel(self.queue_max).0)
                .subscribe()
        })))
    }

    pub(crate) fn close(&self) {
        self.lines.write().take();
    }
}

fn index(partition: Partition) -> usize {
    usize::from(partition.index())
}

/// `None` if there was nothing to listen to any more.
struct ExchangeListener(Option<Receiver<Arc<FleetingEvent>>>);

#[async_trait]
impl Listener for ExchangeListener {
    async fn next(&mut self) -> Option<Heard> {
        match self.0.as_mut()?.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(RecvError::Lagged(count)) => Some(Heard::Lost(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// How many events all rings hold together, at some 50 bytes each, however many partitions share
/// them; and how many one holds at least.
const QUEUES_MAX: usize = 16 * FLEETING_QUEUE_MAX;
const QUEUE_MIN: usize = 64;
