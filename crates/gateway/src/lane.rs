//! One partition's hub and the task that fans its records out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_engine::CloseReason;
use switchboard_event::{Epoch, Offset, Order, Position, TenantId, Timestamp, UserId};
use switchboard_hub::{Audience, Hub};
use switchboard_journal::{
    Generation, Health, Heard, Journal, Listener, Partition, ReadError, Record, SessionKey, Tail,
    TailError,
};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout};
use tracing::{debug, error, warn};

use crate::cork::{self, Corked};
use crate::counters::Counters;
use crate::delivery::{Delivery, Line, Recent, Run, sync};
use crate::floor::{self, Floor, Utterance};
use crate::leases::Leases;
use crate::present::Present;
use crate::receipts::Receipts;
use crate::recovery::{Credential, Recovery};
use crate::requests::Requests;
use crate::session::Session;

/// The live side of one partition: whoever follows it, and how far its fan-out has come.
pub(crate) struct Lane {
    pub(crate) partition: Partition,
    pub(crate) hub: Arc<Hub<Line>>,
    pub(crate) counters: Arc<Counters>,
    /// What is so right now.
    pub(crate) floor: Floor,
    pub(crate) receipts: Receipts,
    pub(crate) requests: Requests,
    epoch: Mutex<Epoch>,
    /// Wakes whoever waits for fan-out to come somewhere.
    moved: Notify,
    recent: Mutex<Recent>,
    pub(crate) present: Mutex<Present>,
    /// Their rooms that are to be asked about again.
    pub(crate) leases: Mutex<Leases>,
    /// How many orders were obeyed, or are being obeyed.
    orders: AtomicU64,
    /// The longest time since the last sync that an event took from its acceptance to its fan-out.
    lag_ms: AtomicU64,
}

/// A session that its lane knows, until this is dropped or [kept](Self::keep).
pub(crate) struct Registration(Option<Arc<Session>>);

/// What is to be done after a tail failed.
enum Cure {
    /// Open a tail where fan-out stands.
    Again,
    /// History was lost: open a tail at the head; whoever listens has a gap.
    FromHead,
    /// The journal was closed.
    End,
}

impl Lane {
    pub(crate) fn new(
        partition: Partition,
        head: Position,
        counters: Arc<Counters>,
        floor: Floor,
    ) -> Self {
        Self {
            partition,
            hub: Arc::new(Hub::new(head.offset)),
            counters,
            floor,
            receipts: Receipts::default(),
            requests: Requests::default(),
            epoch: Mutex::new(head.epoch),
            moved: Notify::new(),
            recent: Mutex::default(),
            present: Mutex::default(),
            leases: Mutex::default(),
            orders: AtomicU64::default(),
            lag_ms: AtomicU64::default(),
        }
    }

    /// Reads the partition to the end of the journal's life and hands each record to whom it is
    /// for: the only way from the journal to a room.
    ///
    /// Every `sync_interval` each session is told how far its line has come. That is said here,
    /// between two records, because it must not overtake one.
    pub(crate) async fn run(&self, recovery: &Recovery, sync_interval: Duration) {
        let journal = &*recovery.journal;
        let mut syncs = tokio::time::interval_at(Instant::now() + sync_interval, sync_interval);
        syncs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listener = self.floor.listen();
        let mut pause = PAUSE_MIN;
        loop {
            let reached = self.hub.reached();
            let tail = journal.tail(self.partition, self.position(reached));
            let failure = self
                .follow(tail, recovery, &mut syncs, &mut *listener)
                .await;
            if self.hub.reached() != reached {
                pause = PAUSE_MIN;
            }
            match self.cure(&failure) {
                Cure::End => return,
                Cure::Again => {}
                Cure::FromHead => self.restart(journal).await,
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

    /// Waits, not for long, until fan-out has come to where a client was: another node told it more
    /// than this one knows so far. What was never given out is not waited for.
    pub(crate) async fn reach(&self, position: Position, journal: &dyn Journal) {
        let is_reached =
            || position.epoch != *self.epoch.lock() || position.offset <= self.hub.reached();
        if is_reached() {
            return;
        }
        match journal.head(self.partition).await {
            Ok(head) if head.epoch == position.epoch && position.offset <= head.offset => {}
            _ => return,
        }
        let reached = async {
            loop {
                let moved = self.moved.notified();
                // Who looks after this is woken by what comes after the look.
                tokio::pin!(moved);
                moved.as_mut().enable();
                if is_reached() {
                    return;
                }
                moved.await;
            }
        };
        if timeout(REACH_MAX, reached).await.is_err() {
            debug!(partition = %self.partition, %position, "fan-out is behind a client");
        }
    }

    /// `record` as a whole room is sent it, encoded at most once while it is recent.
    pub(crate) fn delivery(&self, record: &Record) -> Delivery {
        let found = self.recent.lock().find(record.position.offset).cloned();
        found.unwrap_or_else(|| Delivery::of(record))
    }

    /// Makes a session known, so that what ends its rights finds it. Of two that came back at once
    /// the one of the lower generation is closed, whichever is first here.
    ///
    /// At `due_at` something is to be done about its token.
    pub(crate) fn register(
        &self,
        session: &Arc<Session>,
        due_at: Option<Timestamp>,
    ) -> Registration {
        let loser = self.present.lock().enter(session, due_at);
        if let Some(loser) = loser {
            take_away(&loser);
        }
        Registration(Some(Arc::clone(session)))
    }

    /// Has something done about a session's token at another time than before.
    pub(crate) fn reschedule(&self, session: &Arc<Session>, due_at: Option<Timestamp>) {
        self.present.lock().reschedule(session, due_at);
    }

    /// Forgets a connection that ended, unless another one owns its session by now.
    pub(crate) fn unregister(&self, session: &Arc<Session>) {
        self.present.lock().leave(session);
        self.leases.lock().forget(session);
    }

    /// Closes the connection that a session had before `credential`, if it is there still.
    pub(crate) fn evict(&self, credential: Credential) {
        let earlier = self.present.lock().evict(credential);
        if let Some(earlier) = earlier {
            take_away(&earlier);
        }
    }

    /// The sessions of connected clients.
    pub(crate) fn credentials(&self) -> Vec<(SessionKey, Generation)> {
        self.present.lock().credentials()
    }

    /// How many orders there were. Whoever decides about a right asks before and after: if it is
    /// another number, what was decided may not count any more.
    pub(crate) fn orders(&self) -> u64 {
        self.orders.load(Ordering::SeqCst)
    }

    /// Counts an order; returns its number.
    pub(crate) fn note_order(&self) -> u64 {
        self.orders.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn follow(
        &self,
        mut tail: Box<dyn Tail>,
        recovery: &Recovery,
        syncs: &mut Interval,
        listener: &mut dyn Listener,
    ) -> TailError {
        let clock = &recovery.clock;
        loop {
            let over = self.floor.next_end();
            tokio::select! {
                records = tail.next() => match records {
                    Ok(records) => {
                        // What is before an order is out before it is obeyed, and what is
                        // behind it comes after.
                        for records in records.chunk_by(|_, next| !Order::is(&next.event)) {
                            if let Some(first) = records.first() {
                                self.obey(&first.event, recovery);
                            }
                            self.fan_out(records, clock.now()).await;
                            for record in records {
                                self.tell(self.floor.note(record, clock.now())).await;
                            }
                        }
                    }
                    Err(failure) => return failure,
                },
                heard = floor::next(listener) => match heard {
                    Heard::Event(event) => self.tell(self.floor.hear(&event, clock.now())).await,
                    Heard::Lost(count) => {
                        self.counters.lost.add(count);
                        self.floor.doubt();
                    }
                },
                () = floor::wait(clock, over) => self.tell(self.floor.expire(clock.now())).await,
                () = self.floor.listed() => self.tell(self.floor.reconcile(clock.now())).await,
                // Who is cut off does not know how far the lines could be.
                _ = syncs.tick() => if recovery.journal.health() == Health::Ready {
                    self.sync(clock.now()).await;
                },
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
            let heard_by = self.hub.recipients(last.position.offset, audience);
            self.moved.notify_waiters();
            for line in &heard_by.suspended {
                line.wait();
            }
            let lines = heard_by.posts;
            let recipients = lines.len();
            for record in records {
                self.sent(record, lines.iter().map(|line| &line.user), now);
            }
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

    /// Notes who is sent `record`, if its producer wants to know: before it is, so that no answer
    /// comes first.
    pub(crate) fn sent<'a>(
        &self,
        record: &Record,
        users: impl IntoIterator<Item = &'a UserId>,
        now: Timestamp,
    ) {
        if record.event.receipt_by().is_some() && !self.receipts.sent(record, users, now) {
            self.counters.receipts_truncated.increment();
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

    /// Tells clients what is so for a moment: here, between two records, because it bears the
    /// position of the line.
    async fn tell(&self, utterances: impl IntoIterator<Item = Utterance>) {
        for Utterance {
            tenant,
            name,
            data,
            audience,
        } in utterances
        {
            let reached = self.hub.reached();
            let delivery = Delivery::fleeting(name, &data, self.position(reached));
            let audience = Audience {
                tenant: &tenant,
                rooms: &audience.rooms,
                except: &audience.except,
            };
            let lines = self.hub.recipients(reached, audience).posts;
            self.counters.tell(name, lines.len());
            debug!(event = name, %tenant, recipients = lines.len(), "told");
            cork::tell(&lines, &delivery).await;
        }
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
        let lines = self.hub.recipients(reached, everyone).posts;
        Corked::default().finish(lines, &Run::of([&delivery])).await;
    }

    fn cure(&self, failure: &TailError) -> Cure {
        let partition = self.partition;
        match failure {
            TailError::Read(ReadError::Closed) => Cure::End,
            TailError::Read(ReadError::Unavailable { .. }) => {
                warn!(%partition, error = %failure, "fan-out waits for the journal");
                Cure::Again
            }
            TailError::Read(
                ReadError::Trimmed { .. } | ReadError::OtherEpoch { .. } | ReadError::Ahead { .. },
            ) => {
                error!(%partition, error = %failure, "fan-out lost its place");
                Cure::FromHead
            }
            // A hole or damage: going on would lose something in silence, so this stands still,
            // loudly, until an operator looks.
            _ => {
                error!(%partition, error = %failure, "fan-out stands still");
                Cure::Again
            }
        }
    }

    /// Goes on at the head of the journal, and closes whoever listened, so that each client comes
    /// back and learns what it missed. Orders may be among what was lost, and a token is asked about
    /// again when it comes back: nobody hears anything until then.
    async fn restart(&self, journal: &dyn Journal) {
        match journal.head(self.partition).await {
            Ok(head) => {
                *self.epoch.lock() = head.epoch;
                // Before anybody is looked for: who joins rooms after that joins them where fan-out
                // goes on, and who did before is found.
                self.hub.skip_to(head.offset);
                self.recent.lock().clear();
                self.receipts.clear();
                self.note_order();
                self.moved.notify_waiters();
                let sessions = self.present.lock().of(|_| true);
                for session in sessions {
                    session.take_away(CloseReason::Lagged);
                }
            }
            Err(failure) => {
                warn!(partition = %self.partition, error = %failure, "head is not readable");
            }
        }
    }
}

/// Who hears `record`: nobody a QR code that came late, which is worth nothing any more, and a
/// credential still; nor what was erased. In the name of nobody, because no room of every tenant would
/// be everybody.
fn heard_by(record: &Record, now: Timestamp) -> Audience<'_> {
    let event = &record.event;
    let audience = event.audience();
    if event.expires_at().is_some_and(|end| end <= now) {
        return Audience {
            tenant: &NOBODY,
            rooms: &[],
            except: &[],
        };
    }
    Audience {
        tenant: event.tenant(),
        rooms: &audience.rooms,
        except: &audience.except,
    }
}

/// A tenant that no client is of.
static NOBODY: LazyLock<TenantId> = LazyLock::new(TenantId::system);

impl Registration {
    /// Leaves the session known: its connection tells when it ends.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Registration {
    /// The connection ended, or was refused, before it began.
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.retire();
            session.lane.unregister(session);
        }
    }
}

/// Closes a connection whose session has another one now.
fn take_away(session: &Session) {
    debug!(socket = %session.socket_id(), "taken over");
    session.take_away(CloseReason::Requested);
}

/// How long a client that is ahead of fan-out waits for it. Then it hears again what it has.
const REACH_MAX: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use switchboard_event::{Event, EventParts};

    use super::*;

    #[test]
    fn what_expired_or_was_erased_is_for_nobody_even_if_it_was_for_every_tenant() {
        let now = Timestamp::from_millis(1_000);
        let record = |event| Record {
            position: Position {
                epoch: Epoch::new(1),
                offset: Offset::new(1),
            },
            event,
        };
        let event = Event::from_parts(EventParts {
            id: "a".parse().unwrap(),
            tenant: TenantId::everyone(),
            at: now,
            name: "system:notification".into(),
            data: "{}".into(),
            audience: switchboard_event::Audience::default(),
            expires_at: now.checked_add(Duration::from_millis(1)),
            receipt_by: None,
            fingerprint: [0; 16],
        });
        let later = now.checked_add(Duration::from_millis(1)).unwrap();
        let (erased, event) = (record(event.tombstone()), record(event));

        assert!(heard_by(&event, now).tenant.is_everyone());
        for nobody in [heard_by(&event, later), heard_by(&erased, now)] {
            assert_eq!(nobody.tenant, &TenantId::system());
            assert!(nobody.rooms.is_empty());
        }
    }
}
