//! One partition's hub and the task that fans its records out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_engine::{CloseReason, SocketHandle};
use switchboard_event::{Clock, Epoch, Offset, Position, TenantId, Timestamp};
use switchboard_hub::{Audience, Hub};
use switchboard_journal::{
    Generation, Journal, Partition, ReadError, Record, SessionKey, Tail, TailError,
};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracing::{debug, error, warn};

use crate::cork::Corked;
use crate::counters::Counters;
use crate::delivery::{Delivery, Line, Recent, Run, sync};
use crate::recovery::Credential;

/// The live side of one partition: whoever follows it, and how far its fan-out has come.
pub(crate) struct Lane {
    pub(crate) partition: Partition,
    pub(crate) hub: Arc<Hub<Line>>,
    pub(crate) counters: Arc<Counters>,
    epoch: Mutex<Epoch>,
    recent: Mutex<Recent>,
    owners: Mutex<HashMap<SessionKey, (Generation, SocketHandle)>>,
    /// The longest time since the last sync that an event took from its acceptance to its fan-out.
    lag_ms: AtomicU64,
}

/// What is to be done after a tail failed.
enum Recovery {
    /// Open a tail where fan-out stands.
    Again,
    /// History was lost: open a tail at the head; whoever listens has a gap.
    FromHead,
    /// The journal was closed.
    End,
}

impl Lane {
    pub(crate) fn new(partition: Partition, head: Position, counters: Arc<Counters>) -> Self {
        Self {
            partition,
            hub: Arc::new(Hub::new(head.offset)),
            counters,
            epoch: Mutex::new(head.epoch),
            recent: Mutex::default(),
            owners: Mutex::default(),
            lag_ms: AtomicU64::default(),
        }
    }

    /// Reads the partition to the end of the journal's life and hands each record to whom it is
    /// for: the only way from the journal to a room.
    ///
    /// Every `sync_interval` each session is told how far its line has come. That is said here,
    /// between two records, because it must not overtake one.
    pub(crate) async fn run(&self, journal: &dyn Journal, clock: &Clock, sync_interval: Duration) {
        let mut syncs = tokio::time::interval_at(Instant::now() + sync_interval, sync_interval);
        syncs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = PAUSE_MIN;
        loop {
            let reached = self.hub.reached();
            let tail = journal.tail(self.partition, self.position(reached));
            let failure = self.follow(tail, clock, &mut syncs).await;
            if self.hub.reached() != reached {
                pause = PAUSE_MIN;
            }
            match self.recovery(&failure) {
                Recovery::End => return,
                Recovery::Again => {}
                Recovery::FromHead => self.restart(journal).await,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The position of `offset` in this partition's history.
    pub(crate) fn position(&self, offset: Offset) -> Position {
        Position {
            epoch: *self.epoch.lock(),
            offset,
        }
    }

    /// `record` as a whole room is sent it, encoded at most once while it is recent.
    pub(crate) fn delivery(&self, record: &Record) -> Delivery {
        let found = self.recent.lock().find(record.position.offset).cloned();
        found.unwrap_or_else(|| Delivery::of(record))
    }

    /// Remembers whose connection owns a session. Of two that came back at once the one of the
    /// lower generation is closed, whichever is first here.
    pub(crate) fn register(&self, credential: Credential, handle: &SocketHandle) {
        let Credential { key, generation } = credential;
        let mut owners = self.owners.lock();
        let loser = match owners.get(&key) {
            Some((other, _)) if *other > generation => Some(handle.clone()),
            _ => owners
                .insert(key, (generation, handle.clone()))
                .map(|(_, other)| other),
        };
        drop(owners);
        if let Some(loser) = loser {
            take_away(&loser);
        }
    }

    /// Forgets a connection that ended, unless another one owns its session by now.
    pub(crate) fn unregister(&self, credential: Credential) {
        let mut owners = self.owners.lock();
        if owners
            .get(&credential.key)
            .is_some_and(|owner| owner.0 == credential.generation)
        {
            owners.remove(&credential.key);
        }
    }

    /// Closes the connection that a session had before `credential`, if it is there still.
    pub(crate) fn evict(&self, credential: Credential) {
        let mut owners = self.owners.lock();
        let is_earlier = owners
            .get(&credential.key)
            .is_some_and(|owner| owner.0 < credential.generation);
        let owner = is_earlier.then(|| owners.remove(&credential.key)).flatten();
        drop(owners);
        if let Some((_, handle)) = owner {
            take_away(&handle);
        }
    }

    /// The sessions of connected clients.
    pub(crate) fn credentials(&self) -> Vec<(SessionKey, Generation)> {
        self.owners
            .lock()
            .iter()
            .map(|(key, owner)| (*key, owner.0))
            .collect()
    }

    async fn follow(
        &self,
        mut tail: Box<dyn Tail>,
        clock: &Clock,
        syncs: &mut Interval,
    ) -> TailError {
        loop {
            tokio::select! {
                records = tail.next() => match records {
                    Ok(records) => {
                        self.fan_out(&records, clock.now()).await;
                    }
                    Err(failure) => return failure,
                },
                _ = syncs.tick() => self.sync(clock.now()).await,
            }
        }
    }

    /// Hands `records` out: those that follow each other and have one audience in one step, and
    /// each line's in one write.
    async fn fan_out(&self, records: &[Arc<Record>], now: Timestamp) {
        let mut corked = Corked::default();
        let mut runs = records
            .chunk_by(|one, next| heard_by(one, now) == heard_by(next, now))
            .peekable();
        while let Some(records) = runs.next() {
            let Some(last) = records.last() else {
                continue;
            };
            let begin = Instant::now();
            let deliveries: Vec<_> = records.iter().map(|one| Delivery::of(one)).collect();
            self.remember(&deliveries);
            let audience = heard_by(last, now);
            let lines = self.hub.recipients(last.position.offset, audience);
            let recipients = lines.len();
            let run = Run::of(&deliveries);
            if runs.peek().is_some() {
                corked.post(lines, &run).await;
            } else {
                corked.finish(lines, &run).await;
            }
            let elapsed = begin.elapsed();
            for (record, delivery) in records.iter().zip(&deliveries) {
                self.count(record, delivery, recipients, elapsed, now);
            }
        }
    }

    fn remember(&self, deliveries: &[Delivery]) {
        let mut recent = self.recent.lock();
        for delivery in deliveries {
            recent.push(delivery.clone());
        }
    }

    fn count(
        &self,
        record: &Record,
        delivery: &Delivery,
        recipients: usize,
        elapsed: Duration,
        now: Timestamp,
    ) {
        let event = &record.event;
        let lag_ms = now.as_millis().saturating_sub(event.at().as_millis());
        let lag_ms = u64::try_from(lag_ms).unwrap_or(0);
        self.lag_ms.fetch_max(lag_ms, Ordering::Relaxed);
        self.counters
            .fan_out(recipients, elapsed, Duration::from_millis(lag_ms));
        debug!(
            event = event.name(),
            tenant = %event.tenant(),
            position = %record.position,
            bytes = delivery.wire_len(),
            recipients,
            "fanned out"
        );
    }

    /// Tells each session the position of its line, in one packet for all: a quiet room's offset
    /// moves on, and who misses two knows that something is wrong.
    async fn sync(&self, now: Timestamp) {
        let reached = self.hub.reached();
        let lag_ms = self.lag_ms.swap(0, Ordering::Relaxed);
        let delivery = sync(self.position(reached), now, lag_ms);
        let everyone = Audience {
            tenant: &TenantId::everyone(),
            rooms: &[],
            except: &[],
        };
        let lines = self.hub.recipients(reached, everyone);
        Corked::default().finish(lines, &Run::of([&delivery])).await;
    }

    fn recovery(&self, failure: &TailError) -> Recovery {
        let partition = self.partition;
        match failure {
            TailError::Read(ReadError::Closed) => Recovery::End,
            TailError::Read(ReadError::Unavailable { .. }) => {
                warn!(%partition, error = %failure, "fan-out waits for the journal");
                Recovery::Again
            }
            TailError::Read(
                ReadError::Trimmed { .. } | ReadError::OtherEpoch { .. } | ReadError::Ahead { .. },
            ) => {
                error!(%partition, error = %failure, "fan-out lost its place");
                Recovery::FromHead
            }
            // A hole or damage: going on would lose something in silence, so this stands still,
            // loudly, until an operator looks.
            _ => {
                error!(%partition, error = %failure, "fan-out stands still");
                Recovery::Again
            }
        }
    }

    /// Goes on at the head of the journal, and closes whoever listened, so that each client comes
    /// back and learns what it missed.
    async fn restart(&self, journal: &dyn Journal) {
        match journal.head(self.partition).await {
            Ok(head) => {
                *self.epoch.lock() = head.epoch;
                self.recent.lock().clear();
                for line in self.hub.skip_to(head.offset) {
                    line.0.close(CloseReason::Lagged);
                }
            }
            Err(failure) => {
                warn!(partition = %self.partition, error = %failure, "head is not readable");
            }
        }
    }
}

/// Who hears `record`: nobody a QR code that came late, which is worth nothing any more, and a
/// credential still.
fn heard_by(record: &Record, now: Timestamp) -> Audience<'_> {
    let event = &record.event;
    let audience = event.audience();
    let is_expired = event.expires_at().is_some_and(|end| end <= now);
    Audience {
        tenant: event.tenant(),
        rooms: if is_expired { &[] } else { &audience.rooms },
        except: &audience.except,
    }
}

/// Closes a connection whose session has another one now.
fn take_away(handle: &SocketHandle) {
    debug!(socket = %handle.id(), "taken over");
    handle.close(CloseReason::Requested);
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
