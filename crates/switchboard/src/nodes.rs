//! The nodes that share a journal: what this one says of itself, and what is known of the others.

mod name;
mod stats;
mod word;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_event::{Clock, TenantId, Timestamp};
use switchboard_journal::{Holder, Journal, LeaseError, LeaseName, Leases, Partition};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::random::NodeId;

pub use name::{InvalidNodeName, NodeName};
pub(crate) use stats::Headcount;
pub use stats::{ConnectionStats, NodeStats};

use word::Word;

/// Who serves the clients of one journal: this node, and those whose leases it has seen.
///
/// Each says of itself who it is and what it counts, in a lease that ends when it dies or is cut off.
/// Nothing hangs on a membership but what operators are told: who may write is decided by each write.
pub(crate) struct Nodes {
    own: Own,
    /// Where they meet; none if the journal is this process's alone.
    meeting: Option<Meeting>,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// What does not change of this node.
pub(crate) struct Own {
    pub(crate) id: NodeId,
    pub(crate) name: Option<NodeName>,
    pub(crate) address: SocketAddr,
    pub(crate) started_at: Timestamp,
}

/// The lease by which nodes know each other: all of them hold it.
pub(crate) struct Meeting {
    leases: Arc<dyn Leases>,
    partition: Partition,
    name: LeaseName,
    holder: Holder,
}

#[derive(Default)]
struct Seen {
    others: Vec<Other>,
    /// Until when it is believed that these are all.
    until: Option<Timestamp>,
}

/// Another node, until its lease is over.
struct Other {
    word: Word,
    expires_at: Timestamp,
}

impl Meeting {
    /// Where the nodes of this journal meet, this one as `holder`.
    pub(crate) fn new(journal: &dyn Journal, leases: Arc<dyn Leases>, holder: Holder) -> Self {
        let tenant = TenantId::system();
        Self {
            leases,
            partition: journal.partitions().of(&tenant),
            name: LeaseName {
                tenant,
                name: NAME.parse().expect("a word is a key"),
            },
            holder,
        }
    }
}

impl Nodes {
    pub(crate) fn new(own: Own, meeting: Option<Meeting>, clock: Clock) -> Self {
        Self {
            own,
            meeting,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Says what this node counts, and looks for the others, until the store is closed.
    pub(crate) async fn keep(&self, count: impl Fn() -> Headcount) {
        let Some(meeting) = &self.meeting else {
            return;
        };
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            beats.tick().await;
            let outcome = self.meet(meeting, count()).await;
            let has_failed = outcome.is_err();
            match outcome {
                Ok(()) if is_failing => info!("the other nodes are seen again"),
                Ok(()) => {}
                Err(LeaseError::Closed) => return,
                Err(error) if is_failing => debug!(%error, "the other nodes are not seen"),
                Err(error) => warn!(%error, "the other nodes are not seen"),
            }
            is_failing = has_failed;
        }
    }

    /// Tells the others that this node is gone.
    pub(crate) async fn leave(&self) {
        if let Some(Meeting {
            leases,
            name,
            holder,
            ..
        }) = &self.meeting
            && let Err(error) = leases.release(*holder, std::slice::from_ref(name)).await
        {
            debug!(%error, "the other nodes will notice that this one is gone");
        }
    }

    /// Who is connected to all nodes, and to each: this one as of now, the others as they last said.
    pub(crate) fn stats(&self, count: Headcount) -> ConnectionStats {
        let now = self.clock.now();
        let own = self.word(count, now);
        let is_complete = self.is_complete();
        let seen = self.seen.lock();
        let others = seen.others.iter().filter(|other| now < other.expires_at);
        let mut nodes: Vec<NodeStats> = others.map(|other| (&other.word).into()).collect();
        drop(seen);
        nodes.push((&own).into());
        ConnectionStats::of(self.own.id.as_str(), nodes, is_complete)
    }

    /// How many nodes there are, as far as this one knows.
    pub(crate) fn count(&self) -> usize {
        let now = self.clock.now();
        let seen = self.seen.lock();
        let others = seen.others.iter().filter(|other| now < other.expires_at);
        1 + others.count()
    }

    /// Whether the others were looked for lately.
    fn is_complete(&self) -> bool {
        let until = self.seen.lock().until;
        self.meeting.is_none() || until.is_some_and(|until| self.clock.now() < until)
    }

    async fn meet(&self, meeting: &Meeting, count: Headcount) -> Result<(), LeaseError> {
        let Meeting {
            leases,
            partition,
            name,
            holder,
        } = meeting;
        let now = self.clock.now();
        let lease = self.word(count, now).lease(name, *holder, now, LEASE);
        let until = Some(lease.expires_at);
        leases.hold(&[lease]).await?;
        // What nobody keeps is cleared away by whoever comes first.
        leases.take_expired(*partition, NAME, now).await?;
        let held = leases.held(*partition, NAME, None).await?;
        let others = held.iter().filter(|lease| lease.holder != *holder);
        let others = others.filter_map(|lease| {
            let word = Word::read(&lease.value).or_else(|| {
                debug!(holder = %lease.holder, "what a node says of itself is not readable");
                None
            })?;
            Some(Other {
                word,
                expires_at: lease.expires_at,
            })
        });
        let others = others.collect();
        let before = std::mem::replace(&mut *self.seen.lock(), Seen { others, until });
        self.note_changes(&before);
        Ok(())
    }

    /// Tells the log who came and who went.
    fn note_changes(&self, before: &Seen) {
        let seen = self.seen.lock();
        let is_in = |seen: &Seen, word: &Word| seen.others.iter().any(|one| one.word.id == word.id);
        for Other { word, .. } in seen.others.iter().filter(|one| !is_in(before, &one.word)) {
            info!(
                node = word.id,
                address = word.address,
                version = word.version,
                "node came"
            );
        }
        for Other { word, .. } in before.others.iter().filter(|one| !is_in(&seen, &one.word)) {
            info!(node = word.id, address = word.address, "node gone");
        }
    }

    fn word(&self, count: Headcount, now: Timestamp) -> Word {
        let Own {
            id,
            name,
            address,
            started_at,
        } = &self.own;
        Word {
            id: id.as_str().to_owned(),
            name: name.clone(),
            address: address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: started_at.as_millis(),
            at_ms: now.as_millis(),
            count,
        }
    }
}

/// What all nodes of a journal hold, beside the keys of the program itself.
const NAME: &str = "node";
/// How often a node says that it is there, and what it counts.
const BEAT: Duration = Duration::from_secs(2);
/// How long it is believed.
const LEASE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
