use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use switchboard_event::{Epoch, Offset, Position, Room, TenantId, Timestamp};

use crate::{Page, Query, ReadError, Record, TenantRoom};

/// What a partition holds, for checking what is asked of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extent {
    /// Which history.
    pub epoch: Epoch,
    /// The last offset that retention took; 0 if none.
    pub floor: Offset,
    /// The last offset written; 0 if none.
    pub head: Offset,
}

impl Extent {
    /// Checks that everything after `after` is still there.
    pub fn check(&self, after: Position) -> Result<(), ReadError> {
        if after.epoch != self.epoch {
            return Err(ReadError::OtherEpoch { epoch: self.epoch });
        }
        if after.offset > self.head {
            return Err(ReadError::Ahead { head: self.head });
        }
        if after.offset < self.floor {
            return Err(ReadError::Trimmed {
                oldest: self.floor.next(),
            });
        }
        Ok(())
    }

    /// The position of an offset of this history.
    pub fn position(&self, offset: Offset) -> Position {
        Position {
            epoch: self.epoch,
            offset,
        }
    }
}

/// The page of a query while it is being filled.
#[derive(Debug)]
pub struct PageBuilder {
    through: Offset,
    records_max: usize,
    payload_max: usize,
    now: Timestamp,
    records: Vec<Arc<Record>>,
    payload: usize,
    next: Option<Position>,
}

impl PageBuilder {
    /// An empty page of a query that reads up to `through`.
    pub fn new(query: &Query, through: Offset) -> Self {
        Self {
            through,
            records_max: query.records_max(),
            payload_max: query.payload_max(),
            now: query.now,
            records: Vec::new(),
            payload: 0,
            next: None,
        }
    }

    /// Takes a record that the query wants, unless it expired or the page is full.
    ///
    /// Breaks once nothing more may come.
    pub fn offer(&mut self, record: Arc<Record>) -> ControlFlow<()> {
        if record.event.expires_at().is_some_and(|end| end <= self.now) {
            return ControlFlow::Continue(());
        }
        let payload = self.payload + record.event.data().len();
        if let Some(last) = self.records.last()
            && payload > self.payload_max
        {
            self.next = Some(last.position);
            return ControlFlow::Break(());
        }
        let position = record.position;
        self.payload = payload;
        self.records.push(record);
        if self.records.len() < self.records_max {
            return ControlFlow::Continue(());
        }
        self.next = (position.offset < self.through).then_some(position);
        ControlFlow::Break(())
    }

    /// The page as it is.
    pub fn finish(self) -> Page {
        Page {
            records: self.records,
            next: self.next,
        }
    }
}

/// The rooms of a query, for looking records up in.
#[derive(Debug)]
pub(crate) struct RoomSet(HashMap<TenantId, HashSet<Room>>);

impl RoomSet {
    pub(crate) fn new(rooms: &[TenantRoom]) -> Self {
        let mut tenants: HashMap<TenantId, HashSet<Room>> = HashMap::new();
        for TenantRoom { tenant, room } in rooms {
            tenants
                .entry(tenant.clone())
                .or_default()
                .insert(room.clone());
        }
        Self(tenants)
    }

    pub(crate) fn wants(&self, record: &Record) -> bool {
        let Some(rooms) = self.0.get(record.event.tenant()) else {
            return false;
        };
        record
            .event
            .audience()
            .rooms
            .iter()
            .any(|room| rooms.contains(room))
    }
}

/// Checks a query and says up to where it reads; `None` if there is nothing to read.
pub fn admit(query: &Query, extent: &Extent) -> Result<Option<Offset>, ReadError> {
    if query.rooms.len() > Query::ROOMS_MAX {
        let (count, count_max) = (query.rooms.len(), Query::ROOMS_MAX);
        return Err(ReadError::TooMany { count, count_max });
    }
    extent.check(query.after)?;
    let through = query.through.min(extent.head);
    let is_empty = query.rooms.is_empty() || through <= query.after.offset;
    Ok((!is_empty).then_some(through))
}
