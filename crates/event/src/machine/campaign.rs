//! What came of a campaign so far: exact counts, and which events they make.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::Event;
use crate::id::{EventId, Id};
use crate::machine::message::{Progress, Verdict};
use crate::machine::state::{self, InvalidState};
use crate::message::MessageKey;
use crate::payload::{CampaignCounts, CampaignStats};
use crate::time::Timestamp;

/// The most recipients of a campaign.
pub const RECIPIENTS_MAX: u64 = 100_000_000;

/// Where a campaign is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// It sends.
    Running,
    /// It was halted for a while. What was on its way still counts.
    Paused,
    /// Everything was sent, or its producer said that it is over.
    Completed,
    /// It ended early.
    Failed,
}

/// What its producer wants of a campaign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Begin to send to so many.
    Start {
        /// How many.
        total: u64,
    },
    /// Halt.
    Pause,
    /// Go on.
    Resume,
    /// End early.
    Fail,
    /// End well, whether or not everything was sent.
    Complete,
}

/// What is to be told of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// `campaign:started`
    Started,
    /// `campaign:paused`
    Paused,
    /// `campaign:resumed`
    Resumed,
    /// `campaign:failed`
    Failed,
    /// `campaign:progress`: a mark was reached.
    Progress(CampaignCounts),
    /// `campaign:completed`, once.
    Completed(CampaignStats),
    /// `campaign:stats`: what came after its end.
    Stats(CampaignStats),
}

/// Why a campaign does not do what it was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignRefused {
    /// It was never started, or so long ago that it was forgotten.
    #[error("the campaign is not known: it was not started, or too long ago")]
    Unknown,
    /// From where it is there is no way to what was ordered.
    #[error("the campaign is {}, from which it cannot {verb}", phase.as_str())]
    Transition {
        /// Where it is.
        phase: Phase,
        /// What was ordered.
        verb: &'static str,
    },
    /// It runs already, for another number of recipients.
    #[error("the campaign is {} for {total} recipients, not for {wanted}", phase.as_str())]
    OtherTotal {
        /// Where it is.
        phase: Phase,
        /// For how many.
        total: u64,
        /// For how many it was to begin now.
        wanted: u64,
    },
    /// It is over, so no message can be sent in it any more.
    #[error("the campaign is {}, so no more messages are sent in it", phase.as_str())]
    Finished {
        /// How it ended.
        phase: Phase,
    },
    /// All of its messages have a result already.
    #[error("the campaign has results of all its {total} recipients")]
    BeyondTotal {
        /// Where it is.
        phase: Phase,
        /// How many recipients it has.
        total: u64,
    },
}

/// A campaign: where it is, and its counts.
///
/// As bytes it is JSON with a version. Of its messages it holds no names: how far each one got is
/// stored apart, and both change in one batch, so that nothing counts twice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Campaign {
    phase: Phase,
    total: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    failed: u64,
    /// When it and what is known of its messages is forgotten, all at once.
    forgotten_at: Timestamp,
    /// When `campaign:stats` was last told, and whether something changed since.
    stats_at: Option<Timestamp>,
    #[serde(default)]
    is_stats_due: bool,
    /// By which events of its producer it learned where it is, oldest first: one that is published
    /// again means nothing new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    learned: Vec<EventId>,
}

impl Phase {
    /// The word for the wire, also for a campaign of which nothing is known.
    pub fn word(phase: Option<Self>) -> &'static str {
        phase.map_or("Unknown", Self::as_str)
    }

    /// The word for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }

    /// Whether it is over.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl Order {
    /// What a producer says with `event` that a campaign of its own does. Neither how it began nor how
    /// far it is: only what comes of its messages says that.
    pub fn told_by(event: &Event) -> Option<(Id, Self)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Subject {
            campaign_id: Id,
        }
        let order = match event.name() {
            "campaign:paused" => Self::Pause,
            "campaign:resumed" => Self::Resume,
            "campaign:failed" => Self::Fail,
            "campaign:completed" => Self::Complete,
            _ => return None,
        };
        let subject: Subject = serde_json::from_slice(event.data()).ok()?;
        Some((subject.campaign_id, order))
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Fail => "fail",
            Self::Complete => "complete",
        }
    }
}

impl CampaignRefused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "campaign_unknown",
            Self::Transition { .. } | Self::OtherTotal { .. } => "campaign_transition",
            Self::Finished { .. } => "campaign_finished",
            Self::BeyondTotal { .. } => "campaign_total_exceeded",
        }
    }

    /// Where the campaign is; none if it is unknown.
    pub fn phase(&self) -> Option<Phase> {
        match self {
            Self::Unknown => None,
            Self::Transition { phase, .. }
            | Self::OtherTotal { phase, .. }
            | Self::Finished { phase }
            | Self::BeyondTotal { phase, .. } => Some(*phase),
        }
    }
}

impl Campaign {
    /// Follows an order, if there is a way to it. One that is fulfilled already makes no news: it
    /// is a retry.
    ///
    /// `forgotten_at` is for a campaign that begins.
    pub fn order(
        now: Option<Self>,
        order: &Order,
        forgotten_at: Timestamp,
    ) -> Result<(Self, Vec<News>), CampaignRefused> {
        let Some(mut campaign) = now else {
            let Order::Start { total } = *order else {
                return Err(CampaignRefused::Unknown);
            };
            let mut campaign = Self::new(total, forgotten_at);
            let mut news = vec![News::Started];
            news.extend(campaign.complete_if_done());
            return Ok((campaign, news));
        };
        let phase = campaign.phase;
        let news = match (order, phase) {
            (Order::Start { total }, _) if *total != campaign.total => {
                return Err(CampaignRefused::OtherTotal {
                    phase,
                    total: campaign.total,
                    wanted: *total,
                });
            }
            // With no recipients it was completed as soon as it was started.
            (Order::Start { .. }, Phase::Running | Phase::Paused)
            | (Order::Start { total: 0 } | Order::Complete, Phase::Completed)
            | (Order::Pause, Phase::Paused)
            | (Order::Resume, Phase::Running)
            | (Order::Fail, Phase::Failed) => None,
            (Order::Pause, Phase::Running) => {
                campaign.phase = Phase::Paused;
                Some(News::Paused)
            }
            (Order::Resume, Phase::Paused) => {
                campaign.phase = Phase::Running;
                Some(News::Resumed)
            }
            (Order::Fail, Phase::Running | Phase::Paused) => {
                campaign.phase = Phase::Failed;
                Some(News::Failed)
            }
            (Order::Complete, Phase::Running | Phase::Paused) => Some(campaign.complete()),
            (_, _) => {
                let verb = order.verb();
                return Err(CampaignRefused::Transition { phase, verb });
            }
        };
        Ok((campaign, news.into_iter().collect()))
    }

    fn new(total: u64, forgotten_at: Timestamp) -> Self {
        Self {
            phase: Phase::Running,
            total,
            sent: 0,
            delivered: 0,
            read: 0,
            failed: 0,
            forgotten_at,
            stats_at: None,
            is_stats_due: false,
            learned: Vec::new(),
        }
    }

    /// Learns that its producer told everybody that it has followed this order, with that event if it
    /// may be published again. It is not told on; what there is no way to changes nothing. Says
    /// whether there is something to remember.
    pub fn learn(&mut self, order: &Order, event: Option<&EventId>) -> bool {
        if event.is_some_and(|event| self.learned.contains(event)) {
            return false;
        }
        let before = self.clone();
        if let Ok((after, _)) = Self::order(Some(before), order, self.forgotten_at) {
            *self = after;
        }
        if let Some(event) = event {
            if self.learned.len() >= LEARNED_MAX {
                self.learned.remove(0);
            }
            self.learned.push(event.clone());
        }
        true
    }

    /// Counts that a message of the campaign, which got as far as `before` as far as was counted,
    /// is told to be at `told`. Says whether it was news: what is not changes nothing.
    ///
    /// `every` is after how many results there is a mark.
    pub fn count(
        &mut self,
        before: Option<Progress>,
        told: Progress,
        every: u64,
        news: &mut Vec<News>,
    ) -> Result<bool, CampaignRefused> {
        if told == Progress::Queued || told.after(before) != Verdict::News {
            return Ok(false);
        }
        // Of a message that was counted for a state which could not be read any more, this one
        // knows nothing.
        let before = before.filter(|before| match before {
            Progress::Queued => false,
            Progress::Failed => self.failed > 0,
            Progress::Sent | Progress::Delivered | Progress::Read => self.sent > 0,
        });
        let is_first = before.is_none();
        if is_first && self.phase.is_finished() {
            return Err(CampaignRefused::Finished { phase: self.phase });
        }
        if is_first && self.done() >= self.total {
            return Err(CampaignRefused::BeyondTotal {
                phase: self.phase,
                total: self.total,
            });
        }
        if before == Some(Progress::Failed) {
            self.failed -= 1;
        }
        let was = |least: Progress| before.is_some_and(|before| reached(before, least));
        let step = |count: &mut u64, least: Progress| match (was(least), reached(told, least)) {
            (false, true) => *count += 1,
            (true, false) => *count = count.saturating_sub(1),
            _ => {}
        };
        step(&mut self.sent, Progress::Sent);
        step(&mut self.delivered, Progress::Delivered);
        step(&mut self.read, Progress::Read);
        self.delivered = self.delivered.min(self.sent);
        self.read = self.read.min(self.delivered);
        if told == Progress::Failed {
            self.failed += 1;
        }
        if self.phase.is_finished() {
            self.is_stats_due = true;
        } else if is_first {
            if self.is_at_mark(every) {
                news.push(News::Progress(self.counts()));
            }
            news.extend(self.complete_if_done());
        }
        Ok(true)
    }

    /// `campaign:stats`, if something changed after the end and the last one is long enough ago;
    /// else when to ask again, if something did.
    pub fn stats_due(&mut self, now: Timestamp) -> Result<Option<News>, Timestamp> {
        if !self.is_stats_due {
            return Ok(None);
        }
        let next = self
            .stats_at
            .and_then(|last| last.checked_add(STATS_INTERVAL));
        match next {
            // A clock that went back must not silence it for long.
            Some(next) if next > now && self.stats_at <= Some(now) => Err(next),
            _ => {
                self.is_stats_due = false;
                self.stats_at = Some(now);
                Ok(Some(News::Stats(self.stats())))
            }
        }
    }

    /// Why a message cannot count that was refused after others of the same batch had counted: where
    /// the campaign is without them is what its producer knows.
    pub fn refuse_more(&self, refused: CampaignRefused) -> CampaignRefused {
        if self.phase.is_finished() {
            return refused;
        }
        CampaignRefused::BeyondTotal {
            phase: self.phase,
            total: self.total,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether something came after its end that was not told yet.
    pub fn owes_stats(&self) -> bool {
        self.is_stats_due
    }

    /// When all that is known of it is forgotten.
    pub fn forgotten_at(&self) -> Timestamp {
        self.forgotten_at
    }

    /// How far it is.
    pub fn counts(&self) -> CampaignCounts {
        #[expect(clippy::cast_precision_loss, reason = "at most 100")]
        let percentage = percent_floor(self.done(), self.total) as f64;
        CampaignCounts {
            sent: Some(self.sent),
            total: Some(self.total),
            percentage: Some(percentage),
            failed: Some(self.failed),
        }
    }

    /// What came of it.
    pub fn stats(&self) -> CampaignStats {
        CampaignStats {
            total_recipients: Some(self.total),
            sent_count: Some(self.sent),
            delivered_count: Some(self.delivered),
            read_count: Some(self.read),
            failed_count: Some(self.failed),
            delivery_rate: Some(rate(self.delivered, self.sent)),
            read_rate: Some(rate(self.read, self.total)),
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidState> {
        let campaign: Self = state::read(bytes)?;
        // In this order no sum is too large.
        let is_possible = campaign.total <= RECIPIENTS_MAX
            && campaign.failed <= campaign.total
            && campaign.sent <= campaign.total - campaign.failed
            && campaign.delivered <= campaign.sent
            && campaign.read <= campaign.delivered;
        if !is_possible {
            let reason = "it counts more messages than there are";
            return Err(InvalidState::Impossible { reason });
        }
        Ok(campaign)
    }

    /// The campaign as the journal keeps it.
    pub fn to_bytes(&self) -> Bytes {
        state::write(self)
    }

    /// How many recipients have a result. Never falls.
    fn done(&self) -> u64 {
        self.sent + self.failed
    }

    fn is_at_mark(&self, every: u64) -> bool {
        let every = every.min(self.total / MARKS_MIN).max(1);
        self.done().is_multiple_of(every) || self.done() == self.total
    }

    fn complete_if_done(&mut self) -> Option<News> {
        (self.done() >= self.total && !self.phase.is_finished()).then(|| self.complete())
    }

    fn complete(&mut self) -> News {
        self.phase = Phase::Completed;
        News::Completed(self.stats())
    }
}

/// The state key of a campaign: `campaign:{id}`.
pub fn campaign_key(campaign: &Id) -> String {
    format!("campaign:{campaign}")
}

/// The state key of how far a message of a campaign was counted: `result:` and half a SHA-256, since
/// both ids together are too long for a key.
pub fn result_key(campaign: &Id, message: &MessageKey) -> String {
    let mut hash = Sha256::new();
    hash.update((campaign.as_str().len() as u64).to_be_bytes());
    hash.update(campaign.as_str());
    hash.update(message.as_str());
    let digest = hash.finalize();
    let hex = digest[..16]
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("result:{hex}")
}

/// How far a message was counted, as the journal keeps it: a version, and a letter.
pub fn result_to_bytes(progress: Progress) -> Bytes {
    let letter: &'static [u8; 2] = match progress {
        Progress::Queued => b"\x01Q",
        Progress::Sent => b"\x01S",
        Progress::Delivered => b"\x01D",
        Progress::Read => b"\x01R",
        Progress::Failed => b"\x01F",
    };
    Bytes::from_static(letter)
}

/// Reads what [`result_to_bytes`] wrote.
pub fn result_from_bytes(bytes: &[u8]) -> Option<Progress> {
    Some(match bytes {
        b"\x01Q" => Progress::Queued,
        b"\x01S" => Progress::Sent,
        b"\x01D" => Progress::Delivered,
        b"\x01R" => Progress::Read,
        b"\x01F" => Progress::Failed,
        _ => return None,
    })
}

/// Whether a message at `progress` counts among those that got at least so far.
fn reached(progress: Progress, least: Progress) -> bool {
    let rank = |progress| match progress {
        Progress::Failed | Progress::Queued => 0,
        Progress::Sent => 1,
        Progress::Delivered => 2,
        Progress::Read => 3,
    };
    rank(progress) >= rank(least)
}

/// The whole percents of `part` in `whole`, rounded down; 0 of nothing.
fn percent_floor(part: u64, whole: u64) -> u64 {
    (100 * part).checked_div(whole).unwrap_or(0)
}

/// The percents of `part` in `whole`, rounded to one decimal; 0 of nothing.
fn rate(part: u64, whole: u64) -> f64 {
    let tenths = (2_000 * part + whole).checked_div(2 * whole).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
    let tenths = tenths as f64;
    tenths / 10.0
}

/// Into how many parts a campaign is divided by its marks, at least: one at every 5 %.
const MARKS_MIN: u64 = 20;
/// Of how many events it is remembered that they were learned from.
const LEARNED_MAX: usize = 16;
/// How long at least it is from one `campaign:stats` to the next.
const STATS_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
