use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use switchboard_event::Timestamp;
use tokio::sync::watch;
use tracing::{error, info};

use crate::decide::{Place as At, Plan, Refusal, decide};
use crate::disk::checkpoint::{Checkpoints, shorten};
use crate::disk::insert::{Stored, insert};
use crate::disk::ledger::Ledger;
use crate::disk::mark::Mark;
use crate::disk::place::Place;
use crate::disk::queue::{Append, Job, Queue, SessionJob};
use crate::disk::reserve::Reserve;
use crate::disk::retention::{Retention, instant};
use crate::disk::schema::{Identity, Synchronous, set_synchronous};
use crate::disk::scrub::Waiting;
use crate::disk::session::Table;
use crate::disk::upkeep::MEND_INTERVAL;
use crate::disk::{DiskConfig, OpenError, Shared, StorageError};
use crate::{AppendError, Appended, Batch, Health, Partition, Record};

/// What one transaction writes. Appends and session writes do not see each other.
#[derive(Default)]
struct Group {
    appends: Vec<Append>,
    sessions: Vec<Box<dyn SessionJob>>,
    /// What is done once all that is committed.
    scrubs: Vec<Waiting>,
    bytes: usize,
    /// Whether somebody waits for the disk.
    is_durable: bool,
    /// The last time that one of them told.
    now: Option<Timestamp>,
}

impl Group {
    fn take(&mut self, job: Job) {
        match job {
            Job::Append(append) => {
                self.bytes += append.batch.bytes();
                self.now = Some(append.now);
                self.is_durable = true;
                self.appends.push(*append);
            }
            Job::Session(session) => {
                self.bytes += session.bytes();
                self.now = session.now().or(self.now);
                self.is_durable |= session.is_durable();
                self.sessions.push(session);
            }
            Job::Scrub { pages, answer } => self.scrubs.push((pages, answer)),
        }
    }

    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.sessions.is_empty()
    }

    fn is_full(&self) -> bool {
        self.appends.len() + self.sessions.len() >= GROUP_JOBS_MAX || self.bytes >= GROUP_BYTES_MAX
    }
}

/// The one thread that writes: it commits what is waiting in groups, and tends to the file in
/// between.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) ledger: Ledger,
    /// Whether the last write failed, so that the ledger must be read again.
    pub(super) in_doubt: bool,
    pub(super) shared: Arc<Shared>,
    queue: Receiver<Job>,
    /// When the last group was.
    committed: Instant,
    sessions_max: NonZeroU32,
    identity: Identity,
    mark: Mark,
    pub(super) retention: Retention,
    pub(super) reserve: Reserve,
    /// When a failing disk was last tended to.
    pub(super) mended: Option<Instant>,
    pub(super) checkpoints: Checkpoints,
    /// Dropped last: the directory is ours until everything else is closed.
    _place: Place,
}

impl Writer {
    /// Starts the thread. The receiver learns when it has ended.
    pub(super) fn start(
        connection: Connection,
        (identity, ledger, mark): (Identity, Ledger, Mark),
        shared: Arc<Shared>,
        place: Place,
        config: &DiskConfig,
    ) -> Result<(Queue, watch::Receiver<bool>), OpenError> {
        let path = place.file.clone();
        let checkpoints =
            Checkpoints::start(path.clone()).map_err(|error| OpenError::io(&path, &error))?;
        let (queue, jobs) = Queue::new();
        let writer = Self {
            connection,
            ledger,
            identity,
            mark,
            in_doubt: false,
            reserve: Reserve::hold(place.reserve.clone(), config.reserve_bytes),
            mended: None,
            shared,
            queue: jobs,
            committed: instant(),
            sessions_max: config.sessions_max,
            retention: Retention::new(config),
            checkpoints,
            _place: place,
        };
        let (ended, ending) = watch::channel(false);
        let run = move || {
            writer.run();
            ended.send_replace(true);
        };
        Builder::new()
            .name("journal-writer".to_owned())
            .spawn(run)
            .map_err(|error| OpenError::io(&path, &error))?;
        Ok((queue, ending))
    }

    fn run(mut self) {
        loop {
            let (appended, is_quiet) = match self.queue.recv_timeout(self.patience()) {
                Ok(first) => {
                    let mut group = self.gather(first);
                    let scrubs = std::mem::take(&mut group.scrubs);
                    let count = if group.is_empty() {
                        0
                    } else {
                        self.commit(group)
                    };
                    self.scrub(scrubs);
                    self.committed = instant();
                    (count, false)
                }
                Err(RecvTimeoutError::Timeout) => (0, true),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.tend(appended, is_quiet);
        }
        self.leave();
    }

    /// SQLite carries the log over when its last connection closes, which ours is not if a read is
    /// still under way; a connection that only reads leaves the log where it is.
    fn leave(&self) {
        if let Err(error) = shorten(&self.connection) {
            info!(%error, "the log is carried over when the journal is opened again");
        }
    }

    /// How long to wait for work before doing something else.
    fn patience(&self) -> Duration {
        if self.is_failing() || self.in_doubt {
            MEND_INTERVAL
        } else if self.retention.is_busy() {
            Duration::ZERO
        } else {
            REST_INTERVAL
        }
    }

    /// Takes what is waiting along, without waiting for more: an idle journal adds no delay, and
    /// under load a group is what came in during the last sync.
    ///
    /// Only where nothing is appended it waits a moment from the last commit on: each session is on
    /// a page of its own, but what a commit costs beside is shared by all who connect in it.
    fn gather(&self, first: Job) -> Group {
        let mut group = Group::default();
        group.take(first);
        while !group.is_full() {
            let job = match self.queue.try_recv() {
                Ok(job) => job,
                Err(_) if !group.appends.is_empty() => break,
                Err(_) => {
                    let wait = SESSIONS_INTERVAL.saturating_sub(self.committed.elapsed());
                    match self.queue.recv_timeout(wait) {
                        Ok(job) => job,
                        Err(_) => break,
                    }
                }
            };
            group.take(job);
        }
        group
    }

    /// Writes a group, makes it visible and answers everybody in it. Answers how many records
    /// there were.
    fn commit(&mut self, mut group: Group) -> usize {
        if let Some(now) = group.now {
            self.retention.told(now);
        }
        match self.write(&mut group) {
            Ok(outcomes) => {
                self.recovered();
                let count = self.publish(group.appends, outcomes);
                for session in group.sessions {
                    session.answer(Ok(()));
                }
                count
            }
            Err(error) => {
                let reason = self.failed(&error);
                for append in group.appends {
                    let reason = reason.clone();
                    // Who does not wait any more needs no answer.
                    let _ = append.answer.send(Err(AppendError::Unavailable { reason }));
                }
                for session in group.sessions {
                    session.answer(Err(&reason));
                }
                0
            }
        }
    }

    /// One transaction for the whole group. What is refused has written nothing; after an error
    /// nothing of the group was written, and the ledger is as before.
    fn write(&mut self, group: &mut Group) -> Result<Vec<Result<Plan, AppendError>>, StorageError> {
        self.settle()?;
        let begin = instant();
        let mut ledger = self.ledger.clone();
        if !group.is_durable {
            set_synchronous(&self.connection, Synchronous::Normal)?;
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changes = transaction.total_changes();
        let mut outcomes = Vec::with_capacity(group.appends.len());
        let mut values = Vec::new();
        for Append { batch, now, .. } in &group.appends {
            let head = ledger.partition(batch.partition()).head;
            let outcome = match decide(batch, head, *now, &mut Stored(&transaction)) {
                Ok(plan) => Ok(plan),
                Err(Refusal::Batch(error)) => Err(error),
                // The batch that needs that row is refused, the others need not suffer. Deciding
                // has written nothing.
                Err(Refusal::Storage(error)) if error.is_of_a_row() => {
                    let reason = error.to_string();
                    error!(%reason, "journal is damaged");
                    Err(AppendError::Unavailable { reason })
                }
                Err(Refusal::Storage(error)) => return Err(error),
            };
            if let Ok(plan) = &outcome
                && !plan.is_empty(batch)
            {
                insert(&transaction, batch, plan, *now, &mut ledger, &mut values)?;
            }
            outcomes.push(outcome);
        }
        let mut table = Table {
            connection: &transaction,
            ledger: &mut ledger,
            count_max: self.sessions_max,
        };
        for session in &mut group.sessions {
            session.write(&mut table)?;
        }
        if group.is_durable && transaction.total_changes() > changes {
            ledger.commit += 1;
        }
        ledger.store(&transaction, &self.ledger)?;
        // Returns once the write-ahead log is synced: `synchronous` is FULL.
        transaction.commit()?;
        self.shared.families.apply(values);
        if group.is_durable {
            self.shared.counters.commits.observe(begin.elapsed());
            self.mark.note(self.identity.reached(&ledger));
        } else {
            set_synchronous(&self.connection, Synchronous::Full)?;
        }
        self.keep(ledger);
        Ok(outcomes)
    }

    fn publish(&self, appends: Vec<Append>, outcomes: Vec<Result<Plan, AppendError>>) -> usize {
        let mut records: BTreeMap<Partition, Vec<Arc<Record>>> = BTreeMap::new();
        let mut answers = Vec::with_capacity(appends.len());
        for (append, outcome) in appends.into_iter().zip(outcomes) {
            let Append {
                batch,
                answer,
                room,
                ..
            } = append;
            let outcome = outcome.map(|plan| self.appended(batch, &plan, &mut records));
            answers.push((answer, outcome, room));
        }
        let count: usize = records.values().map(Vec::len).sum();
        self.shared.counters.appended.add(count as u64);
        for (partition, records) in records {
            self.shared.rings[usize::from(partition.index())].publish(records);
        }
        for (answer, outcome, room) in answers {
            drop(room);
            // Who does not wait any more needs no answer.
            let _ = answer.send(outcome);
        }
        count
    }

    fn appended(
        &self,
        batch: Batch,
        plan: &Plan,
        records: &mut BTreeMap<Partition, Vec<Arc<Record>>>,
    ) -> Vec<Appended> {
        let partition = batch.partition();
        let extent = self.shared.rings[usize::from(partition.index())].extent();
        let (events, _) = batch.into_contents();
        let appended = events
            .into_iter()
            .zip(&plan.places)
            .map(|(event, place)| match *place {
                At::Old(offset) => Appended {
                    position: extent.position(offset),
                    duplicate: true,
                },
                At::New(offset) => {
                    let position = extent.position(offset);
                    let record = Arc::new(Record { position, event });
                    records.entry(partition).or_default().push(record);
                    Appended {
                        position,
                        duplicate: false,
                    }
                }
            });
        appended.collect()
    }

    /// Goes on from what is stored now.
    pub(super) fn keep(&mut self, ledger: Ledger) {
        self.shared.counters.note(&ledger);
        self.ledger = ledger;
    }

    pub(super) fn is_failing(&self) -> bool {
        *self.shared.health.lock() != Health::Ready
    }

    pub(super) fn recovered(&self) {
        let before = std::mem::replace(&mut *self.shared.health.lock(), Health::Ready);
        if before != Health::Ready {
            info!("journal works again");
        }
    }

    pub(super) fn failed(&mut self, cause: &StorageError) -> String {
        self.in_doubt = true;
        self.shared.families.clear();
        let reason = cause.to_string();
        let failing = Health::Failing {
            reason: reason.clone(),
        };
        let before = std::mem::replace(&mut *self.shared.health.lock(), failing.clone());
        if before != failing {
            error!(%reason, "journal cannot append");
        }
        reason
    }
}

/// How many batches and session writes one commit takes.
const GROUP_JOBS_MAX: usize = 1_024;
/// After how many bytes a group takes no more of them.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How soon after a commit there is another one for sessions and leases alone.
const SESSIONS_INTERVAL: Duration = Duration::from_millis(2);
/// How long the queue is empty before the writer looks after the file.
const REST_INTERVAL: Duration = Duration::from_secs(5);
