//! Whether the server wants traffic.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;

/// How far the server is in its life: starting, then serving, then draining; never back.
#[derive(Debug, Default)]
pub struct Readiness {
    phase: AtomicU8,
}

/// What `/readyz` says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// Not listening yet.
    Starting,
    /// Serving.
    Ready,
    /// Serving, but without somebody who is asked. Taking traffic away would help nobody: every node
    /// asks the same one.
    Degraded {
        /// What cannot be had, for the operator.
        reason: String,
    },
    /// Stopping: clients in flight are finished, new ones belong elsewhere.
    Draining,
    /// Serving, but not able to take events.
    Failing {
        /// Why, for the operator.
        reason: String,
    },
}

impl Readiness {
    /// The server accepts connections from now on. A server that drains goes on draining.
    pub fn serve(&self) {
        self.phase.fetch_max(SERVING, Ordering::Relaxed);
    }

    /// The server stops from now on.
    pub fn drain(&self) {
        self.phase.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// The status, given how the journal is, `Err` with the reason if it cannot append, and what
    /// else cannot be had, if anything.
    pub fn status(
        &self,
        journal: impl FnOnce() -> Result<(), String>,
        degraded: impl FnOnce() -> Option<String>,
    ) -> Status {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => Status::Starting,
            SERVING => match journal() {
                Ok(()) => degraded().map_or(Status::Ready, |reason| Status::Degraded { reason }),
                Err(reason) => Status::Failing { reason },
            },
            _ => Status::Draining,
        }
    }
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_only_between_start_and_drain() {
        let readiness = Readiness::default();

        assert_eq!(readiness.status(|| Ok(()), || None), Status::Starting);
        readiness.serve();
        assert_eq!(readiness.status(|| Ok(()), || None), Status::Ready);
        readiness.drain();
        assert_eq!(readiness.status(|| Ok(()), || None), Status::Draining);
        readiness.serve();
        assert_eq!(readiness.status(|| Ok(()), || None), Status::Draining);
    }

    #[test]
    fn a_journal_that_recovers_makes_the_server_ready_again() {
        let readiness = Readiness::default();
        readiness.serve();

        let failing = readiness.status(|| Err("disk full".to_owned()), || Some("x".to_owned()));

        assert_eq!(
            failing,
            Status::Failing {
                reason: "disk full".to_owned()
            }
        );
        assert_eq!(readiness.status(|| Ok(()), || None), Status::Ready);
    }

    #[test]
    fn a_server_that_can_ask_nobody_serves_and_says_so_until_it_drains() {
        let readiness = Readiness::default();
        let reason = "access cannot be asked for".to_owned();
        let status = || readiness.status(|| Ok(()), || Some(reason.clone()));

        assert_eq!(status(), Status::Starting);
        readiness.serve();
        assert_eq!(
            status(),
            Status::Degraded {
                reason: reason.clone()
            }
        );
        readiness.drain();
        assert_eq!(status(), Status::Draining);
    }
}
