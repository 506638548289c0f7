//! What this process knows of one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redis::Cmd;
use switchboard_event::{Epoch, Offset};
use switchboard_journal::Partition;
use switchboard_journal::implement::Ring;
use tokio::sync::{Notify, watch};
use tracing::error;

use crate::error::Failure;
use crate::keys::Place;
use crate::reply::{Meta, epoch_text};
use crate::script::Script;

/// One partition: where it lies, and what was last seen of it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) partition: Partition,
    pub(crate) place: Place,
    mark: Mutex<Option<Mark>>,
    /// The newest records, once somebody follows the partition.
    pub(crate) feed: watch::Sender<Feed>,
    /// Whether somebody does.
    pub(crate) is_followed: Mutex<bool>,
    /// Wakes whoever follows it: the history is another one.
    pub(crate) kick: Notify,
    /// Of which history whoever follows it is.
    followed: Mutex<Option<Epoch>>,
    bytes: AtomicU64,
}

/// The last record that this process knows to be there: what it proves with each call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) epoch: Epoch,
    pub(crate) offset: Offset,
    pub(crate) token: Vec<u8>,
}

/// How a partition is followed.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// Not yet.
    Waiting,
    /// With these records at hand.
    Live(Arc<Ring>),
    /// Not any more.
    Closed,
}

impl Mark {
    pub(crate) fn of(meta: &Meta) -> Self {
        Self {
            epoch: meta.epoch,
            offset: meta.head,
            token: meta.token.clone(),
        }
    }
}

impl Shard {
    pub(crate) fn new(partition: Partition, place: Place) -> Self {
        Self {
            partition,
            place,
            mark: Mutex::default(),
            feed: watch::channel(Feed::Waiting).0,
            is_followed: Mutex::default(),
            kick: Notify::new(),
            followed: Mutex::default(),
            bytes: AtomicU64::default(),
        }
    }

    /// Begins the call of a script on some keys of the partition: with the proof of the last
    /// record that this process knows.
    pub(crate) fn call(&self, script: &Script, names: &[&str]) -> Result<Cmd, Failure> {
        let mark = self.mark.lock().clone();
        self.call_with(script, names, mark.as_ref())
    }

    /// The same with the proof of another record.
    pub(crate) fn call_with(
        &self,
        script: &Script,
        names: &[&str],
        mark: Option<&Mark>,
    ) -> Result<Cmd, Failure> {
        let keys: Vec<String> = names.iter().map(|name| self.place.key(name)).collect();
        let mut call = script.call(&keys);
        match mark {
            Some(mark) => call
                .arg(epoch_text(mark.epoch))
                .arg(mark.offset.as_u64())
                .arg(&mark.token),
            None => call.arg("").arg(0).arg(""),
        };
        let (epoch, token) = (random()?, random()?);
        call.arg(epoch_text(Epoch::new(epoch)))
            .arg(&token.to_be_bytes()[..]);
        Ok(call)
    }

    /// Takes note of what an answer says of the partition.
    pub(crate) fn observe(&self, meta: &Meta) {
        self.bytes.store(meta.bytes, Ordering::Relaxed);
        let mut mark = self.mark.lock();
        let is_newer = match &*mark {
            Some(known) if known.epoch == meta.epoch => meta.head >= known.offset,
            Some(known) => {
                error!(
                    partition = %self.partition, before = %known.offset, head = %meta.head,
                    "redis lost records: the history goes on under another epoch"
                );
                true
            }
            None => true,
        };
        if is_newer {
            *mark = Some(Mark::of(meta));
        }
        drop(mark);
        if self
            .followed
            .lock()
            .is_some_and(|epoch| epoch != meta.epoch)
        {
            self.kick.notify_one();
        }
    }

    /// Whoever follows the partition is of this history now.
    pub(crate) fn expect(&self, epoch: Epoch) {
        *self.followed.lock() = Some(epoch);
    }

    /// The newest records, if the partition is followed.
    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        match &*self.feed.borrow() {
            Feed::Live(ring) => Some(Arc::clone(ring)),
            Feed::Waiting | Feed::Closed => None,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A number that was never used.
pub(crate) fn random() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::Away(format!("no randomness: {error}")))
}
