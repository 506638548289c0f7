//! The drafts of a publication that are not appended yet, and how the next append is tried.

use std::collections::{BTreeSet, VecDeque};

use switchboard_event::machine::campaign::Order;
use switchboard_event::{Accepted, Event, EventId, EventParts, Id, Maker, MessageFact};
use switchboard_journal::{Batch, Key};
use tracing::debug;

use crate::messages::{Messages, Told, journal_key, message_key};
use crate::outcome::{Published, Refusal, Refused, Unavailable};
use crate::publish::{CONFLICTS_MAX, Failure};
use crate::source::Fact;
use crate::tally::Tally;

/// Drafts on their way in.
#[derive(Default)]
pub(crate) struct Queue {
    /// What was accepted and is not appended yet, in order.
    pub(crate) pending: VecDeque<Pending>,
    /// One per draft.
    pub(crate) outcomes: Vec<Option<Result<Published, Refused>>>,
}

/// An item whose drafts were accepted.
#[derive(Default)]
pub(crate) struct Pending {
    /// Where the outcomes of its drafts go.
    pub(crate) places: Vec<usize>,
    /// What its source told.
    pub(crate) fact: Option<Fact>,
    /// The ids that the drafts came with.
    pub(crate) ids: Vec<Option<EventId>>,
    pub(crate) accepted: Vec<Accepted>,
}

impl Pending {
    /// The messages whose state decides about it.
    pub(crate) fn message_keys(&self) -> impl Iterator<Item = Key> {
        let told = self.fact.iter().map(|fact| journal_key(&fact.message));
        told.chain(self.accepted.iter().filter_map(message_key))
    }

    /// Its events for their audiences, unless its source has told them before. What they say counts
    /// for their campaigns.
    pub(crate) fn events(
        &self,
        messages: &mut Messages,
        tally: &mut Tally,
        maker: Maker,
    ) -> Result<Vec<Event>, Refusal> {
        let retries = match &self.fact {
            Some(fact) => messages.tell(fact).map_err(|Told| Refusal::Told)?,
            None => 0,
        };
        let events = self.accepted.iter();
        let events = events.map(|accepted| messages.event(accepted, maker));
        let events = events.map(|event| Ok(told_again(event?, retries)));
        let events: Vec<_> = events.collect::<Result<_, Refusal>>()?;
        if let (Maker::Mapping, Some(fact)) = (maker, &self.fact) {
            fact.status.iter().for_each(|fact| count(fact, tally));
        }
        if matches!(maker, Maker::Producer | Maker::Relay) {
            self.learn(messages, tally);
        }
        Ok(events)
    }

    /// Learns what its producer says. It goes out as published; what a gateway tells later is held
    /// to it.
    fn learn(&self, messages: &mut Messages, tally: &mut Tally) {
        for (accepted, id) in self.accepted.iter().zip(&self.ids) {
            // Of what has an id of its own, the journal may know already that it is a retry.
            let id = id.as_ref();
            if let Some(fact) = accepted.fact()
                && messages.learn(fact, id)
            {
                count(fact, tally);
            }
            if let Some((campaign, order)) = order_of(accepted) {
                tally.learn(&campaign, &order, id);
            }
        }
    }

    /// What it says of messages' statuses.
    pub(crate) fn statuses(&self, maker: Maker) -> impl Iterator<Item = &MessageFact> {
        let (of_source, of_drafts) = match maker {
            Maker::Mapping => (self.fact.as_ref(), [].iter()),
            Maker::Producer | Maker::Relay | Maker::Server => (None, self.accepted.iter()),
        };
        let of_source = of_source.and_then(|fact| fact.status.as_ref());
        of_source
            .into_iter()
            .chain(of_drafts.filter_map(Accepted::fact))
    }
}

impl Queue {
    /// How many items come first with no more than `drafts_max` drafts; at least one.
    pub(crate) fn fitting(&self, drafts_max: usize) -> usize {
        let mut drafts = 0;
        let fits = |item: &&Pending| {
            drafts += item.accepted.len();
            drafts <= drafts_max
        };
        self.pending.iter().take_while(fits).count().max(1)
    }

    /// The campaigns that the first `take` items are about, and those of their messages, each once.
    pub(crate) fn campaigns(&self, take: usize, maker: Maker) -> Vec<Id> {
        let items = || self.pending.iter().take(take);
        let facts = items().flat_map(|item| item.statuses(maker));
        let mut campaigns: BTreeSet<_> = facts.filter_map(|fact| fact.campaign.clone()).collect();
        if matches!(maker, Maker::Producer | Maker::Relay) {
            let accepted = items().flat_map(|item| &item.accepted);
            campaigns.extend(accepted.filter_map(order_of).map(|(campaign, _)| campaign));
        }
        campaigns.into_iter().collect()
    }

    /// How many drafts the first `take` items have.
    pub(crate) fn drafts(&self, take: usize) -> usize {
        self.pending
            .iter()
            .take(take)
            .map(|item| item.accepted.len())
            .sum()
    }

    /// Takes the first `take` items out: their events are durable now.
    pub(crate) fn settle(&mut self, take: usize, published: Vec<Published>) {
        let mut all = published.into_iter();
        for Pending { places, .. } in self.pending.drain(..take) {
            for (place, published) in places.into_iter().zip(all.by_ref()) {
                self.outcomes[place] = Some(Ok(published));
            }
        }
    }

    /// The item of the event with this index in the next batch, and how many drafts precede it.
    pub(crate) fn item_of(&self, event: usize) -> (usize, usize) {
        let mut before = 0;
        for (index, item) in self.pending.iter().enumerate() {
            if event < before + item.accepted.len() {
                return (index, before);
            }
            before += item.accepted.len();
        }
        (self.pending.len().saturating_sub(1), before)
    }

    pub(crate) fn refuse_pending(&mut self, index: usize, refusal: &Refusal) {
        if let Some(Pending { places, ids, .. }) = self.pending.remove(index) {
            self.refuse(places.into_iter().zip(ids), refusal);
        }
    }

    pub(crate) fn refuse_all(&mut self, refusal: &Refusal) {
        for Pending { places, ids, .. } in std::mem::take(&mut self.pending) {
            self.refuse(places.into_iter().zip(ids), refusal);
        }
    }

    pub(crate) fn refuse(
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

    pub(crate) fn outcomes(self) -> Vec<Result<Published, Refused>> {
        self.outcomes
            .into_iter()
            .map(|outcome| outcome.expect("what leaves the queue has an outcome"))
            .collect()
    }
}

/// How the next append is to be tried.
pub(crate) struct Attempt {
    pub(crate) drafts_max: usize,
    pub(crate) conflicts: usize,
    pub(crate) reuses: usize,
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
    pub(crate) fn recover(&mut self, failure: Failure, take: usize, queue: &mut Queue) {
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

/// Counts a status for the campaign of its message. What cannot count is an event all the same.
fn count(fact: &MessageFact, tally: &mut Tally) {
    let Some(campaign) = &fact.campaign else {
        return;
    };
    if let Err(refused) = tally.count(campaign, &fact.message, fact.status) {
        debug!(%campaign, code = refused.code(), "did not count a status");
    }
}

/// What an event says that a campaign does.
fn order_of(accepted: &Accepted) -> Option<(Id, Order)> {
    match accepted {
        Accepted::Event(accepted) => Order::told_by(&accepted.event),
        Accepted::NeedsMessage(_) | Accepted::Fleeting(_) => None,
    }
}

/// An event of a message that failed and was overcome so often: what was told before the failure
/// happens anew.
fn told_again(event: Event, retries: u32) -> Event {
    if retries == 0 {
        return event;
    }
    let parts = event.into_parts();
    let id = format!("{}:{retries}", parts.id).parse();
    let id = id.unwrap_or_else(|_| parts.id.clone());
    Event::from_parts(EventParts { id, ..parts })
}

/// How many reused ids are taken out of a request's batches before these are split.
const REUSES_MAX: usize = 8;
