//! What has to be looked at again later: a burst that ends, an account that falls silent.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_event::{Id, TenantId, Timestamp};
use tracing::{debug, warn};

use crate::ingest::Ingest;
use crate::outcome::Unavailable;

/// What is to be looked at.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Alarm {
    /// A campaign with statistics that were not told yet.
    Campaign(TenantId, Id),
    /// An account with a state that was not told yet, or that may be silent.
    Account(TenantId, Id),
}

/// The alarms that are set: at most one for each campaign and account.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<HashMap<Alarm, Timestamp>>);

impl Alarms {
    /// Notes when an alarm is to ring; false if it rings no later than that already, or if there
    /// are too many.
    fn set(&self, alarm: &Alarm, at: Timestamp) -> bool {
        let mut alarms = self.0.lock();
        match alarms.get(alarm) {
            Some(earlier) if *earlier <= at => false,
            None if alarms.len() >= ALARMS_MAX => {
                warn!(count = ALARMS_MAX, "too many alarms: one was left out");
                false
            }
            _ => {
                alarms.insert(alarm.clone(), at);
                true
            }
        }
    }

    /// Takes an alarm that rings; false if it was set to ring earlier, and did.
    fn take(&self, alarm: &Alarm, at: Timestamp) -> bool {
        let mut alarms = self.0.lock();
        let is_due = alarms.get(alarm) == Some(&at);
        if is_due {
            alarms.remove(alarm);
        }
        is_due
    }
}

impl Ingest {
    /// Looks at something at this time, or somewhat later.
    ///
    /// What it looks at is in the journal, so that a lost alarm costs a delay and nothing else.
    pub(crate) fn ring_at(&self, alarm: Alarm, at: Timestamp) {
        if !self.alarms().set(&alarm, at) {
            return;
        }
        let ingest = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ingest.until(at)).await;
            if !ingest.alarms().take(&alarm, at) {
                return;
            }
            let failed = match &alarm {
                Alarm::Campaign(tenant, campaign) => {
                    let rung = ingest.revisit_campaign(tenant, campaign).await;
                    rung.err().map(|problem| problem.code())
                }
                Alarm::Account(tenant, account) => {
                    let rung = ingest.revisit_account(tenant, account).await;
                    rung.err().map(|refusal| refusal.code())
                }
            };
            if let Some(code) = failed {
                debug!(code, "an alarm came to nothing");
                if code != Unavailable::Closed.code() {
                    let again = ingest.clock().now().checked_add(AGAIN);
                    ingest.ring_at(alarm, again.unwrap_or(Timestamp::MAX));
                }
            }
        });
    }

    fn until(&self, at: Timestamp) -> Duration {
        let millis = at.as_millis() - self.clock().now().as_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}

/// How long it is until an alarm that came to nothing rings again.
const AGAIN: Duration = Duration::from_secs(1);
/// The most alarms at once.
const ALARMS_MAX: usize = 100_000;
