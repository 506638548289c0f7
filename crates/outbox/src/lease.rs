//! Which tenants this node takes for, as far as it knows.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Until when each tenant is this node's. Counted from before it was asked for, so that it ends here
/// first.
#[derive(Debug)]
pub(crate) struct Leases {
    lease: Duration,
    until: Mutex<HashMap<String, Instant>>,
}

impl Leases {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            until: Mutex::default(),
        }
    }

    /// The end of a tenant's lease, unless it is to be renewed first.
    pub(crate) fn fresh(&self, tenant: &str) -> Option<Instant> {
        let until = self.until.lock().get(tenant).copied()?;
        (until > Instant::now() + self.lease / 2).then_some(until)
    }

    /// A tenant is this node's, as was asked at `asked_at`.
    pub(crate) fn hold(&self, tenant: &str, asked_at: Instant) -> Instant {
        let until = asked_at + self.lease;
        self.until.lock().insert(tenant.to_owned(), until);
        until
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.until.lock().retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_in_its_second_half_and_forgotten_after_its_end() {
        let leases = Leases::new(Duration::from_secs(10));

        let until = leases.hold("acme", Instant::now());
        assert_eq!(leases.fresh("acme"), Some(until));
        assert_eq!(leases.fresh("globex"), None);

        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(leases.fresh("acme"), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        leases.sweep();
        assert!(leases.until.lock().is_empty());
    }
}
