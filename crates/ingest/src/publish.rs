//! The one way in: drafts are accepted, find their audience, and are appended.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard_event::machine::campaign::News;
use switchboard_event::{
    Accepted, Catalogue, Context, Draft, Event, EventId, FleetingEvent, Id, Maker, TenantId,
    Timestamp,
};
use switchboard_journal::{
    AppendError, Appended, Batch, Change, Fleeting, InvalidBatch, Journal, Partition,
};
use tracing::error;

use crate::alarms::Alarm;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::messages::Messages;
use crate::outcome::{Published, Refusal, Refused, Unavailable};
use crate::queue::{Attempt, Pending, Queue};
use crate::receipts;
use crate::source::Item;
use crate::stage::{self, Details};
use crate::stats::IngestStats;
use crate::tally::{Tallied, Tally};

/// Accepts and appends drafts of one tenant.
pub(crate) struct Publication<'a> {
    pub(crate) ingest: &'a Ingest,
    pub(crate) journal: &'a dyn Journal,
    pub(crate) fleeting: &'a dyn Fleeting,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) config: &'a Config,
    pub(crate) stats: &'a IngestStats,
    pub(crate) tenant: &'a TenantId,
    pub(crate) now: Timestamp,
    pub(crate) maker: Maker,
}

impl Publication<'_> {
    /// One outcome per draft, in order. The drafts of an item are appended together or not at all;
    /// good items go into as few batches as the limits of a batch allow.
    pub(crate) async fn run(&self, items: Vec<Item>) -> Vec<Result<Published, Refused>> {
        let mut queue = self.accept(items);
        let mut attempt = Attempt::default();
        while !queue.pending.is_empty() {
            let take = queue.fitting(attempt.drafts_max);
            let campaigns = queue.campaigns(take, self.maker);
            let _turns = self.ingest.turns().take(self.tenant, &campaigns).await;
            let published = match self.plan(&mut queue, take).await {
                Ok(Some(plan)) => self.append(plan).await,
                Ok(None) => continue,
                Err(unavailable) => Err(Failure::Unavailable(unavailable)),
            };
            match published {
                Ok(published) => {
                    queue.settle(take, published);
                    attempt = Attempt {
                        reuses: attempt.reuses,
                        ..Attempt::default()
                    };
                }
                Err(failure) => attempt.recover(failure, take, &mut queue),
            }
        }
        queue.outcomes()
    }

    /// Checks every draft. One that is refused takes the rest of its item with it.
    fn accept(&self, items: Vec<Item>) -> Queue {
        let mut queue = Queue::default();
        for Item { fact, drafts } in items {
            let place = queue.outcomes.len();
            queue.outcomes.resize_with(place + drafts.len(), || None);
            let ids: Vec<_> = drafts.iter().map(|draft| draft.id.clone()).collect();
            let accepted: Result<Vec<_>, _> = drafts
                .into_iter()
                .map(|draft| self.accept_one(draft))
                .collect();
            match accepted {
                Ok(accepted) => {
                    let places: Vec<_> = (place..).take(ids.len()).collect();
                    let item = Pending {
                        places,
                        fact,
                        ids,
                        accepted,
                    };
                    self.pass_on(item, &mut queue);
                }
                Err(refusal) => queue.refuse((place..).zip(ids), &refusal),
            }
        }
        queue
    }

    /// Passes on what is so for a moment, and queues the rest of the item.
    fn pass_on(&self, item: Pending, queue: &mut Queue) {
        let mut rest = Pending {
            fact: item.fact,
            ..Pending::default()
        };
        let drafts = item.places.into_iter().zip(item.ids).zip(item.accepted);
        for ((place, draft_id), accepted) in drafts {
            let Accepted::Fleeting(event) = accepted else {
                rest.places.push(place);
                rest.ids.push(draft_id);
                rest.accepted.push(accepted);
                continue;
            };
            let published = Published {
                id: event.id().clone(),
                position: None,
                duplicate: false,
            };
            let event = FleetingEvent::of(event, PRODUCERS.clone());
            let partition = self.journal.partitions().of(self.tenant);
            self.fleeting.send(partition, Arc::new(event));
            queue.outcomes[place] = Some(Ok(published));
        }
        if !rest.places.is_empty() {
            queue.pending.push_back(rest);
        }
    }

    fn accept_one(&self, mut draft: Draft) -> Result<Accepted, Refusal> {
        // The catalogue lets drafts choose among all tenants, but here it is chosen already.
        let tenant = draft
            .tenant
            .get_or_insert_with(|| self.tenant.as_str().to_owned());
        if tenant != self.tenant.as_str() {
            return Err(Refusal::OtherTenant);
        }
        let context = Context {
            tenant: self.tenant.clone(),
            fresh_id: fresh_id()?,
            at: self.now,
            maker: self.maker,
        };
        let has_id = draft.id.is_some();
        let accepted = self.catalogue.accept(draft, context)?;
        if self.tenant.is_everyone() && !has_id {
            return Err(Refusal::IdRequired);
        }
        Ok(accepted)
    }

    /// Finds the audience of the first `take` items, and what the journal is to remember of them.
    ///
    /// None if some of them were refused, which makes others the first.
    async fn plan(&self, queue: &mut Queue, take: usize) -> Result<Option<Plan>, Unavailable> {
        let next = || queue.pending.iter().take(take);
        let keys = next().flat_map(Pending::message_keys);
        let mut messages = Messages::read(self.journal, self.tenant, keys, self.now).await?;
        let mut tally = self.tally(queue, take).await?;
        let mut events = Vec::new();
        let mut refused = Vec::new();
        for (index, item) in next().enumerate() {
            match item.events(&mut messages, &mut tally, self.maker) {
                Ok(found) => events.extend(found),
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        if refused.is_empty() {
            let mut plan = Plan {
                changes: messages.changes(self.now, self.config.message_retention),
                events,
                alarms: Vec::new(),
            };
            self.stage(tally.finish(self.now), &Details::default(), &mut plan)?;
            self.show(&mut plan);
            let receipts = receipts::changes(&plan.events, self.config.receipt_retention);
            plan.changes.extend(receipts);
            return Ok(Some(plan));
        }
        for (index, refusal) in refused.into_iter().rev() {
            queue.refuse_pending(index, &refusal);
        }
        Ok(None)
    }

    /// The campaigns that the first `take` items count for.
    async fn tally(&self, queue: &Queue, take: usize) -> Result<Tally, Unavailable> {
        let campaigns = queue.campaigns(take, self.maker);
        let items = queue.pending.iter().take(take);
        let facts = items.flat_map(|item| item.statuses(self.maker));
        let messages: Vec<_> = facts
            .filter_map(|fact| Some((fact.campaign.clone()?, fact.message.clone())))
            .collect();
        let every = self.config.campaign_progress_every;
        let (journal, tenant) = (self.journal, self.tenant);
        Tally::read(journal, tenant, &campaigns, &messages, every, self.now).await
    }

    /// Adds to a plan what came of its campaigns. What the settings give no audience is not told, but
    /// counts.
    pub(crate) fn stage(
        &self,
        tallied: Tallied,
        details: &Details,
        plan: &mut Plan,
    ) -> Result<(), Unavailable> {
        plan.changes.extend(tallied.changes);
        for (campaign, news) in tallied.news {
            match self.campaign_event(campaign, news, details) {
                Ok(event) => plan.events.push(event),
                Err(Refusal::Unavailable(unavailable)) => return Err(unavailable),
                Err(refusal) => error!(code = refusal.code(), "an event of ours has no audience"),
            }
        }
        for (campaign, news, at) in tallied.later {
            if let Ok(event) = self.campaign_event(campaign.clone(), news, details) {
                let retention = self.config.snapshot_retention;
                let changes = stage::snapshot_change(&event, self.now, retention);
                plan.changes.extend(changes);
            }
            let alarm = Alarm::Campaign(self.tenant.clone(), campaign);
            plan.alarms.push((alarm, at));
        }
        Ok(())
    }

    /// Adds what the events of a plan change of snapshots.
    pub(crate) fn show(&self, plan: &mut Plan) {
        let retention = self.config.snapshot_retention;
        let changes = stage::snapshot_changes(&plan.events, self.now, retention);
        plan.changes.extend(changes);
    }

    fn campaign_event(
        &self,
        campaign: Id,
        news: News,
        details: &Details,
    ) -> Result<Event, Refusal> {
        let draft = stage::campaign_draft(campaign, news, details)?;
        stage::event(self.catalogue, self.tenant, draft, self.now)
    }

    pub(crate) async fn append(&self, plan: Plan) -> Result<Vec<Published>, Failure> {
        let alarms = plan.alarms.clone();
        for (alarm, _) in &alarms {
            self.ingest.note(alarm).await;
        }
        let ids: Vec<_> = plan.events.iter().map(|event| event.id().clone()).collect();
        let appended = self.append_everywhere(plan).await?;
        let published = |(
            id,
            Appended {
                position,
                duplicate,
            },
        )| Published {
            id,
            position: Some(position),
            duplicate,
        };
        for (alarm, at) in alarms {
            self.ingest.alarms().ring_at(alarm, at);
        }
        Ok(ids.into_iter().zip(appended).map(published).collect())
    }

    /// Appends to the tenant's partition, or to each if every tenant is to hear it.
    async fn append_everywhere(&self, plan: Plan) -> Result<Vec<Appended>, Failure> {
        let partitions = self.journal.partitions();
        if !self.tenant.is_everyone() {
            return self.append_to(partitions.of(self.tenant), plan).await;
        }
        // If this fails in the middle, the same ids find again what had happened.
        let mut first = None;
        for partition in partitions.all() {
            let appended = self.append_to(partition, plan.clone()).await?;
            first.get_or_insert(appended);
        }
        Ok(first.unwrap_or_default())
    }

    async fn append_to(&self, partition: Partition, plan: Plan) -> Result<Vec<Appended>, Failure> {
        let batch = Batch::new(partition, self.tenant.clone(), plan.events, plan.changes)?;
        let begin = Instant::now();
        let appended = self.journal.append(batch, self.now).await;
        self.stats.append(begin.elapsed());
        Ok(appended?)
    }
}

/// What one append does, and what is to be looked at after it.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Event>,
    pub(crate) changes: Vec<Change>,
    pub(crate) alarms: Vec<(Alarm, Timestamp)>,
}

/// Why an append did not happen.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    TooLong,
    Conflict,
    IdReused { event: usize },
    Unavailable(Unavailable),
}

impl From<InvalidBatch> for Failure {
    fn from(invalid: InvalidBatch) -> Self {
        match invalid {
            InvalidBatch::TooManyEvents { .. }
            | InvalidBatch::TooManyChanges { .. }
            | InvalidBatch::TooLong { .. } => Self::TooLong,
            InvalidBatch::OtherTenant { .. }
            | InvalidBatch::NoSuchEvent { .. }
            | InvalidBatch::StateOfEveryone => {
                error!(error = %invalid, "made a batch that is none");
                Self::Unavailable(Unavailable::Failing)
            }
        }
    }
}

impl From<AppendError> for Failure {
    fn from(failure: AppendError) -> Self {
        match failure {
            AppendError::Conflict { .. } => Self::Conflict,
            AppendError::IdReused { index, .. } => Self::IdReused { event: index },
            AppendError::Overloaded => Self::Unavailable(Unavailable::Overloaded),
            AppendError::Closed => Self::Unavailable(Unavailable::Closed),
            AppendError::WrongPartition { .. } | AppendError::Unavailable { .. } => {
                error!(error = %failure, "could not append");
                Self::Unavailable(Unavailable::Failing)
            }
        }
    }
}

/// An id for an event whose producer gave none: 120 random bits in 20 characters.
pub(crate) fn fresh_id() -> Result<EventId, Unavailable> {
    let mut bytes = [0; FRESH_ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| Unavailable::NoRandomness)?;
    let id = URL_SAFE_NO_PAD.encode(bytes);
    Ok(id
        .parse()
        .expect("base64url has neither white space nor control characters"))
}

/// As whom producers speak of what is so for a moment: any of them may end what another began.
static PRODUCERS: LazyLock<Id> = LazyLock::new(|| "producers".parse().expect("a word is an id"));
const FRESH_ID_BYTES: usize = 15;
/// How often a batch is tried again because others changed the same state at the same time.
pub(crate) const CONFLICTS_MAX: usize = 8;
