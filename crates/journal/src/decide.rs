use std::collections::HashMap;

use switchboard_event::{EventId, Offset, TenantId, Timestamp};

use crate::{AppendError, Batch, Change, Expect, Key, Partition, Version};

/// What a journal must know to decide about a batch.
pub(crate) trait Facts {
    /// Why it cannot be known.
    type Error;

    /// The record that has this event id already.
    fn known(
        &mut self,
        partition: Partition,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<Known>, Self::Error>;

    /// The version of a key's value, if it has one that has not expired.
    fn version(
        &mut self,
        tenant: &TenantId,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Version>, Self::Error>;
}

/// An event id that was used, where, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) offset: Offset,
    pub(crate) fingerprint: [u8; 16],
}

/// What is to be written of a batch that was found good.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// For each event of the batch: where it is or goes.
    pub(crate) places: Vec<Place>,
    /// Whether the key changes happen.
    pub(crate) change: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// A record to be written.
    New(Offset),
    /// A duplicate of that record.
    Old(Offset),
}

impl Plan {
    /// Whether this change of the batch happens.
    pub(crate) fn makes(&self, change: &Change) -> bool {
        let is_new = |index| matches!(self.places.get(index), Some(Place::New(_)));
        self.change && change.event.is_none_or(is_new)
    }

    /// Whether nothing needs to be written.
    pub(crate) fn is_empty(&self, batch: &Batch) -> bool {
        let no_events = !self
            .places
            .iter()
            .any(|place| matches!(place, Place::New(_)));
        no_events && (!self.change || batch.changes().is_empty())
    }
}

/// Why a batch is not written.
#[derive(Debug)]
pub(crate) enum Refusal<E> {
    /// The batch's own fault.
    Batch(AppendError),
    /// The storage could not answer.
    Storage(E),
}

impl<E> From<E> for Refusal<E> {
    fn from(error: E) -> Self {
        Self::Storage(error)
    }
}

/// Decides about a whole batch before anything of it is written: the one place where duplicates
/// and expectations are judged, for every journal of one process.
pub(crate) fn decide<F: Facts>(
    batch: &Batch,
    head: Offset,
    now: Timestamp,
    facts: &mut F,
) -> Result<Plan, Refusal<F::Error>> {
    let places = place(batch, head, facts)?;
    let is_new = |place: &Place| matches!(place, Place::New(_));
    // All events are known: this is a retry, and the changes happened with the first attempt.
    let change = places.is_empty() || places.iter().any(is_new);
    let plan = Plan { places, change };
    expect(batch, &plan, now, facts)?;
    Ok(plan)
}

fn place<F: Facts>(
    batch: &Batch,
    head: Offset,
    facts: &mut F,
) -> Result<Vec<Place>, Refusal<F::Error>> {
    let mut places = Vec::with_capacity(batch.events().len());
    let mut next = head.next();
    let mut within: HashMap<&EventId, Known> = HashMap::new();
    for (index, event) in batch.events().iter().enumerate() {
        let known = match within.get(event.id()) {
            Some(known) => Some(*known),
            None => known(batch, event.id(), facts)?,
        };
        let fingerprint = event.fingerprint();
        places.push(match known {
            Some(known) if known.fingerprint == fingerprint => Place::Old(known.offset),
            Some(_) => {
                let id = event.id().clone();
                return Err(Refusal::Batch(AppendError::IdReused { index, id }));
            }
            None => {
                within.insert(
                    event.id(),
                    Known {
                        offset: next,
                        fingerprint,
                    },
                );
                let place = Place::New(next);
                next = next.next();
                place
            }
        });
    }
    Ok(places)
}

/// Where an event is, also if its payload is gone.
fn known<F: Facts>(batch: &Batch, id: &EventId, facts: &mut F) -> Result<Option<Known>, F::Error> {
    let (partition, tenant) = (batch.partition(), batch.tenant());
    match facts.known(partition, tenant, id)? {
        Some(known) => Ok(Some(known)),
        None => facts.known(partition, tenant, &id.of_tombstone(tenant)),
    }
}

fn expect<F: Facts>(
    batch: &Batch,
    plan: &Plan,
    now: Timestamp,
    facts: &mut F,
) -> Result<(), Refusal<F::Error>> {
    for change in batch.changes().iter().filter(|change| plan.makes(change)) {
        let holds = match change.expect {
            Expect::Anything => true,
            Expect::Absent => facts.version(batch.tenant(), &change.key, now)?.is_none(),
            Expect::Version(version) => {
                facts.version(batch.tenant(), &change.key, now)? == Some(version)
            }
        };
        if !holds {
            return Err(Refusal::Batch(AppendError::Conflict {
                key: change.key.clone(),
            }));
        }
    }
    Ok(())
}
