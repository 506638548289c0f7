//! The worker, and what is told of it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use switchboard_ingest::{Ingest, Unavailable};
use switchboard_postgres::{Connector, OpenError};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::config::Config;
use crate::pass::{BACKOFF_MAX, BACKOFF_MIN, Passed, Worker};
use crate::stats::{Counts, Stats, Watch};

/// Takes the rows of one table. Cheap to clone; [`run`](Self::run) is called once.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    config: Config,
    connector: Arc<Connector>,
    stats: Arc<Stats>,
}

impl Outbox {
    /// Prepares to take rows as `config` says. Whom the system trusts is read from its files.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let Config {
            address,
            timeout,
            ca,
            ..
        } = config.clone();
        Ok(Self(Arc::new(Shared {
            config,
            connector: Arc::new(Connector::new(address, timeout, ca.as_deref())?),
            stats: Arc::default(),
        })))
    }

    /// Takes rows into the journal behind `ingest` until `stop`, and then finishes the look that is
    /// under way.
    ///
    /// `holder` names who takes, to other nodes: two that run at the same time must not have the same
    /// name, and one that comes back under its name goes on at once with what it had.
    pub async fn run(self, ingest: Ingest, holder: String, stop: impl Future<Output = ()>) {
        let Shared {
            config,
            connector,
            stats,
        } = &*self.0;
        let _watch = Watch(Arc::clone(stats));
        let (connector, counts) = (Arc::clone(connector), Arc::clone(stats));
        let mut worker = Worker::new(config.clone(), holder, connector, counts);
        let mut stop = pin!(stop);
        let mut backoff = BACKOFF_MIN;
        loop {
            let wait = match worker.pass(&ingest).await {
                Ok(Passed::Took) => Wait::None,
                Ok(Passed::Idle) => Wait::Told,
                Ok(Passed::Unavailable(why)) => {
                    debug!(
                        code = why.code(),
                        "the journal takes nothing from the outbox"
                    );
                    if why == Unavailable::Closed {
                        break;
                    }
                    Wait::Pause
                }
                Err(error) => {
                    if stats.fail(error.to_string()) {
                        warn!(%error, table = %config.table, "the outbox cannot be read");
                    }
                    Wait::Pause
                }
            };
            let waiting = async {
                match wait {
                    Wait::None => tokio::task::yield_now().await,
                    Wait::Told => {
                        // That nothing was told in time is why it is looked all the same.
                        let _ = timeout(config.poll, worker.heard().notified()).await;
                    }
                    Wait::Pause => sleep(backoff).await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = waiting => {}
            }
            backoff = match wait {
                Wait::Pause => backoff.saturating_mul(2).min(BACKOFF_MAX),
                Wait::None | Wait::Told => BACKOFF_MIN,
            };
        }
        worker.release().await;
    }

    /// What has been counted so far, and how it is.
    pub fn counts(&self) -> Counts {
        self.0.stats.counts()
    }

    /// Why rows are not taken, if they are not.
    pub fn degraded(&self) -> Option<String> {
        self.0.stats.degraded()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("table", &self.0.config.table)
            .finish_non_exhaustive()
    }
}

/// How long to wait before the next look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wait {
    /// Not at all.
    None,
    /// Until something is told, or for the time between two looks.
    Told,
    /// For longer each time.
    Pause,
}

/// How long a node that stops has for the look that is under way.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
