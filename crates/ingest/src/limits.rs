//! How much comes by one API key in a time, and how many keys that there are not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use switchboard_limit::{Buckets, Keys, Rate};
use switchboard_metrics::Tally;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::producer::Producer;

/// How much comes by one API key in a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProducerLimits {
    /// Requests of any kind, default 1000 each second after a burst of 5000.
    pub requests: Rate,
    /// Events, default 5000 each second after a burst of 50 000. An array passes as a whole or not
    /// at all.
    pub events: Rate,
    /// Requests of one address with a key that is not known, default 60 each minute after a burst of
    /// 300. Beyond it no key of that address is looked at.
    pub unknown_keys: Rate,
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self {
            requests: Rate::per_second(1_000, 5_000),
            events: Rate::per_second(5_000, 50_000),
            unknown_keys: Rate::per_minute(60, 300),
        }
    }
}

/// Holds producers to their limits.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: Keys,
    requests: Buckets,
    events: Buckets,
    unknown_keys: Buckets,
    /// Lines in the log for whoever comes without a key that is known.
    strangers: Buckets,
    tally: Tally,
}

impl Limits {
    pub(crate) fn new(config: &ProducerLimits) -> Self {
        let start = Instant::now().into_std();
        Self {
            keys: Keys::default(),
            requests: Buckets::new(config.requests, start),
            events: Buckets::new(config.events, start),
            unknown_keys: Buckets::new(config.unknown_keys, start),
            strangers: Buckets::new(STRANGERS, start),
            tally: Tally::of([REQUESTS, EVENTS, UNKNOWN_KEYS]),
        }
    }

    /// Holds everybody to other limits from now on.
    pub(crate) fn set(&self, config: &ProducerLimits) {
        self.requests.set(config.requests);
        self.events.set(config.events);
        self.unknown_keys.set(config.unknown_keys);
    }

    /// Whether a key from there is looked at: not after too many that nobody knew, or guessing would
    /// go on.
    pub(crate) fn look(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        let Some(key) = client.map(|client| self.keys.of(network(client))) else {
            return Ok(());
        };
        let now = Instant::now().into_std();
        self.unknown_keys.peek(key, now).map_err(|wait| {
            self.tally.increment(UNKNOWN_KEYS);
            let detail =
                format!("too many unknown API keys from here: the limit is {UNKNOWN_KEYS}");
            Problem::rate_limited(detail, wait.0)
        })
    }

    /// Takes a key that nobody knows.
    pub(crate) fn unknown(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            let key = self.keys.of(network(client));
            // Whoever is beyond it is told so the next time.
            let _ = self.unknown_keys.pass(key, 1, Instant::now().into_std());
        }
    }

    /// Takes a request.
    pub(crate) fn request(&self, producer: &Producer) -> Result<(), Problem> {
        self.pass(&self.requests, REQUESTS, producer, 1, "requests")
    }

    /// Takes so many events of a request.
    pub(crate) fn events(&self, producer: &Producer, count: usize) -> Result<(), Problem> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.pass(&self.events, EVENTS, producer, count, "events")
    }

    /// Whether one more stranger from there is worth a line in the log.
    pub(crate) fn is_worth_a_line(&self, client: Option<IpAddr>) -> bool {
        let key = self.keys.of(client);
        self.strangers
            .pass(key, 1, Instant::now().into_std())
            .is_ok()
    }

    /// How often each limit was met, by the name of its setting.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.tally.counts()
    }

    fn pass(
        &self,
        buckets: &Buckets,
        setting: &'static str,
        producer: &Producer,
        count: u32,
        what: &str,
    ) -> Result<(), Problem> {
        let key = self.keys.of(producer.id());
        let passed = buckets.pass(key, count, Instant::now().into_std());
        passed.map_err(|wait| {
            self.tally.increment(setting);
            let detail = format!("too many {what} by this API key: the limit is {setting}");
            Problem::rate_limited(detail, wait.0)
        })
    }
}

/// Whose address it is: of IPv6 the /64, which one machine has all of.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Lines in the log of strangers from one address: anybody can make them.
const STRANGERS: Rate = Rate::per_second(1, 20);
const REQUESTS: &str = "producer_requests";
const EVENTS: &str = "producer_events";
const UNKNOWN_KEYS: &str = "unknown_keys_per_address";
