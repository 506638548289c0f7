//! What has to be looked at again later: a burst that ends, an account that falls silent.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_event::{Id, TenantId, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::ingest::Ingest;
use crate::outcome::Unavailable;

/// What is to be looked at.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Alarm {
    /// A campaign with statistics that were not told yet.
    Campaign(TenantId, Id),
    /// An account with a state that was not told yet, or that may be silent.
    Account(TenantId, Id),
}

/// The alarms that are set: at most one for each campaign and account.
///
/// What they are about is in the journal, so that a lost alarm costs a delay and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: Mutex<Set>,
    /// There is one that rings earlier than any before.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Set {
    by_alarm: HashMap<Alarm, Timestamp>,
    by_time: BTreeSet<(Timestamp, Alarm)>,
}

impl Alarms {
    /// Sets an alarm, unless it is set to ring earlier, or there are too many.
    pub(crate) fn ring_at(&self, alarm: Alarm, at: Timestamp) {
        let mut set = self.set.lock();
        match set.by_alarm.get(&alarm).copied() {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                set.by_time.remove(&(later, alarm.clone()));
            }
            None if set.by_alarm.len() >= ALARMS_MAX => {
                warn!(count = ALARMS_MAX, "too many alarms: one was left out");
                return;
            }
            None => {}
        }
        set.by_alarm.insert(alarm.clone(), at);
        set.by_time.insert((at, alarm));
        drop(set);
        self.earlier.notify_one();
    }

    /// When the next one rings.
    fn next(&self) -> Option<Timestamp> {
        self.set.lock().by_time.first().map(|(at, _)| *at)
    }

    /// Takes the next one if it is due.
    fn take_due(&self, now: Timestamp) -> Option<Alarm> {
        let mut set = self.set.lock();
        let is_due = set.by_time.first().is_some_and(|(at, _)| *at <= now);
        let (_, alarm) = is_due.then(|| set.by_time.pop_first())??;
        set.by_alarm.remove(&alarm);
        Some(alarm)
    }
}

impl Ingest {
    /// Tells what had to wait when its time has come, for ever; also what had to wait when the last
    /// process ended, or another node.
    pub async fn watch(&self) {
        while let Err(refusal) = self.resume().await {
            debug!(code = refusal.code(), "what waits is not looked after yet");
            sleep(AGAIN).await;
        }
        let mut resumed_at = Instant::now();
        let mut ringing = JoinSet::new();
        loop {
            if resumed_at.elapsed() >= RESUME_INTERVAL {
                resumed_at = Instant::now();
                if let Err(refusal) = self.resume().await {
                    debug!(
                        code = refusal.code(),
                        "what waits elsewhere is not looked after"
                    );
                }
            }
            let wait = self.alarms().next().map_or(WAIT_MAX, |at| self.until(at));
            // An earlier one makes it look again, as the end of the wait does.
            let _ = timeout(wait, self.alarms().earlier.notified()).await;
            while let Some(alarm) = self.alarms().take_due(self.clock().now()) {
                if ringing.len() >= RINGING_MAX {
                    ringing.join_next().await;
                }
                let ingest = self.clone();
                ringing.spawn(async move { ingest.ring(alarm).await });
            }
            while ringing.try_join_next().is_some() {}
        }
    }

    async fn ring(&self, alarm: Alarm) {
        let failed = match &alarm {
            Alarm::Campaign(tenant, campaign) => {
                let rung = self.revisit_campaign(tenant, campaign).await;
                rung.err().map(|problem| problem.code())
            }
            Alarm::Account(tenant, account) => {
                let rung = self.revisit_account(tenant, account).await;
                rung.err().map(|refusal| refusal.code())
            }
        };
        if let Some(code) = failed {
            debug!(code, "an alarm came to nothing");
            if code != Unavailable::Closed.code() {
                let again = self.clock().now().checked_add(AGAIN);
                self.alarms()
                    .ring_at(alarm, again.unwrap_or(Timestamp::MAX));
            }
        }
    }

    fn until(&self, at: Timestamp) -> Duration {
        let millis = at.as_millis() - self.clock().now().as_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or_default()).min(WAIT_MAX)
    }
}

/// How long it is until an alarm that came to nothing rings again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long at most nobody looks at the alarms: a clock may be set.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How often it is looked for what another node put off, and did not live to tell.
const RESUME_INTERVAL: Duration = Duration::from_mins(1);
/// The most alarms that are followed at once.
const RINGING_MAX: usize = 16;
/// The most alarms at once.
const ALARMS_MAX: usize = 100_000;
