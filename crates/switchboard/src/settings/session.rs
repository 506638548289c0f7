//! How long a client may be away, and how often it hears where its line is.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::Section;

/// `[session]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionSettings {
    /// How long a client that went away may come back to its line. Default 24 h, as long as
    /// records are kept; at least three quarters of it count from when it went. A few hundred
    /// bytes of disk for each client of that time.
    pub ttl: Duration,
    /// How often a client is told how far its line has come. Default 30 s; less costs one write
    /// of every connection that much more often.
    pub sync_interval: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(24),
            sync_interval: Duration::from_secs(30),
        }
    }
}

impl SessionSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            ttl: section.duration("ttl", TTLS).unwrap_or(default.ttl),
            sync_interval: section
                .duration("sync_interval", SYNC_INTERVALS)
                .unwrap_or(default.sync_interval),
        };
        section.finish();
        settings
    }
}

const TTLS: RangeInclusive<Duration> = Duration::from_secs(4)..=Duration::from_hours(8760);
const SYNC_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);
