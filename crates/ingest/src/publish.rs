//! The one way in: drafts are accepted, find their audience, and are appended.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard_event::{
    Accepted, Catalogue, Context, Draft, Event, EventId, FleetingEvent, Id, Maker, TenantId,
    Timestamp,
};
use switchboard_journal::{
    AppendError, Appended, Batch, Change, Fleeting, InvalidBatch, Journal, Key, Partition,
};
use tracing::error;

use crate::config::Config;
use crate::messages::{Messages, Told, journal_key, message_key};
use crate::outcome::{Receipt, Refusal, Refused, Unavailable};
use crate::source::{Fact, Item};
use crate::stats::IngestStats;

/// Accepts and appends drafts of one tenant.
pub(crate) struct Publication<'a> {
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
    pub(crate) async fn run(&self, items: Vec<Item>) -> Vec<Result<Receipt, Refused>> {
        let mut queue = self.accept(items);
        let mut attempt = Attempt::default();
        while !queue.pending.is_empty() {
            let take = queue.fitting(attempt.drafts_max);
            let receipts = match self.plan(&mut queue, take).await {
                Ok(Some(plan)) => self.append(plan).await,
                Ok(None) => continue,
                Err(unavailable) => Err(Failure::Unavailable(unavailable)),
            };
            match receipts {
                Ok(receipts) => {
                    queue.settle(take, receipts);
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
            let receipt = Receipt {
                id: event.id().clone(),
                position: None,
                duplicate: false,
            };
            let event = FleetingEvent::of(event, PRODUCERS.clone());
            let partition = self.journal.partitions().of(self.tenant);
            self.fleeting.send(partition, Arc::new(event));
            queue.outcomes[place] = Some(Ok(receipt));
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
        let mut events = Vec::new();
        let mut refused = Vec::new();
        for (index, item) in next().enumerate() {
            match item.events(&mut messages, self.maker) {
                Ok(found) => events.extend(found),
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        if refused.is_empty() {
            let changes = messages.changes(self.now, self.config.message_retention);
            return Ok(Some(Plan { events, changes }));
        }
        for (index, refusal) in refused.into_iter().rev() {
            queue.refuse_pending(index, &refusal);
        }
        Ok(None)
    }

    async fn append(&self, plan: Plan) -> Result<Vec<Receipt>, Failure> {
        let ids: Vec<_> = plan.events.iter().map(|event| event.id().clone()).collect();
        let appended = self.append_everywhere(plan).await?;
        let receipt = |(
            id,
            Appended {
                position,
                duplicate,
            },
        )| Receipt {
            id,
            position: Some(position),
            duplicate,
        };
        Ok(ids.into_iter().zip(appended).map(receipt).collect())
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

/// Drafts on their way in.
#[derive(Default)]
struct Queue {
    /// What was accepted and is not appended yet, in order.
    pending: VecDeque<Pending>,
    /// One per draft.
    outcomes: Vec<Option<Result<Receipt, Refused>>>,
}

/// An item whose drafts were accepted.
#[derive(Default)]
struct Pending {
    /// Where the outcomes of its drafts go.
    places: Vec<usize>,
    /// What its source told.
    fact: Option<Fact>,
    /// The ids that the drafts came with.
    ids: Vec<Option<EventId>>,
    accepted: Vec<Accepted>,
}

impl Pending {
    /// The messages whose state decides about it.
    fn message_keys(&self) -> impl Iterator<Item = Key> {
        let told = self.fact.iter().map(|fact| journal_key(&fact.message));
        told.chain(self.accepted.iter().filter_map(message_key))
    }

    /// Its events for their audiences, unless its source has told them before.
    fn events(&self, messages: &mut Messages, maker: Maker) -> Result<Vec<Event>, Refusal> {
        if let Some(fact) = &self.fact {
            messages.tell(fact).map_err(|Told| Refusal::Told)?;
        }
        let events = self.accepted.iter();
        let events = events.map(|accepted| messages.event(accepted, maker));
        Ok(events.collect::<Result<_, _>>()?)
    }
}

impl Queue {
    /// How many items come first with no more than `drafts_max` drafts; at least one.
    fn fitting(&self, drafts_max: usize) -> usize {
        let mut drafts = 0;
        let fits = |item: &&Pending| {
            drafts += item.accepted.len();
            drafts <= drafts_max
        };
        self.pending.iter().take_while(fits).count().max(1)
    }

    /// How many drafts the first `take` items have.
    fn drafts(&self, take: usize) -> usize {
        self.pending
            .iter()
            .take(take)
            .map(|item| item.accepted.len())
            .sum()
    }

    /// Takes the first `take` items out: their events are durable now.
    fn settle(&mut self, take: usize, receipts: Vec<Receipt>) {
        let mut receipts = receipts.into_iter();
        for Pending { places, .. } in self.pending.drain(..take) {
            for (place, receipt) in places.into_iter().zip(receipts.by_ref()) {
                self.outcomes[place] = Some(Ok(receipt));
            }
        }
    }

    /// The item of the event with this index in the next batch, and how many drafts precede it.
    fn item_of(&self, event: usize) -> (usize, usize) {
        let mut before = 0;
        for (index, item) in self.pending.iter().enumerate() {
            if event < before + item.accepted.len() {
                return (index, before);
            }
            before += item.accepted.len();
        }
        (self.pending.len().saturating_sub(1), before)
    }

    fn refuse_pending(&mut self, index: usize, refusal: &Refusal) {
        if let Some(Pending { places, ids, .. }) = self.pending.remove(index) {
            self.refuse(places.into_iter().zip(ids), refusal);
        }
    }

    fn refuse_all(&mut self, refusal: &Refusal) {
        for Pending { places, ids, .. } in std::mem::take(&mut self.pending) {
            self.refuse(places.into_iter().zip(ids), refusal);
        }
    }

    fn refuse(
        &mut self,
        drafts: impl Iterator<Item = (usize, Option<EventId>)>,
        refusal: &Refusal,
    ) {
        for (place, id) in drafts {
            let refused = Refused {
                id,
                refusal: refusal.clone(),
            };
            self.outcomes[place] = Some(Err(refused));
        }
    }

    fn outcomes(self) -> Vec<Result<Receipt, Refused>> {
        self.outcomes
            .into_iter()
            .map(|outcome| outcome.expect("what leaves the queue has an outcome"))
            .collect()
    }
}

/// How the next append is to be tried.
struct Attempt {
    drafts_max: usize,
    conflicts: usize,
    reuses: usize,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            drafts_max: Batch::EVENTS_MAX,
            conflicts: 0,
            reuses: 0,
        }
    }
}

impl Attempt {
    /// Makes the next attempt another one: with less in it, or against newer state.
    fn recover(&mut self, failure: Failure, take: usize, queue: &mut Queue) {
        match failure {
            Failure::TooLong if take == 1 => queue.refuse_pending(0, &Refusal::TooLong),
            Failure::TooLong => self.drafts_max = queue.drafts(take) / 2,
            Failure::Conflict if self.conflicts < CONFLICTS_MAX => self.conflicts += 1,
            Failure::Conflict => queue.refuse_all(&Unavailable::Overloaded.into()),
            Failure::IdReused { event } => {
                let (index, before) = queue.item_of(event);
                queue.refuse_pending(index, &Refusal::IdReused);
                self.reuses += 1;
                // Each attempt looks again at everything before the next reused id. So after some
                // of them, what is known to be good goes first, in a batch of its own.
                if self.reuses > REUSES_MAX {
                    self.drafts_max = if before == 0 {
                        Batch::EVENTS_MAX
                    } else {
                        before
                    };
                }
            }
            Failure::Unavailable(unavailable) => queue.refuse_all(&unavailable.into()),
        }
    }
}

/// What one append does.
#[derive(Clone)]
struct Plan {
    events: Vec<Event>,
    changes: Vec<Change>,
}

/// Why an append did not happen.
#[derive(Clone, Copy)]
enum Failure {
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
            InvalidBatch::OtherTenant { .. } | InvalidBatch::StateOfEveryone => {
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
const CONFLICTS_MAX: usize = 8;
/// How many reused ids are taken out of a request's batches before these are split.
const REUSES_MAX: usize = 8;
