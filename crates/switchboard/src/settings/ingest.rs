//! How much producers and webhooks may send at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::reader::Section;

/// `[ingest]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IngestSettings {
    /// The longest body of `POST /v1/events`, in bytes. Default 8 MiB. Raising it lets each request
    /// in flight hold as much memory several times over; all bodies together stay within 64 MiB.
    pub body_max: u64,
    /// The longest body of a webhook, in bytes. Default 4 MiB, as Meta sends up to 3 MB; one that is
    /// longer is refused, and sent again for days.
    pub webhook_body_max: u64,
    /// The most appends at once, each being what a request brings for one tenant. Default 4096. Beyond
    /// it the answer is 503 with `Retry-After`; raising it makes producers wait longer instead.
    pub appends_max: u32,
    /// The most bytes of payloads that are being appended at once. Default 64 MiB. Beyond it the answer
    /// is the same; raising it costs memory several times over.
    pub append_bytes_max: u64,
    /// After how many results a campaign tells its progress, and at every 5 % of its recipients
    /// where that is less. Default 100; fewer cost more events.
    pub campaign_progress_every: u32,
    /// After how long without a sign of life a connected account is told to be stale. Default:
    /// never. Costs a write for each account four times in that time.
    pub account_silence: Option<Duration>,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            body_max: ByteSize::mib(8).as_u64(),
            webhook_body_max: ByteSize::mib(4).as_u64(),
            appends_max: 4_096,
            append_bytes_max: ByteSize::mib(64).as_u64(),
            campaign_progress_every: 100,
            account_silence: None,
        }
    }
}

impl IngestSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            body_max: section.size("body_max", SIZES).unwrap_or(default.body_max),
            webhook_body_max: section
                .size("webhook_body_max", SIZES)
                .unwrap_or(default.webhook_body_max),
            appends_max: section
                .number("appends_max", APPENDS)
                .unwrap_or(default.appends_max),
            append_bytes_max: section
                .size("append_bytes_max", APPEND_BYTES)
                .unwrap_or(default.append_bytes_max),
            campaign_progress_every: section
                .number("campaign_progress_every", MARKS)
                .unwrap_or(default.campaign_progress_every),
            account_silence: section.duration("account_silence", SILENCES),
        };
        section.finish();
        settings
    }
}

/// Two of the longest still fit into what all bodies may take.
const SIZES: RangeInclusive<ByteSize> = ByteSize::kib(1)..=ByteSize::mib(32);
const APPENDS: RangeInclusive<u32> = 1..=1_000_000;
const APPEND_BYTES: RangeInclusive<ByteSize> = ByteSize::kib(64)..=ByteSize::gib(4);
const MARKS: RangeInclusive<u32> = 1..=1_000_000;
const SILENCES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(720);
