use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use crate::OpenError;
use crate::dial::Dial;

/// Where a [`RedisJournal`](crate::RedisJournal) lies and what it keeps.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where Redis is: `redis://` or, with TLS, `rediss://`. Of several without `cluster`, the first
    /// that is a primary counts; with it, any node is enough to find the others.
    pub urls: Vec<String>,
    /// Whose rights we have, if not those of the URL.
    pub username: Option<String>,
    /// The password, if not that of the URL. Never shown.
    pub password: Option<String>,
    /// Certificates (PEM) of the authorities that are trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Whether Redis runs as a cluster.
    pub cluster: bool,
    /// What all keys begin with: `a-z`, `0-9`, `-` and `_`. Default: `switchboard`. Nodes with the
    /// same one are one cluster.
    pub prefix: String,
    /// How many partitions. Default: 16. Fixed once the journal exists.
    pub partitions: NonZeroU16,
    /// How long records are kept. Default: 24 hours. More costs memory of Redis.
    pub retention_age: Duration,
    /// How many bytes of records are kept, over all partitions. Default: 1 GiB. Redis needs about
    /// twice that.
    pub retention_bytes: u64,
    /// How many bytes of the newest records stay in this process, for all partitions together.
    /// Default: 64 MiB.
    pub recent_bytes: usize,
    /// How many sessions are kept; beyond it the one that expires first goes. Default: 1,000,000.
    pub sessions_max: NonZeroU32,
    /// How long a connection may take to be made. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer; beyond it an append is `Unavailable`. Default: 2 s.
    pub command_timeout: Duration,
    /// How many replicas must have an append before it is answered. Default: 0. More narrows what a
    /// failover can lose, and makes appends wait.
    pub wait_replicas: u16,
}

impl RedisConfig {
    /// The defaults, at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            username: None,
            password: None,
            ca: None,
            cluster: false,
            prefix: "switchboard".to_owned(),
            partitions: NonZeroU16::new(16).expect("16 is not 0"),
            retention_age: Duration::from_hours(24),
            retention_bytes: 1024 * 1024 * 1024,
            recent_bytes: 64 * 1024 * 1024,
            sessions_max: NonZeroU32::new(1_000_000).expect("1,000,000 is not 0"),
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(2),
            wait_replicas: 0,
        }
    }

    /// Checks what can be checked without Redis.
    pub fn check(&self) -> Result<(), OpenError> {
        Dial::new(self).map(|_| ())
    }
}

/// URLs may hold a password, so they stay out as well.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("cluster", &self.cluster)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
