//! The worker, and what is told of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use switchboard_dialect::classic;
use switchboard_event::{Catalogue, Clock, TenantId};
use switchboard_ingest::Ingest;
use switchboard_journal::{Holder, Journal, Leases};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::config::{Config, Direction, Kind, Mapping};
use crate::dial::{Dial, InvalidConnection};
use crate::heard::Judge;
use crate::inbox::Inbox;
use crate::listen::{self, Ear};
use crate::place::Place;
use crate::seat::{self, Line, Seat};
use crate::stats::{Counts, Stats};
use crate::stream::Reader;
use crate::tell::Teller;

/// Bridges the mappings of the settings. Cheap to clone; [`run`](Self::run) is called once.
#[derive(Clone)]
pub struct Bridge(Arc<Shared>);

struct Shared {
    mappings: Vec<Mapping>,
    dial: Dial,
    stats: Arc<Stats>,
}

/// What a bridge stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where broadcasts become records.
    pub ingest: Ingest,
    /// What says which they may be.
    pub catalogue: Arc<Catalogue>,
    /// What is told, and where it is written down how far.
    pub journal: Arc<dyn Journal>,
    /// Which node works.
    pub leases: Arc<dyn Leases>,
    /// The time of day.
    pub clock: Clock,
}

/// What the tasks of one mapping share.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) seat: Seat,
    pub(crate) stats: Arc<Stats>,
    pub(crate) ingest: Ingest,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
}

impl Work {
    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge {
            mapping: &self.mapping,
            catalogue: &self.catalogue,
            stats: &self.stats,
        }
    }
}

impl Bridge {
    /// Prepares to work as `config` says.
    pub fn new(config: Config) -> Result<Self, InvalidConnection> {
        Ok(Self(Arc::new(Shared {
            mappings: config.mappings,
            dial: Dial::new(&config.connection)?,
            stats: Arc::default(),
        })))
    }

    /// Works until `stop`, and then makes records of what it has heard.
    pub async fn run(self, parts: Parts, stop: impl Future<Output = ()>) {
        let stats = &self.0.stats;
        let holder = Holder::new(getrandom::u64().unwrap_or_default());
        let (mut hearing, mut working) = (JoinSet::new(), JoinSet::new());
        let mut inboxes = Vec::new();
        for mapping in &self.0.mappings {
            let work = self.work(mapping, &parts, holder, &mut working);
            inboxes.extend(self.begin(work, &mut hearing, &mut working));
        }
        tokio::select! {
            () = stop => {}
            Some(ended) = working.join_next() => {
                warn!(?ended, "the bridge broke off");
                stats.fail("bridge", "it broke off");
            }
            Some(ended) = hearing.join_next() => {
                warn!(?ended, "the bridge broke off");
                stats.fail("bridge", "it broke off");
            }
        }
        hearing.shutdown().await;
        let drained = async {
            for inbox in &inboxes {
                inbox.drained().await;
            }
        };
        if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            warn!("what the bridge has heard last is not durable");
        }
        working.shutdown().await;
        let names: Vec<_> = self.0.mappings.iter().map(Mapping::name).collect();
        Line::leave(&*parts.leases, holder, &names).await;
    }

    /// Stands in line for a mapping.
    fn work(
        &self,
        mapping: &Mapping,
        parts: &Parts,
        holder: Holder,
        working: &mut JoinSet<()>,
    ) -> Work {
        let Parts {
            ingest,
            catalogue,
            journal,
            leases,
            clock,
        } = parts.clone();
        let (name, stats) = (mapping.name(), Arc::clone(&self.0.stats));
        let partition = journal.partitions().of(&TenantId::system());
        let line = Line::new(leases, partition, clock.clone(), holder, &name);
        let (tell, told) = watch::channel(None);
        working.spawn(line.stand(name.clone(), Arc::clone(&stats), tell));
        Work {
            name,
            mapping: Arc::new(mapping.clone()),
            seat: Seat::new(told),
            stats,
            ingest,
            catalogue,
            journal,
            clock,
        }
    }

    /// Begins what a mapping asks for.
    fn begin(
        &self,
        work: Work,
        hearing: &mut JoinSet<()>,
        working: &mut JoinSet<()>,
    ) -> Option<Arc<Inbox>> {
        let dial = &self.0.dial;
        let place = |work: &Work, kind: &str| {
            let key = seat::key(kind, &work.name);
            Place::new(Arc::clone(&work.journal), work.clock.clone(), key)
        };
        let mapping = Arc::clone(&work.mapping);
        match &mapping.kind {
            Kind::Emitter { prefix } => {
                return Some(self.listen(work, prefix, hearing, working));
            }
            Kind::StreamsEmitter { stream } => {
                working.spawn(
                    Reader {
                        place: place(&work, "bridge-in"),
                        work,
                        dial: dial.clone(),
                        stream: stream.clone(),
                    }
                    .read(),
                );
            }
            Kind::Adapter {
                prefix,
                direction,
                uid,
            } => {
                if mapping.is_told() {
                    working.spawn(
                        Teller {
                            place: place(&work, "bridge-out"),
                            name: format!("{} out", work.name),
                            work: work.clone(),
                            dial: dial.clone(),
                            prefix: prefix.clone(),
                            uid: uid.clone(),
                        }
                        .tell(),
                    );
                }
                if *direction != Direction::Out {
                    return Some(self.listen(work, prefix, hearing, working));
                }
            }
        }
        None
    }

    fn listen(
        &self,
        work: Work,
        prefix: &str,
        hearing: &mut JoinSet<()>,
        working: &mut JoinSet<()>,
    ) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(
            work.name.clone(),
            work.seat.clone(),
            Arc::clone(&work.stats),
            work.clock.clone(),
        ));
        hearing.spawn(
            Ear {
                dial: self.0.dial.clone(),
                name: work.name.clone(),
                pattern: classic::pattern(prefix, &work.mapping.namespace),
                inbox: Arc::clone(&inbox),
                stats: Arc::clone(&work.stats),
            }
            .listen(),
        );
        working.spawn(listen::take(work, Arc::clone(&inbox)));
        inbox
    }

    /// What has been counted so far, and how it is.
    pub fn counts(&self) -> Counts {
        self.0.stats.counts()
    }

    /// Why it does not work, if it does not.
    pub fn degraded(&self) -> Option<String> {
        self.0.stats.degraded()
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("mappings", &self.0.mappings.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// How long what was heard may take to become records when a node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a node that stops has for it all.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
