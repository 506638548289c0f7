use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use switchboard_limit::{Buckets, Keys, Rate};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{Client, Config, Layer, engine::Shared, refused::Cause};

/// Who may open a session: counts the sessions that there are, by what limits them.
#[derive(Debug)]
pub(crate) struct Admissions {
    total: AtomicUsize,
    /// Those that have joined no namespace yet.
    unjoined: AtomicUsize,
    networks: Mutex<HashMap<Network, usize>>,
    handshakes: Pace,
    keys: Keys,
    per_address: Buckets,
}

/// Why a session is not opened, and when to ask again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unopened {
    pub(crate) cause: Cause,
    pub(crate) retry_after: Duration,
}

impl Unopened {
    /// For what may have passed when the client asks next.
    fn soon(cause: Cause) -> Self {
        Self {
            cause,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Admissions {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            total: AtomicUsize::new(0),
            unjoined: AtomicUsize::new(0),
            networks: Mutex::default(),
            handshakes: Pace::new(config.handshakes_per_second_max),
            keys: Keys::default(),
            per_address: Buckets::new(
                config.doors.connections_per_address,
                Instant::now().into_std(),
            ),
        }
    }

    /// Changes how often sessions of one address may open.
    pub(crate) fn set(&self, per_address: Rate) {
        self.per_address.set(per_address);
    }

    /// Sessions that there are.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Takes a place for a session of `client`.
    pub(crate) fn reserve<A>(
        shared: &Arc<Shared<A>>,
        client: Client,
        now: Instant,
    ) -> Result<Place<A>, Unopened> {
        Self::try_reserve(shared, client.ip(), now).inspect_err(|unopened| {
            let cause = unopened.cause;
            match shared.refused.note(cause, now) {
                None => {}
                Some(_) if cause == Cause::Draining => {
                    debug!(%client, cause = cause.name(), "session refused");
                }
                Some(suppressed) => {
                    warn!(%client, cause = cause.name(), suppressed, "session refused");
                }
            }
        })
    }

    fn try_reserve<A>(
        shared: &Arc<Shared<A>>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Place<A>, Unopened> {
        let Shared {
            config, admissions, ..
        } = &**shared;
        if shared.is_draining() {
            return Err(Unopened::soon(Cause::Draining));
        }
        if !take(&admissions.total, config.connections_max) {
            return Err(Unopened::soon(Cause::ConnectionsMax));
        }
        let network = Network::of(address);
        let key = admissions.keys.of(network);
        if let Err(wait) = admissions.per_address.pass(key, 1, now.into_std()) {
            admissions.total.fetch_sub(1, Ordering::AcqRel);
            return Err(Unopened {
                cause: Cause::ConnectionsPerAddress,
                retry_after: wait.0,
            });
        }
        if !admissions.enter(network, config.connections_per_address_max) {
            admissions.total.fetch_sub(1, Ordering::AcqRel);
            return Err(Unopened::soon(Cause::ConnectionsPerAddressMax));
        }
        // From here on dropping the place gives back what was taken.
        let mut place = Place {
            shared: shared.clone(),
            network,
            is_unjoined: false,
        };
        if config.layer == Layer::SocketIo {
            if !take(&admissions.unjoined, config.unjoined_max) {
                return Err(Unopened::soon(Cause::UnjoinedMax));
            }
            place.is_unjoined = true;
        }
        // Last, so that only who gets in uses up what others could have.
        match admissions.handshakes.pass(now) {
            Ok(()) => Ok(place),
            Err(retry_after) => Err(Unopened {
                cause: Cause::HandshakesPerSecondMax,
                retry_after,
            }),
        }
    }

    fn enter(&self, network: Network, max: usize) -> bool {
        let mut networks = self.networks.lock();
        let sessions = networks.entry(network).or_default();
        let enters = *sessions < max;
        if enters {
            *sessions += 1;
        } else if *sessions == 0 {
            networks.remove(&network);
        }
        enters
    }

    fn leave(&self, network: Network) {
        let mut networks = self.networks.lock();
        if let Some(sessions) = networks.get_mut(&network) {
            *sessions -= 1;
            if *sessions == 0 {
                networks.remove(&network);
            }
        }
    }
}

fn take(count: &AtomicUsize, max: usize) -> bool {
    count
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < max).then_some(count + 1)
        })
        .is_ok()
}

/// One of the places for sessions, given back when dropped.
pub(crate) struct Place<A> {
    shared: Arc<Shared<A>>,
    network: Network,
    is_unjoined: bool,
}

impl<A> Place<A> {
    pub(crate) fn shared(&self) -> &Arc<Shared<A>> {
        &self.shared
    }

    /// The session has joined a namespace, and is no stranger any more.
    pub(crate) fn join(&mut self) {
        if std::mem::take(&mut self.is_unjoined) {
            let unjoined = &self.shared.admissions.unjoined;
            unjoined.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<A> Drop for Place<A> {
    fn drop(&mut self) {
        self.join();
        let admissions = &self.shared.admissions;
        admissions.leave(self.network);
        admissions.total.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What counts as one address: an IPv4 address, or the /64 that an IPv6 host can choose from.
///
/// In one number, because every connection keeps it. The two kinds never meet: what begins with 32
/// bits of zero is no IPv6 address of a peer, except for loopback, which is then `0.0.0.0`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Network(u64);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits().into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let bits = [a, b, c, d].into_iter();
                Self(bits.fold(0, |bits, segment| bits << 16 | u64::from(segment)))
            }
        }
    }
}

/// Lets so many pass each second, evenly, and a burst of as many as two seconds bring (a token
/// bucket, kept as the time at which it would be full).
#[derive(Debug)]
struct Pace {
    /// What one costs.
    interval: Duration,
    full_at: Mutex<Option<Instant>>,
}

/// How much may come at once: what comes in this time.
const BURST: Duration = Duration::from_secs(2);

impl Pace {
    fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            full_at: Mutex::default(),
        }
    }

    /// Lets one pass, or tells how long to wait.
    fn pass(&self, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock();
        let next = full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
        let wait = (next - now).saturating_sub(BURST);
        if !wait.is_zero() {
            return Err(wait);
        }
        *full_at = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_as_many_as_come_in_time() {
        let pace = Pace::new(10);
        let start = Instant::now();
        let passed = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..1_000).take_while(|_| pace.pass(now).is_ok()).count()
        };

        assert_eq!(passed(0), 20);
        assert_eq!(pace.pass(start), Err(Duration::from_millis(100)));
        assert_eq!(passed(99), 0);
        assert_eq!(passed(100), 1);
        assert_eq!(passed(600), 5);
        assert_eq!(passed(60_000), 20);
    }

    #[test]
    fn an_ipv6_host_counts_by_its_network_and_an_ipv4_one_by_its_address() {
        let network = |text: &str| Network::of(text.parse().unwrap());

        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("::1"), network("127.0.0.1"));
    }
}
