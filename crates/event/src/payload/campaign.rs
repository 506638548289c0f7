//! Campaigns: one message to many contacts.

use crate::id::Id;
use crate::time::WireTime;

super::payload! {
    /// A campaign began to send.
    pub struct CampaignStarted {
        /// The campaign.
        pub campaign_id: Id,
        /// What is known of it at the start.
        pub campaign: Option<CampaignSummary>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// What is known of a campaign at its start.
    pub struct CampaignSummary {
        /// The name that people gave it.
        pub name: Option<String>,
        /// How many contacts it goes to.
        pub total_recipients: Option<u64>,
    }

    /// A campaign has come further.
    pub struct CampaignProgress {
        /// The campaign.
        pub campaign_id: Id,
        /// How far it is.
        pub progress: Option<CampaignCounts>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// How far a campaign is.
    pub struct CampaignCounts {
        /// Messages that were sent.
        pub sent: Option<u64>,
        /// Messages that there are to send.
        pub total: Option<u64>,
        /// What part of the total is done, 0 to 100.
        pub percentage: Option<f64>,
        /// Messages that could not be sent.
        pub failed: Option<u64>,
    }

    /// A campaign has sent everything.
    pub struct CampaignCompleted {
        /// The campaign.
        pub campaign_id: Id,
        /// What came of it.
        pub stats: Option<CampaignStats>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// What came of a campaign.
    pub struct CampaignStats {
        /// How many contacts it went to.
        pub total_recipients: Option<u64>,
        /// Messages that were sent.
        pub sent_count: Option<u64>,
        /// Messages that reached a device.
        pub delivered_count: Option<u64>,
        /// Messages that were read.
        pub read_count: Option<u64>,
        /// Messages that could not be sent.
        pub failed_count: Option<u64>,
        /// What part of the sent messages was delivered, 0 to 100.
        pub delivery_rate: Option<f64>,
        /// What part of the messages was read, 0 to 100.
        pub read_rate: Option<f64>,
    }

    /// What came of a campaign after its end. Ours.
    pub struct CampaignStatsUpdate {
        /// The campaign.
        pub campaign_id: Id,
        /// What has come of it so far.
        pub stats: Option<CampaignStats>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A campaign was halted for a while.
    pub struct CampaignPaused {
        /// The campaign.
        pub campaign_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A paused campaign goes on.
    pub struct CampaignResumed {
        /// The campaign.
        pub campaign_id: Id,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }

    /// A campaign ended early.
    pub struct CampaignFailed {
        /// The campaign.
        pub campaign_id: Id,
        /// Why.
        pub error: Option<String>,
        /// When it happened.
        pub timestamp: Option<WireTime>,
    }
}
