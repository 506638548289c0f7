//! Limits of the producers' side.

use std::time::Duration;

use crate::limits::ProducerLimits;

/// What the producers' side takes, and for how long it remembers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest body of `POST /v1/events`, in bytes. Default: 8 MiB. Each request in flight may hold
    /// this much several times over.
    pub body_len_max: usize,
    /// Longest body of a webhook, in bytes. Default: 4 MiB; Meta sends up to 3 MB.
    pub webhook_body_len_max: usize,
    /// Most bytes of bodies that are being read or worked on at once, for producers and for
    /// webhooks each. Default: 64 MiB. Beyond it the answer is 503.
    pub bodies_len_max: usize,
    /// Most appends at once, each being what a request brings for one tenant. Default: 4096. Beyond it
    /// the answer is 503, and nothing was done. More wait longer for the same disk.
    pub appends_max: usize,
    /// Most bytes of payloads that are being appended at once. Default: 64 MiB. Beyond it the answer
    /// is 503; raising it costs memory several times over.
    pub append_bytes_max: usize,
    /// Longest wait for the whole of a body. Default: 30 s. A slow sender holds its share of
    /// `bodies_len_max` for as long.
    pub body_timeout: Duration,
    /// For how long a message's rooms are remembered for its later statuses, and what was told of it,
    /// so that the same told again is no second event. Default: 7 days, which is as long as Meta
    /// tries again. Costs a key in the journal for each message of that time.
    pub message_retention: Duration,
    /// For how long after its end a receipt can be read. Default: 24 h, as long as its event is kept.
    /// Costs a key in the journal for each receipt of that time.
    pub receipt_retention: Duration,
    /// How much comes by one API key in a time; may change while it runs.
    pub limits: ProducerLimits,
    /// After how many results a campaign tells its progress, and at every 5 % of its recipients
    /// where that is less. Default: 100. Fewer cost more events.
    pub campaign_progress_every: u64,
    /// For how long a campaign is known, from its start on. Default: 30 days. Costs a key in the
    /// journal for each of its messages of that time.
    pub campaign_retention: Duration,
    /// For how long the last event of a campaign or a flow is shown to whoever subscribes. Default:
    /// 30 days. Costs a few keys in the journal for each of them.
    pub snapshot_retention: Duration,
    /// After how long without a sign of life a connected account is told to be stale. Default: none,
    /// never.
    pub account_silence_max: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_len_max: 8 << 20,
            webhook_body_len_max: 4 << 20,
            bodies_len_max: 64 << 20,
            appends_max: 4_096,
            append_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(30),
            message_retention: Duration::from_hours(7 * 24),
            receipt_retention: Duration::from_hours(24),
            limits: ProducerLimits::default(),
            campaign_progress_every: 100,
            campaign_retention: Duration::from_hours(30 * 24),
            snapshot_retention: Duration::from_hours(30 * 24),
            account_silence_max: None,
        }
    }
}
