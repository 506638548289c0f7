//! How far a message got. Never downgraded; the same again is silent; a failure can be overcome.

use serde::{Deserialize, Serialize};

use crate::payload::MessageStatus;

/// How far a message got: a rank, or that it failed, which is beside the ranks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub enum Progress {
    /// It waits to be sent.
    Queued,
    /// WhatsApp has it.
    Sent,
    /// The recipient's device has it.
    Delivered,
    /// The recipient has seen it, or heard it, which is the same.
    Read,
    /// It could not be sent.
    Failed,
}

/// What it is to a message that somebody tells its status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It changes the status. Steps may have been left out: whoever reads has been delivered to.
    News,
    /// The status is this already.
    Known,
    /// The message is further than this. Sources tell in any order.
    Overtaken,
}

impl Progress {
    /// The progress that a status of the contract names.
    pub fn of(status: &MessageStatus) -> Option<Self> {
        Some(match status {
            MessageStatus::Queued => Self::Queued,
            MessageStatus::Sent => Self::Sent,
            MessageStatus::Delivered => Self::Delivered,
            MessageStatus::Read => Self::Read,
            MessageStatus::Failed => Self::Failed,
            MessageStatus::Other(_) => return None,
        })
    }

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Sent => "Sent",
            Self::Delivered => "Delivered",
            Self::Read => "Read",
            Self::Failed => "Failed",
        }
    }

    /// What it is that a message, which got as far as `now` as far as is known, is told to be at
    /// `self`.
    ///
    /// A failure counts only for what was not delivered, whatever a gateway says afterwards. What
    /// follows a failure is a retry, or proof that there was none.
    pub fn after(self, now: Option<Self>) -> Verdict {
        let Some(now) = now else {
            return Verdict::News;
        };
        let is_news = match (now, self) {
            (now, told) if now == told => return Verdict::Known,
            (Self::Failed, _) => true,
            (now, Self::Failed) => now.rank() <= Self::Sent.rank(),
            (now, told) => told.rank() > now.rank(),
        };
        if is_news {
            Verdict::News
        } else {
            Verdict::Overtaken
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Queued => 1,
            Self::Sent => 2,
            Self::Delivered => 3,
            Self::Read => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Progress::{Delivered, Failed, Queued, Read, Sent};
    use super::Verdict::{Known, News, Overtaken};
    use super::*;

    const ALL: [Progress; 5] = [Queued, Sent, Delivered, Read, Failed];

    #[test]
    fn every_pair_of_statuses_has_its_verdict() {
        let verdicts = [
            (Queued, [Known, News, News, News, News]),
            (Sent, [Overtaken, Known, News, News, News]),
            (Delivered, [Overtaken, Overtaken, Known, News, Overtaken]),
            (Read, [Overtaken, Overtaken, Overtaken, Known, Overtaken]),
            (Failed, [News, News, News, News, Known]),
        ];
        for (now, row) in verdicts {
            assert_eq!(ALL.map(|told| told.after(Some(now))), row, "{now:?}");
        }
        assert_eq!(ALL.map(|told| told.after(None)), [News; 5]);
    }
}
