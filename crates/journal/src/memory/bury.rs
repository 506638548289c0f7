use std::sync::Arc;

use switchboard_event::Timestamp;

use crate::batch::event_bytes;
use crate::erasure::{Companion, Traces, companions, is_of_kind};
use crate::memory::{MemoryJournal, State};
use crate::{EraseError, Erased, Key, Partition, Record, TenantRoom};

impl MemoryJournal {
    pub(super) fn erase_now(&self, room: &TenantRoom) -> Result<Erased, EraseError> {
        let TenantRoom { tenant, room } = room;
        let mut state = self.state.lock();
        if state.closed {
            return Err(EraseError::Closed);
        }
        let before = state.values.len();
        let mut erased = Erased::default();
        for index in 0..state.kept.len() {
            let record = Arc::clone(&state.kept[index].record);
            let event = &record.event;
            if event.tenant() == tenant && event.audience().rooms.contains(room) {
                for Companion { key, value } in companions(event) {
                    let place = (tenant.clone(), key_of(&key));
                    let stored = state.values.get(&place);
                    if stored.is_some_and(|stored| value.is_none_or(|value| value == stored.bytes))
                    {
                        state.forget_value(&place);
                    }
                }
                self.bury(&mut state, index);
                erased.records += 1;
            }
        }
        let traces = Traces::of(room);
        let is_trace = |((of, key), value): &(&(_, Key), &crate::Value)| {
            of == tenant && traces.are_in(key.as_str(), &value.bytes)
        };
        let named = state.values.iter().filter(is_trace);
        let named: Vec<_> = named.map(|(place, _)| place.clone()).collect();
        for place in named {
            state.forget_value(&place);
        }
        erased.values = (before - state.values.len()) as u64;
        Ok(erased)
    }

    /// Takes the payloads of records of kinds that are kept for less time.
    pub(super) fn sweep(&self, state: &mut State, now: Timestamp) {
        let rules = &self.config.retention_events;
        state.swept.resize(rules.len(), 0);
        for (number, rule) in rules.iter().enumerate() {
            let mut looked = state.swept[number].max(state.taken);
            while let Some(index) = usize::try_from(looked - state.taken).ok()
                && let Some(kept) = state.kept.get(index)
            {
                let event = &kept.record.event;
                let end = kept.appended_at.checked_add(rule.age);
                // Whose receipt is open is looked for when a node starts.
                let end = end.max(event.receipt_by());
                if end.is_none_or(|end| end > now) {
                    break;
                }
                looked += 1;
                if is_of_kind(rule, event.name()) && !event.is_tombstone() {
                    self.bury(state, index);
                }
            }
            state.swept[number] = looked;
        }
    }

    /// Puts its tombstone in the place of a record, here and in the ring.
    fn bury(&self, state: &mut State, index: usize) {
        let kept = &mut state.kept[index];
        let partition: Partition = kept.partition;
        let Record { position, event } = &*kept.record;
        let (position, tombstone) = (*position, event.tombstone());
        let place = |event: &switchboard_event::Event| {
            (partition, event.tenant().clone(), event.id().clone())
        };
        if let Some(known) = state.known.remove(&place(event)) {
            state.known.insert(place(&tombstone), known);
        }
        state.kept_bytes -= event_bytes(event);
        state.kept_bytes += event_bytes(&tombstone);
        kept.record = Arc::new(Record {
            position,
            event: tombstone,
        });
        self.rings[usize::from(partition.index())].bury(position.offset);
    }
}

fn key_of(text: &str) -> Key {
    text.parse()
        .expect("a key of an event is shorter than a key may be")
}
