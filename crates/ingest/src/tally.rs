//! The campaigns that a batch counts for: as they are stored, and as the batch will leave them.

use std::collections::HashMap;

use bytes::Bytes;
use switchboard_event::machine::campaign::{
    Campaign, CampaignRefused, News, Order, campaign_key, result_from_bytes, result_key,
    result_to_bytes,
};
use switchboard_event::machine::message::Progress;
use switchboard_event::{EventId, Id, MessageKey, TenantId, Timestamp};
use switchboard_journal::{Change, Expect, Journal, Key, VALUES_MAX, Value};
use tracing::warn;

use crate::messages::unavailable;
use crate::outcome::Unavailable;

/// Campaigns and how far their messages were counted, while a batch is made.
pub(crate) struct Tally {
    campaigns: HashMap<Id, Counted>,
    results: HashMap<Key, Reached>,
    /// After how many results there is a mark.
    every: u64,
}

#[derive(Default)]
struct Counted {
    stored: Option<Value>,
    campaign: Option<Campaign>,
    news: Vec<News>,
    is_changed: bool,
}

#[derive(Default)]
struct Reached {
    stored: Option<Value>,
    progress: Option<Progress>,
    /// When it is forgotten, if the batch changes it.
    changed_until: Option<Timestamp>,
}

/// What a batch makes of its campaigns.
#[derive(Default)]
pub(crate) struct Tallied {
    /// What is to be told.
    pub(crate) news: Vec<(Id, News)>,
    /// What is so now, without being told yet: for snapshots, and when it is to be told.
    pub(crate) later: Vec<(Id, News, Timestamp)>,
    /// What the journal is to remember, unless somebody else counts at the same time.
    pub(crate) changes: Vec<Change>,
}

impl Tally {
    /// Reads what the journal knows of these campaigns and messages of theirs.
    pub(crate) async fn read(
        journal: &dyn Journal,
        tenant: &TenantId,
        campaigns: &[Id],
        messages: &[(Id, MessageKey)],
        every: u64,
        now: Timestamp,
    ) -> Result<Self, Unavailable> {
        let mut tally = Self {
            campaigns: HashMap::new(),
            results: HashMap::new(),
            every,
        };
        let mut keys: Vec<_> = campaigns.iter().map(campaign_place).collect();
        let campaigns_len = keys.len();
        keys.extend(
            messages
                .iter()
                .map(|(id, message)| result_place(id, message)),
        );
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(VALUES_MAX) {
            let read = journal.values(tenant, keys, now).await;
            values.extend(read.map_err(|failure| unavailable(&failure))?);
        }
        let results = keys.split_off(campaigns_len);
        let mut values = values.into_iter();
        for (id, stored) in campaigns.iter().zip(values.by_ref()) {
            let campaign = stored.as_ref().and_then(read_campaign);
            let counted = Counted {
                stored,
                campaign,
                ..Counted::default()
            };
            tally.campaigns.insert(id.clone(), counted);
        }
        for (key, stored) in results.into_iter().zip(values) {
            let progress = stored
                .as_ref()
                .and_then(|value| result_from_bytes(&value.bytes));
            let reached = Reached {
                stored,
                progress,
                changed_until: None,
            };
            tally.results.insert(key, reached);
        }
        Ok(tally)
    }

    /// Counts that a message of a campaign got so far. Says whether that was news.
    pub(crate) fn count(
        &mut self,
        id: &Id,
        message: &MessageKey,
        told: Progress,
    ) -> Result<bool, CampaignRefused> {
        let counted = self.campaigns.entry(id.clone()).or_default();
        let campaign = counted.campaign.as_mut().ok_or(CampaignRefused::Unknown)?;
        let reached = self.results.entry(result_place(id, message)).or_default();
        let is_news = campaign.count(reached.progress, told, self.every, &mut counted.news)?;
        if is_news {
            counted.is_changed = true;
            reached.progress = Some(told);
            reached.changed_until = Some(campaign.forgotten_at());
        }
        Ok(is_news)
    }

    /// Has a campaign that is known learn that its producer told everybody of it.
    pub(crate) fn learn(&mut self, id: &Id, order: &Order, event: Option<&EventId>) {
        if let Some(counted) = self.campaigns.get_mut(id)
            && let Some(campaign) = &mut counted.campaign
        {
            counted.is_changed |= campaign.learn(order, event);
        }
    }

    /// Has a campaign follow an order.
    pub(crate) fn order(
        &mut self,
        id: &Id,
        order: &Order,
        forgotten_at: Timestamp,
    ) -> Result<(), CampaignRefused> {
        let counted = self.campaigns.entry(id.clone()).or_default();
        let earlier = counted.campaign.clone();
        let (campaign, news) = Campaign::order(earlier, order, forgotten_at)?;
        counted.is_changed |= !news.is_empty();
        counted.campaign = Some(campaign);
        counted.news.extend(news);
        Ok(())
    }

    /// Looks whether a campaign has something to tell that had to wait.
    pub(crate) fn revisit(&mut self, id: &Id) {
        if let Some(counted) = self.campaigns.get_mut(id) {
            counted.is_changed = counted.campaign.is_some();
        }
    }

    /// A campaign as the batch will leave it.
    pub(crate) fn campaign(&self, id: &Id) -> Option<&Campaign> {
        self.campaigns.get(id)?.campaign.as_ref()
    }

    /// What comes of it all.
    pub(crate) fn finish(self, now: Timestamp) -> Tallied {
        let mut tallied = Tallied::default();
        for (id, counted) in self.campaigns {
            let Counted {
                stored,
                campaign: Some(mut campaign),
                news,
                is_changed: true,
            } = counted
            else {
                continue;
            };
            tallied.tell(&id, news);
            match campaign.stats_due(now) {
                Ok(news) => tallied.news.extend(news.map(|news| (id.clone(), news))),
                Err(at) => {
                    let stats = News::Stats(campaign.stats());
                    tallied.later.push((id.clone(), stats, at));
                }
            }
            let end = campaign.forgotten_at();
            let key = campaign_place(&id);
            tallied.put(key, stored, campaign.to_bytes(), end);
        }
        for (key, reached) in self.results {
            if let (Some(progress), Some(end)) = (reached.progress, reached.changed_until) {
                tallied.put(key, reached.stored, result_to_bytes(progress), end);
            }
        }
        tallied
    }
}

impl Tallied {
    /// Of very many marks in one batch only the last ones are told: each holds all of the ones
    /// before.
    fn tell(&mut self, id: &Id, news: Vec<News>) {
        let surplus = news.len().saturating_sub(NEWS_MAX);
        let kept = news.into_iter().skip(surplus);
        self.news.extend(kept.map(|news| (id.clone(), news)));
    }

    fn put(&mut self, key: Key, stored: Option<Value>, bytes: Bytes, end: Timestamp) {
        if stored.as_ref().is_some_and(|stored| stored.bytes == bytes) {
            return;
        }
        self.changes.push(Change {
            key,
            expect: stored.map_or(Expect::Absent, |stored| Expect::Version(stored.version)),
            value: Some(bytes),
            expires_at: Some(end),
            event: None,
        });
    }
}

/// A state that cannot be read is as good as none: a newer version of us wrote it.
fn read_campaign(stored: &Value) -> Option<Campaign> {
    Campaign::from_bytes(&stored.bytes)
        .inspect_err(|invalid| warn!(error = %invalid, "left out what is known of a campaign"))
        .ok()
}

fn campaign_place(id: &Id) -> Key {
    place(&campaign_key(id))
}

fn result_place(id: &Id, message: &MessageKey) -> Key {
    place(&result_key(id, message))
}

fn place(text: &str) -> Key {
    text.parse()
        .expect("an id with a prefix is shorter than a key may be")
}

/// The most that one batch tells of one campaign, beside its statistics.
const NEWS_MAX: usize = 100;
