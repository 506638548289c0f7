//! The records that a ring holds, in order and by room.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use switchboard_event::{Offset, Room, TenantId};

use super::RingLimits;
use crate::batch::event_bytes;
use crate::{Record, TenantRoom};

/// Every record from some offset to the head, and which of them each room heard.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) floor: Offset,
    pub(super) head: Offset,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    /// The offsets of each room's records, in order: a quiet room is read without the rest.
    rooms: HashMap<TenantId, HashMap<Room, VecDeque<Offset>>>,
    /// Whether what the storage has of the time before was taken in, as far as there is space.
    pub(super) is_recalled: bool,
}

impl Window {
    pub(super) fn new(floor: Offset, head: Offset) -> Self {
        Self {
            floor,
            head,
            records: VecDeque::new(),
            bytes: 0,
            rooms: HashMap::new(),
            is_recalled: false,
        }
    }

    /// Takes the record that follows the head.
    pub(super) fn push(&mut self, record: Arc<Record>) {
        debug_assert_eq!(record.position.offset, self.head.next());
        self.head = record.position.offset;
        self.bytes += event_bytes(&record.event);
        self.enter(&record, |offsets, offset| {
            if offsets.back() != Some(&offset) {
                offsets.push_back(offset);
            }
        });
        self.records.push_back(record);
    }

    /// Takes the record that precedes the oldest one, if it does, is still kept and fits.
    pub(super) fn push_oldest(&mut self, record: Arc<Record>, limits: RingLimits) -> bool {
        let offset = record.position.offset;
        let precedes = match self.first() {
            Some(first) => offset.next() == first,
            None => offset == self.head,
        };
        let bytes = self.bytes + event_bytes(&record.event);
        let fits = self.records.len() < limits.records_max && bytes <= limits.bytes_max;
        if !precedes || !fits || offset <= self.floor {
            return false;
        }
        self.bytes = bytes;
        self.enter(&record, |offsets, offset| {
            if offsets.front() != Some(&offset) {
                offsets.push_front(offset);
            }
        });
        self.records.push_front(record);
        true
    }

    pub(super) fn shrink(&mut self, limits: RingLimits) {
        while self.records.len() > limits.records_max || self.bytes > limits.bytes_max {
            if !self.pop() {
                return;
            }
        }
    }

    pub(super) fn trim(&mut self, floor: Offset) {
        self.floor = self.floor.max(floor);
        while self.first().is_some_and(|first| first <= self.floor) {
            self.pop();
        }
    }

    /// How much more it may hold.
    pub(super) fn space(&self, limits: RingLimits) -> RingLimits {
        RingLimits {
            records_max: limits.records_max.saturating_sub(self.records.len()),
            bytes_max: limits.bytes_max.saturating_sub(self.bytes),
        }
    }

    /// The oldest record's offset.
    pub(super) fn first(&self) -> Option<Offset> {
        self.records.front().map(|record| record.position.offset)
    }

    /// The records from `offset` on, if it is here.
    pub(super) fn from(&self, offset: Offset) -> Option<impl Iterator<Item = &Arc<Record>>> {
        let start = self.index(offset)?;
        Some(self.records.range(start..))
    }

    /// The records within (`after`, `through`] that any of `rooms` heard, each once, at most
    /// `count_max`. All of the range must be here.
    pub(super) fn heard(
        &self,
        rooms: &[TenantRoom],
        after: Offset,
        through: Offset,
        count_max: usize,
    ) -> Vec<Arc<Record>> {
        let of_room = |room: &TenantRoom| {
            let offsets = self.rooms.get(&room.tenant)?.get(&room.room)?;
            let start = offsets.partition_point(|offset| *offset <= after);
            (start < offsets.len()).then_some((offsets, start))
        };
        let cursors: Vec<_> = rooms.iter().filter_map(of_room).collect();
        let front = cursors.iter().enumerate();
        let mut front: BinaryHeap<_> = front
            .map(|(cursor, (offsets, next))| Reverse((offsets[*next], cursor, *next)))
            .collect();
        let mut heard: Vec<Arc<Record>> = Vec::new();
        while heard.len() < count_max
            && let Some(Reverse((offset, cursor, next))) = front.pop()
            && offset <= through
        {
            if let Some(later) = cursors[cursor].0.get(next + 1) {
                front.push(Reverse((*later, cursor, next + 1)));
            }
            let is_new = heard
                .last()
                .is_none_or(|last| last.position.offset < offset);
            if is_new && let Some(index) = self.index(offset) {
                heard.push(Arc::clone(&self.records[index]));
            }
        }
        heard
    }

    /// Writes the record's offset down for each room that hears it.
    fn enter(&mut self, record: &Record, add: impl Fn(&mut VecDeque<Offset>, Offset)) {
        let (tenant, offset) = (record.event.tenant(), record.position.offset);
        let audience = record.event.audience();
        if audience.rooms.is_empty() {
            return;
        }
        if !self.rooms.contains_key(tenant) {
            self.rooms.insert(tenant.clone(), HashMap::new());
        }
        let Some(rooms) = self.rooms.get_mut(tenant) else {
            return;
        };
        for room in &audience.rooms {
            match rooms.get_mut(room) {
                Some(offsets) => add(offsets, offset),
                None => {
                    rooms.insert(room.clone(), VecDeque::from([offset]));
                }
            }
        }
    }

    /// Puts its tombstone in the place of a record that is here.
    pub(super) fn bury(&mut self, offset: Offset) {
        let Some(index) = self.index(offset) else {
            return;
        };
        let record = Arc::clone(&self.records[index]);
        // A tombstone's own tombstone would have another id.
        if record.event.is_tombstone() {
            return;
        }
        let (position, event) = (record.position, record.event.tombstone());
        self.bytes -= event_bytes(&record.event);
        self.bytes += event_bytes(&event);
        self.records[index] = Arc::new(Record { position, event });
        self.leave(&record);
    }

    fn pop(&mut self) -> bool {
        let Some(record) = self.records.pop_front() else {
            return false;
        };
        self.bytes -= event_bytes(&record.event);
        self.leave(&record);
        true
    }

    /// Takes the record's offset from each room that heard it.
    fn leave(&mut self, record: &Record) {
        let (tenant, offset) = (record.event.tenant(), record.position.offset);
        let Some(rooms) = self.rooms.get_mut(tenant) else {
            return;
        };
        for room in &record.event.audience().rooms {
            let Some(offsets) = rooms.get_mut(room) else {
                continue;
            };
            if offsets.front() == Some(&offset) {
                offsets.pop_front();
            } else if let Ok(index) = offsets.binary_search(&offset) {
                offsets.remove(index);
            }
            if offsets.is_empty() {
                rooms.remove(room);
            }
        }
        if rooms.is_empty() {
            self.rooms.remove(tenant);
        }
    }

    /// Where in the ring the record with this offset is.
    fn index(&self, offset: Offset) -> Option<usize> {
        let distance = offset.as_u64().checked_sub(self.first()?.as_u64())?;
        usize::try_from(distance)
            .ok()
            .filter(|index| *index < self.records.len())
    }
}
