//! How long people are there and type, who do not say so any more.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::Section;

/// `[presence]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PresenceSettings {
    /// How long somebody is still online whose last connection ended. Default 10 s; less makes the
    /// reload of a page visible.
    pub grace: Duration,
    /// How long those are still online who were connected when the server was killed. Default 30 s;
    /// renewed at a third of it, which costs one write for each thousand people.
    pub lease: Duration,
    /// In teams of how many people each is told who comes and goes. Default 1,000; what is told
    /// grows with the square. In a larger team it is left to `presence:list`.
    pub team_max: u32,
}

/// `[typing]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TypingSettings {
    /// How long a colleague types who said so once. Default 30 s.
    pub lifetime: Duration,
    /// How long a contact types of whom a gateway said so once. Default 25 s, as in WhatsApp.
    pub contact_lifetime: Duration,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            team_max: 1_000,
        }
    }
}

impl Default for TypingSettings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(30),
            contact_lifetime: Duration::from_secs(25),
        }
    }
}

impl PresenceSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            grace: section.duration("grace", GRACES).unwrap_or(default.grace),
            lease: section.duration("lease", LEASES).unwrap_or(default.lease),
            team_max: section
                .number("team_max", 0..=TEAM_MAX)
                .unwrap_or(default.team_max),
        };
        section.finish();
        settings
    }
}

impl TypingSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            lifetime: section
                .duration("lifetime", LIFETIMES)
                .unwrap_or(default.lifetime),
            contact_lifetime: section
                .duration("contact_lifetime", LIFETIMES)
                .unwrap_or(default.contact_lifetime),
        };
        section.finish();
        settings
    }
}

const GRACES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(10);
const LEASES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
const LIFETIMES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
const TEAM_MAX: u32 = 100_000;
