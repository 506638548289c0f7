//! Which node works for a mapping: one at a time, as far as leases can tell.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use switchboard_event::{Clock, TenantId};
use switchboard_journal::{Holder, Key, Lease, LeaseError, LeaseName, Leases, Partition};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use crate::sighting;
use crate::stats::Stats;

/// Every node stands in line for the seat; who has stood longest has it. It ends by this node's own
/// clock before another one may take it.
pub(crate) struct Line {
    leases: Arc<dyn Leases>,
    partition: Partition,
    clock: Clock,
    holder: Holder,
    name: LeaseName,
    /// Since when we stand here, in milliseconds, and who we are: the order of the line.
    rank: Rank,
    stands: bool,
}

type Rank = [u8; 16];

/// Says whether the seat is this node's.
#[derive(Clone, Debug)]
pub(crate) struct Seat(watch::Receiver<Option<Instant>>);

impl Seat {
    pub(crate) fn new(told: watch::Receiver<Option<Instant>>) -> Self {
        Self(told)
    }

    /// Whether it is this node's right now.
    pub(crate) fn is_held(&self) -> bool {
        self.0.borrow().is_some_and(|until| until > Instant::now())
    }

    /// Waits until it is this node's. Pends for ever once nobody looks after it any more.
    pub(crate) async fn held(&mut self) {
        loop {
            if self.is_held() {
                return;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
impl Seat {
    /// One that is this node's for ever.
    pub(crate) fn taken() -> (watch::Sender<Option<Instant>>, Self) {
        let (tell, told) = watch::channel(Some(Instant::now() + Duration::from_hours(1)));
        (tell, Self(told))
    }
}

impl Line {
    pub(crate) fn new(
        leases: Arc<dyn Leases>,
        partition: Partition,
        clock: Clock,
        holder: Holder,
        mapping: &str,
    ) -> Self {
        let name = LeaseName {
            tenant: TenantId::system(),
            name: key("bridge", mapping),
        };
        Self {
            leases,
            partition,
            clock,
            holder,
            name,
            rank: [0; 16],
            stands: false,
        }
    }

    /// Stands in line for ever, and says by `tell` until when the seat is ours.
    pub(crate) async fn stand(
        mut self,
        mapping: String,
        stats: Arc<Stats>,
        tell: watch::Sender<Option<Instant>>,
    ) {
        let mut due = interval(TEND_INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let asked_at = Instant::now();
            match self.tend().await {
                Ok(is_ours) => {
                    stats.hold(&mapping, is_ours);
                    // Whoever watches looks at the clock too.
                    tell.send_replace(is_ours.then(|| asked_at + HELD));
                }
                // What we have ends by itself.
                Err(error) => debug!(%error, "leases of the bridge cannot be told"),
            }
        }
    }

    /// Gives up the place, so that another node goes on at once.
    pub(crate) async fn leave(leases: &dyn Leases, holder: Holder, mappings: &[String]) {
        let name = |mapping: &String| LeaseName {
            tenant: TenantId::system(),
            name: key("bridge", mapping),
        };
        let names: Vec<_> = mappings.iter().map(name).collect();
        if let Err(error) = leases.release(holder, &names).await {
            debug!(%error, "leases of the bridge were not given up, and end by themselves");
        }
    }

    /// Stays in line, or joins it. Answers whether we are its first.
    async fn tend(&mut self) -> Result<bool, LeaseError> {
        let now = self.clock.now();
        let expires_at = now.checked_add(LEASE).unwrap_or(now);
        let name = std::slice::from_ref(&self.name);
        let prefix = self.name.name.as_str();
        self.leases
            .take_expired(self.partition, prefix, now)
            .await?;
        if self.stands {
            let lost = self.leases.renew(self.holder, name, expires_at).await?;
            self.stands = lost.is_empty();
        }
        if !self.stands {
            let since = now.as_millis().cast_unsigned().to_be_bytes();
            self.rank[..8].copy_from_slice(&since);
            self.rank[8..].copy_from_slice(&self.holder.number().to_be_bytes());
            let lease = Lease {
                name: self.name.clone(),
                holder: self.holder,
                value: self.rank.to_vec().into(),
                expires_at,
            };
            self.leases.hold(&[lease]).await?;
            self.stands = true;
        }
        let held = self.leases.held(self.partition, prefix, None).await?;
        let first = held.iter().min_by(|a, b| a.value.cmp(&b.value));
        Ok(first.is_some_and(|lease| lease.holder == self.holder))
    }
}

/// A key of bounded length for whatever is in `name`. None begins another.
pub(crate) fn key(kind: &str, name: &str) -> Key {
    let hash = Sha256::digest(name);
    let hex = sighting::hex(&hash[..16]);
    let text = format!("{kind}:{hex}");
    text.parse()
        .expect("a word and a number are shorter than a key may be")
}

/// How long a node that says nothing more keeps its place.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How long it acts on it: less, as clocks differ.
const HELD: Duration = Duration::from_secs(7);
const TEND_INTERVAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use switchboard_event::{Epoch, Timestamp};
    use switchboard_journal::{Journal as _, MemoryConfig, MemoryJournal};

    use super::*;

    #[tokio::test]
    async fn the_seat_is_of_who_came_first_until_it_leaves_or_dies() {
        let store = Arc::new(MemoryJournal::new(MemoryConfig::new(Epoch::new(1))));
        let time = Arc::new(AtomicI64::new(1_000));
        let line = |holder: u64| {
            let time = Arc::clone(&time);
            let clock = Clock::new(move || Timestamp::from_millis(time.load(Ordering::Relaxed)));
            let partition = store.partitions().of(&TenantId::system());
            let leases = Arc::clone(&store) as Arc<dyn Leases>;
            Line::new(leases, partition, clock, Holder::new(holder), "crm")
        };
        // Later ones have smaller numbers: the order is that of their coming.
        let (mut first, mut second, mut third) = (line(3), line(2), line(1));

        assert!(first.tend().await.unwrap());
        time.fetch_add(1, Ordering::Relaxed);
        assert!(!second.tend().await.unwrap());
        time.fetch_add(1, Ordering::Relaxed);
        assert!(!third.tend().await.unwrap());
        assert!(first.tend().await.unwrap());

        Line::leave(&*store, Holder::new(3), &["crm".to_owned()]).await;
        assert!(second.tend().await.unwrap());
        assert!(!third.tend().await.unwrap());
        // The first one stands in line again, behind the others.
        assert!(!first.tend().await.unwrap());

        // The second one says nothing more.
        time.fetch_add(6_000, Ordering::Relaxed);
        assert!(!third.tend().await.unwrap());
        time.fetch_add(6_000, Ordering::Relaxed);
        assert!(third.tend().await.unwrap());
        assert!(!second.tend().await.unwrap(), "a woken one is no holder");
    }
}
