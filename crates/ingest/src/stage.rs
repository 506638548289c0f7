//! From what a machine tells to events: drafted, accepted, and with what they change of snapshots.

use std::time::Duration;

use serde::Serialize;
use switchboard_event::machine::campaign::News;
use switchboard_event::payload::{
    CampaignCompleted, CampaignFailed, CampaignPaused, CampaignProgress, CampaignResumed,
    CampaignStarted, CampaignStatsUpdate, CampaignSummary,
};
use switchboard_event::snapshot::{self, Kept};
use switchboard_event::{
    Accepted, Catalogue, Context, Draft, Event, Id, Maker, Payload, TenantId, Timestamp,
};
use switchboard_journal::{Change, Expect, Key};
use tracing::error;

use crate::outcome::{Refusal, Unavailable};
use crate::publish::fresh_id;

/// What its producer says of a campaign, beside what is counted.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) name: Option<String>,
    pub(crate) total: Option<u64>,
    pub(crate) error: Option<String>,
}

/// The draft that tells this of a campaign.
pub(crate) fn campaign_draft(
    campaign_id: Id,
    news: News,
    details: &Details,
) -> Result<Draft, Refusal> {
    let timestamp = None;
    match news {
        News::Started => draft(&CampaignStarted {
            campaign_id,
            campaign: Some(CampaignSummary {
                name: details.name.clone(),
                total_recipients: details.total,
            }),
            timestamp,
        }),
        News::Paused => draft(&CampaignPaused {
            campaign_id,
            timestamp,
        }),
        News::Resumed => draft(&CampaignResumed {
            campaign_id,
            timestamp,
        }),
        News::Failed => draft(&CampaignFailed {
            campaign_id,
            error: details.error.clone(),
            timestamp,
        }),
        News::Progress(progress) => draft(&CampaignProgress {
            campaign_id,
            progress: Some(progress),
            timestamp,
        }),
        News::Completed(stats) => draft(&CampaignCompleted {
            campaign_id,
            stats: Some(stats),
            timestamp,
        }),
        News::Stats(stats) => draft(&CampaignStatsUpdate {
            campaign_id,
            stats: Some(stats),
            timestamp,
        }),
    }
}

pub(crate) fn draft<P: Payload + Serialize>(payload: &P) -> Result<Draft, Refusal> {
    Draft::of(payload).map_err(|failure| {
        error!(error = %failure, event = P::EVENT, "could not write a payload of ours");
        Unavailable::Failing.into()
    })
}

/// Makes an event of a draft of ours. The settings may give it an audience that it cannot have.
pub(crate) fn event(
    catalogue: &Catalogue,
    tenant: &TenantId,
    draft: Draft,
    now: Timestamp,
) -> Result<Event, Refusal> {
    let context = Context {
        tenant: tenant.clone(),
        fresh_id: fresh_id()?,
        at: now,
        maker: Maker::Mapping,
    };
    match catalogue.accept(draft, context)? {
        Accepted::Event(accepted) => Ok(accepted.event),
        Accepted::NeedsMessage(needs) => Ok(needs.resolve(None)?),
        Accepted::Fleeting(event) => Ok(event),
    }
}

/// What the events of a batch change of snapshots: each change goes with its event.
pub(crate) fn snapshot_changes(
    events: &[Event],
    now: Timestamp,
    retention: Duration,
) -> impl Iterator<Item = Change> {
    let of_tenant = events
        .iter()
        .enumerate()
        .filter(|(_, event)| !event.tenant().is_everyone());
    of_tenant.flat_map(move |(index, event)| {
        snapshot_change(event, now, retention).map(move |change| Change {
            event: Some(index),
            ..change
        })
    })
}

/// What `event` would change of snapshots, also if it is not told.
pub(crate) fn snapshot_change(
    event: &Event,
    now: Timestamp,
    retention: Duration,
) -> impl Iterator<Item = Change> {
    let changes = snapshot::changes(event).into_iter();
    changes.map(move |change| Change {
        key: snapshot_key(change.key.as_str()),
        expect: Expect::Anything,
        expires_at: match change.kept {
            Kept::Always => None,
            Kept::ForAWhile => now.checked_add(retention),
            Kept::Until(end) => Some(end),
        },
        value: change.value,
        event: None,
    })
}

/// The key as journals have it.
pub(crate) fn snapshot_key(key: &str) -> Key {
    key.parse()
        .expect("a room with a prefix is shorter than a key may be")
}
