//! Both journals of one process against the promises of all journals, and what only a disk can
//! promise.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests, also of files"
)]

mod corruption;
mod disk;
mod erasing;
mod failures;
mod leases;
mod opening;
mod reads;
mod sessions;
mod tools;
mod upgrade;

mod memory {
    use std::sync::Arc;

    use switchboard_event::Epoch;
    use switchboard_journal::conformance::{Setup, Subject};
    use switchboard_journal::{MemoryConfig, MemoryJournal};

    async fn open(setup: Setup) -> Subject {
        let config = MemoryConfig {
            partitions: setup.partitions,
            retention_age: setup.retention_age,
            retention_bytes: usize::try_from(setup.retention_bytes).unwrap(),
            retention_events: setup.retention_events,
            sessions_max: setup.sessions_max,
            ..MemoryConfig::new(Epoch::new(0xface))
        };
        let journal = Arc::new(MemoryJournal::new(config));
        Subject {
            sessions: Arc::<MemoryJournal>::clone(&journal),
            leases: Arc::<MemoryJournal>::clone(&journal),
            fleeting: Arc::<MemoryJournal>::clone(&journal),
            journal,
            guard: Box::new(()),
        }
    }

    switchboard_journal::conformance_suite!(open);
}
