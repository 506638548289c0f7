use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{Connection, OptionalExtension};
use switchboard_event::Offset;

use crate::disk::StorageError;
use crate::disk::row;
use crate::{Query, TenantRoom};

/// One entry of the index by room.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) seq: i64,
}

/// Walks the index of several rooms at once: in order of offsets, each record once.
///
/// Takes a few entries of each room at a time, so that neither the many rooms of a query nor the
/// long history of one of them is read beyond what the page needs.
pub(super) struct Merge {
    rooms: Vec<RoomCursor>,
    /// The next entry of each room that has one, and whose it is.
    front: BinaryHeap<Reverse<(Entry, usize)>>,
    last: Offset,
}

/// How far one room was read.
struct RoomCursor {
    id: i64,
    after: Offset,
    through: Offset,
    chunk: usize,
    entries: VecDeque<Entry>,
    is_done: bool,
}

impl Merge {
    pub(super) fn start(
        connection: &Connection,
        query: &Query,
        through: Offset,
    ) -> Result<Self, StorageError> {
        let after = query.after.offset;
        let chunk = (query.records_max() / query.rooms.len().max(1)).clamp(CHUNK_MIN, CHUNK_MAX);
        let mut merge = Self {
            rooms: Vec::new(),
            front: BinaryHeap::new(),
            last: after,
        };
        for room in &query.rooms {
            if let Some(id) = room_id(connection, query, room)? {
                let entries = VecDeque::new();
                merge.rooms.push(RoomCursor {
                    id,
                    after,
                    through,
                    chunk,
                    entries,
                    is_done: false,
                });
            }
        }
        for index in 0..merge.rooms.len() {
            merge.refill(connection, index)?;
        }
        Ok(merge)
    }

    pub(super) fn next(&mut self, connection: &Connection) -> Result<Option<Entry>, StorageError> {
        while let Some(Reverse((entry, index))) = self.front.pop() {
            self.refill(connection, index)?;
            if entry.offset > self.last {
                self.last = entry.offset;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn refill(&mut self, connection: &Connection, index: usize) -> Result<(), StorageError> {
        if let Some(entry) = self.rooms[index].next(connection)? {
            self.front.push(Reverse((entry, index)));
        }
        Ok(())
    }
}

impl RoomCursor {
    fn next(&mut self, connection: &Connection) -> Result<Option<Entry>, StorageError> {
        if self.entries.is_empty() && !self.is_done {
            self.read(connection)?;
        }
        Ok(self.entries.pop_front())
    }

    fn read(&mut self, connection: &Connection) -> Result<(), StorageError> {
        let mut select = connection.prepare_cached(
            "SELECT offset, seq FROM room_record WHERE room = ?1 AND offset > ?2 AND offset <= ?3 \
             ORDER BY offset LIMIT ?4",
        )?;
        let (after, through) = (self.after.as_u64(), self.through.as_u64());
        let bounds = (
            self.id,
            row::stored(after),
            row::stored(through),
            row::stored(self.chunk),
        );
        let mut rows = select.query(bounds)?;
        while let Some(row) = rows.next()? {
            self.after = row::offset(row.get(0)?);
            self.entries.push_back(Entry {
                offset: self.after,
                seq: row.get(1)?,
            });
        }
        self.is_done = self.entries.len() < self.chunk;
        Ok(())
    }
}

fn room_id(
    connection: &Connection,
    query: &Query,
    room: &TenantRoom,
) -> Result<Option<i64>, StorageError> {
    let mut select = connection
        .prepare_cached("SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3")?;
    let name = (
        query.partition.index(),
        room.tenant.as_str(),
        room.room.name(),
    );
    Ok(select.query_row(name, |row| row.get(0)).optional()?)
}

/// How many entries of a room are read at once: fewer where there are many rooms.
const CHUNK_MIN: usize = 8;
const CHUNK_MAX: usize = 256;
