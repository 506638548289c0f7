//! How much a user may do in a time, and what becomes of one who does more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard_engine::{AckId, CloseReason, Handling};
use switchboard_event::Room;
use switchboard_hub::Rights;
use switchboard_limit::{Buckets, Key, Keys, Rate, Wait};
use switchboard_metrics::Tally;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::lane::Lane;
use crate::reply::{Refused, answer};
use crate::session::Session;

/// How much a user may do in a time. An inbox that opens all it has at once stays far below.
///
/// A user is held to it over all of its connections to a node, so that opening more of them
/// brings nothing. One who is on several nodes, as far as they have heard, has an equal part of
/// the connections and of what reaches others on each; so together it is never more than on one,
/// but for connections that were there before the others came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitConfig {
    /// Most connections of one user at once, default 200. One more is closed before it is let in.
    pub connections_per_user_max: usize,
    /// How often a user may connect, default 2 each second after a burst of 200. One more is
    /// closed before it is let in.
    pub connections_per_user: Rate,
    /// Most rooms of one session, default 1000. Each costs about 100 bytes.
    pub rooms_per_session_max: usize,
    /// Subscriptions of one user, and their ends, default 200 each second after a burst of 5000:
    /// what ten tabs bring that open 500 rooms each.
    pub subscriptions: Rate,
    /// Fleeting events of one user (`typing:*`, `presence:*`), default 20 each second after a burst
    /// of 100.
    pub fleeting: Rate,
    /// Other events of one user, default 50 each second after a burst of 500.
    pub events: Rate,
    /// Refusals for any of this that one connection gets before it is closed, default 10 each
    /// second after a burst of 100. Who waits as it is told never comes near.
    pub refusals: Rate,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            connections_per_user_max: 200,
            connections_per_user: Rate::per_second(2, 200),
            rooms_per_session_max: 1_000,
            subscriptions: Rate::per_second(200, 5_000),
            fleeting: Rate::per_second(20, 100),
            events: Rate::per_second(50, 500),
            refusals: Rate::per_second(10, 100),
        }
    }
}

/// Holds users to their limits. What it knows of one is a number, and nothing of who is quiet.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: Keys,
    connections_max: AtomicUsize,
    rooms_max: AtomicUsize,
    connections: Buckets,
    subscriptions: Buckets,
    fleeting: Buckets,
    events: Buckets,
    refusals: Buckets,
    /// One line in the log for each user now and then.
    lines: Buckets,
    tally: Tally,
}

/// What is limited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// How many connections there are.
    ConnectionsMax,
    /// How often one is made.
    Connections,
    Subscriptions,
    Fleeting,
    Events,
}

/// More than a user may do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many {}: the limit is the setting limits.{}", kind.noun(), kind.setting())]
pub(crate) struct Excess {
    pub(crate) kind: Kind,
    pub(crate) wait: Wait,
    /// Whether it has been told so often that this was the last time.
    pub(crate) is_flood: bool,
}

impl Limits {
    pub(crate) fn new(config: &LimitConfig) -> Self {
        let start = Instant::now().into_std();
        let buckets = |rate| Buckets::new(rate, start);
        Self {
            keys: Keys::default(),
            connections_max: AtomicUsize::new(config.connections_per_user_max),
            rooms_max: AtomicUsize::new(config.rooms_per_session_max),
            connections: buckets(config.connections_per_user),
            subscriptions: buckets(config.subscriptions),
            fleeting: buckets(config.fleeting),
            events: buckets(config.events),
            refusals: buckets(config.refusals),
            lines: buckets(LINES),
            tally: Tally::of(Kind::ALL.map(Kind::setting).into_iter().chain([FLOOD])),
        }
    }

    /// Holds everybody to other limits from now on.
    pub(crate) fn set(&self, config: &LimitConfig) {
        let LimitConfig {
            connections_per_user_max,
            connections_per_user,
            rooms_per_session_max,
            subscriptions,
            fleeting,
            events,
            refusals,
        } = *config;
        self.connections_max
            .store(connections_per_user_max, Ordering::Relaxed);
        self.rooms_max
            .store(rooms_per_session_max, Ordering::Relaxed);
        self.connections.set(connections_per_user);
        self.subscriptions.set(subscriptions);
        self.fleeting.set(fleeting);
        self.events.set(events);
        self.refusals.set(refusals);
    }

    /// Most rooms of one session.
    pub(crate) fn rooms_max(&self) -> usize {
        self.rooms_max.load(Ordering::Relaxed)
    }

    /// Decides whether a user may have one more connection. It is too many together with those
    /// that are being let in, so that a few more can come in at once.
    pub(crate) fn connect(&self, rights: &Rights, lane: &Lane) -> Result<(), Excess> {
        let connected = lane.hub.count(rights.tenant(), &Room::user(rights.user()));
        let spread = lane.floor.spread(rights.tenant(), rights.user());
        let connections_max = self.connections_max.load(Ordering::Relaxed);
        let user = self.user(rights);
        let now = Instant::now().into_std();
        let outcome = if connected >= share(connections_max, spread) {
            Err((Kind::ConnectionsMax, Wait(CONNECTIONS_WAIT)))
        } else {
            let passed = self.connections.pass(user, 1, now);
            passed.map_err(|wait| (Kind::Connections, wait))
        };
        outcome.map_err(|(kind, wait)| {
            self.tally.increment(kind.setting());
            if self.lines.pass(user, 1, now).is_ok() {
                let (tenant, user) = (rights.tenant(), rights.user());
                warn!(%tenant, %user, limit = kind.setting(), "connection refused");
            }
            Excess {
                kind,
                wait,
                is_flood: false,
            }
        })
    }

    /// Decides whether a client's event is looked at.
    pub(crate) fn event(&self, session: &Session, name: &str) -> Result<(), Excess> {
        let rights = &session.identity().rights;
        let socket = session.socket_id();
        let now = Instant::now().into_std();
        let socket = || self.keys.of(socket.as_str());
        let kind = Kind::of(name);
        let cost = match kind {
            Kind::Fleeting | Kind::Events => {
                let floor = &session.lane.floor;
                floor.spread(rights.tenant(), rights.user())
            }
            // These are work for this node alone.
            Kind::Subscriptions | Kind::Connections | Kind::ConnectionsMax => 1,
        };
        self.take(kind, cost, self.user(rights), socket, now)
    }

    /// How often each limit was met, by the name of its setting.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.tally.counts()
    }

    fn take(
        &self,
        kind: Kind,
        cost: u32,
        user: Key,
        socket: impl FnOnce() -> Key,
        now: std::time::Instant,
    ) -> Result<(), Excess> {
        let buckets = match kind {
            Kind::Subscriptions => &self.subscriptions,
            Kind::Fleeting => &self.fleeting,
            Kind::Events | Kind::Connections | Kind::ConnectionsMax => &self.events,
        };
        buckets.pass(user, cost, now).map_err(|wait| {
            self.tally.increment(kind.setting());
            let is_flood = self.refusals.pass(socket(), 1, now).is_err();
            if is_flood {
                self.tally.increment(FLOOD);
            }
            Excess {
                kind,
                wait,
                is_flood,
            }
        })
    }

    fn user(&self, rights: &Rights) -> Key {
        self.keys
            .of((rights.tenant().as_str(), rights.user().as_str()))
    }
}

impl Excess {
    /// Tells the client, and closes the connection of one that does not listen.
    pub(crate) fn refuse(self, session: &Session, event: &str, ack: Option<AckId>) -> Handling {
        let (socket, limit) = (session.socket_id(), self.kind.setting());
        answer::<()>(&session.handle, event, ack, Err(Refused::Limited(self)));
        if !self.is_flood {
            debug!(%socket, limit, "refused");
            return Handling::Done;
        }
        let (tenant, user) = (session.tenant(), session.user());
        warn!(%socket, %tenant, %user, limit, "closed for flooding");
        Handling::Close(CloseReason::RateLimited)
    }
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::ConnectionsMax,
        Self::Connections,
        Self::Subscriptions,
        Self::Fleeting,
        Self::Events,
    ];

    /// What an event counts as, known or not.
    fn of(event: &str) -> Self {
        let (verb, _) = event.split_once(':').unwrap_or((event, ""));
        match verb {
            // Whoever may not say that it ended is seen typing for its whole lifetime.
            _ if event == "typing:stop" => Self::Events,
            "subscribe" | "unsubscribe" => Self::Subscriptions,
            "typing" | "presence" => Self::Fleeting,
            _ => Self::Events,
        }
    }

    /// The name of the setting, for metrics and the log.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::ConnectionsMax => "connections_per_user_max",
            Self::Connections => "connections_per_user",
            Self::Subscriptions => "subscriptions",
            Self::Fleeting => "fleeting",
            Self::Events => "events",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::ConnectionsMax | Self::Connections => "connections",
            Self::Subscriptions => "subscriptions",
            Self::Fleeting => "fleeting events",
            Self::Events => "events",
        }
    }
}

/// What one of so many nodes lets a user have, who would else have `max`; never nothing.
fn share(max: usize, nodes: u32) -> usize {
    let nodes = usize::try_from(nodes).unwrap_or(usize::MAX);
    max.div_ceil(nodes.max(1))
}

/// What closed connections are counted as.
const FLOOD: &str = "refusals";
/// How often the log is told of one user that may not connect.
const LINES: Rate = Rate::per_second(1, 1);
/// When one who has too many connections may have fewer.
const CONNECTIONS_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_are_told_apart_by_their_names() {
        for (event, kind) in [
            ("subscribe", Kind::Subscriptions),
            ("subscribe:whatsapp", Kind::Subscriptions),
            ("unsubscribe:contact", Kind::Subscriptions),
            ("typing:start", Kind::Fleeting),
            ("typing:stop", Kind::Events),
            ("presence:viewing", Kind::Fleeting),
            ("ping", Kind::Events),
            ("session:replay", Kind::Events),
            ("subscribers", Kind::Events),
            ("", Kind::Events),
        ] {
            assert_eq!(Kind::of(event), kind, "{event}");
        }
    }

    #[test]
    fn an_inbox_that_opens_everything_at_once_meets_no_limit() {
        let bench = Bench::new(LimitConfig::default());

        for tab in 0..10 {
            for _ in 0..500 {
                assert_eq!(bench.take(Kind::Subscriptions, "ana", tab, 0), Ok(()));
            }
        }
    }

    #[test]
    fn one_kind_takes_nothing_from_another_and_one_user_nothing_from_another() {
        let bench = Bench::new(one_a_second());

        assert_eq!(bench.take(Kind::Subscriptions, "ana", 1, 0), Ok(()));
        assert!(bench.take(Kind::Subscriptions, "ana", 1, 0).is_err());
        assert_eq!(bench.take(Kind::Fleeting, "ana", 1, 0), Ok(()));
        assert_eq!(bench.take(Kind::Events, "ana", 1, 0), Ok(()));
        assert_eq!(bench.take(Kind::Subscriptions, "bob", 2, 0), Ok(()));
    }

    #[test]
    fn a_second_connection_of_a_user_brings_nothing_more() {
        let bench = Bench::new(one_a_second());
        assert_eq!(bench.take(Kind::Events, "ana", 1, 0), Ok(()));

        let excess = bench.take(Kind::Events, "ana", 2, 400).unwrap_err();

        assert_eq!(excess.wait.millis(), 600);
        assert_eq!(bench.take(Kind::Events, "ana", 2, 1_000), Ok(()));
    }

    #[test]
    fn who_is_on_two_nodes_has_half_on_each() {
        let config = LimitConfig {
            events: "10/s burst 10".parse().unwrap(),
            ..LimitConfig::default()
        };
        let bench = Bench {
            spread: 2,
            ..Bench::new(config)
        };

        for _ in 0..5 {
            assert_eq!(bench.take(Kind::Events, "ana", 1, 0), Ok(()));
        }
        assert!(bench.take(Kind::Events, "ana", 1, 0).is_err());
        assert_eq!(bench.take(Kind::Events, "ana", 1, 200), Ok(()));
        for (max, nodes, part) in [
            (200, 1, 200),
            (200, 2, 100),
            (5, 2, 3),
            (1, 9, 1),
            (0, 2, 0),
        ] {
            assert_eq!(share(max, nodes), part, "{max} by {nodes}");
        }
    }

    #[test]
    fn only_the_connection_that_goes_on_is_a_flood_and_it_may_come_back() {
        let bench = Bench::new(one_a_second());
        assert_eq!(bench.take(Kind::Events, "ana", 1, 0), Ok(()));
        let is_flood = |socket, ms| {
            let taken = bench.take(Kind::Events, "ana", socket, ms);
            taken.unwrap_err().is_flood
        };

        assert!((0..3).all(|_| !is_flood(1, 0)));
        assert!(is_flood(1, 0));
        assert!(!is_flood(2, 0));
        assert_eq!(bench.take(Kind::Events, "ana", 1, 2_000), Ok(()));
        assert!(!is_flood(1, 2_000));
        assert_eq!(bench.limits.counts()["events"], 6);
        assert_eq!(bench.limits.counts()["refusals"], 1);
    }

    fn one_a_second() -> LimitConfig {
        LimitConfig {
            subscriptions: "1/s".parse().unwrap(),
            fleeting: "1/s".parse().unwrap(),
            events: "1/s".parse().unwrap(),
            refusals: "1/s burst 3".parse().unwrap(),
            ..LimitConfig::default()
        }
    }

    struct Bench {
        limits: Limits,
        /// On how many nodes the users are.
        spread: u32,
        start: std::time::Instant,
    }

    impl Bench {
        fn new(config: LimitConfig) -> Self {
            let limits = Limits::new(&config);
            Self {
                limits,
                spread: 1,
                start: Instant::now().into_std(),
            }
        }

        fn take(&self, kind: Kind, user: &str, socket: u32, ms: u64) -> Result<(), Excess> {
            let user = self.limits.keys.of(user);
            let now = self.start + Duration::from_millis(ms);
            let socket = || self.limits.keys.of(socket);
            self.limits.take(kind, self.spread, user, socket, now)
        }
    }
}
