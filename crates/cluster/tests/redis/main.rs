//! The journal on real servers of Redis: against the promises of all journals, and what only
//! Redis can do to it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests, with processes"
)]

mod checks;
mod cluster;
mod failover;
mod fixture;
mod outages;
mod server;

mod single {
    use std::sync::LazyLock;

    use switchboard_cluster::RedisConfig;
    use switchboard_journal::conformance::{Setup, Subject};

    use crate::fixture::{configured, fresh_prefix, subject};
    use crate::server::Server;

    /// One server for all of these; each test has a prefix of its own.
    static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(&["--appendonly", "no"]));

    async fn open(setup: Setup) -> Subject {
        let config = RedisConfig {
            prefix: fresh_prefix(),
            ..RedisConfig::new(SERVER.url())
        };
        subject(configured(config, &setup)).await
    }

    switchboard_journal::conformance_suite!(open, all but erasing);
}
