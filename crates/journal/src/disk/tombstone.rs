//! Takes the payload out of a record, and leaves its place.

use rusqlite::{Connection, Row};
use switchboard_event::{Epoch, Event, Offset, Timestamp};

use crate::batch::event_bytes;
use crate::disk::ledger::Ledger;
use crate::disk::row::{self, record_columns};
use crate::disk::{StorageError, retention};
use crate::{Partition, Partitions};

/// A record that became its tombstone.
pub(super) struct Buried {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// What it was, unless it could not be read.
    pub(super) event: Option<Event>,
}

/// Puts its tombstone in the place of the record in row `seq`; `None` if that is one already, or if
/// there is no such row: an index that was altered leads nowhere, and then there is nothing to take.
///
/// What is damaged is emptied too, and stays damaged: nobody can say whose it was. What can be read
/// and is not meant stays.
pub(super) fn bury(
    connection: &Connection,
    partitions: Partitions,
    seq: i64,
    ledger: &mut Ledger,
    is_meant: impl Fn(&Event) -> bool,
) -> Result<Option<Buried>, StorageError> {
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", bytes FROM record WHERE seq = ?1"
    ))?;
    let mut rows = select.query([seq])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let (offset, partition) = (row::offset(found.get(0)?), found.get(11)?);
    let partition = retention::known_partition(partitions, partition)?;
    let bytes = row::number(found.get(13)?);
    let event = readable(found);
    drop(rows);
    let stays = |event: &Event| event.is_tombstone() || !is_meant(event);
    if event.as_ref().is_some_and(stays) {
        return Ok(None);
    }
    match &event {
        Some(event) => {
            let tombstone = event.tombstone();
            write(connection, seq, offset, &tombstone)?;
            unlist(connection, partition, offset, event)?;
            let now = event_bytes(&tombstone) as u64;
            ledger.bytes = ledger.bytes.saturating_sub(bytes) + now;
        }
        None => empty(connection, seq)?,
    }
    Ok(Some(Buried {
        partition,
        offset,
        event,
    }))
}

fn readable(row: &Row<'_>) -> Option<Event> {
    let record = row::record(row, Epoch::new(0)).ok()?;
    Some(record.event)
}

fn write(
    connection: &Connection,
    seq: i64,
    offset: Offset,
    tombstone: &Event,
) -> Result<(), StorageError> {
    let none = row::rooms_text(&[]);
    let mut update = connection.prepare_cached(
        "UPDATE record SET event_id = ?2, expires_at = ?3, bytes = ?4, checksum = ?5, rooms = ?6, \
         except_rooms = ?6, data = x'', receipt_by = NULL WHERE seq = ?1",
    )?;
    update.execute((
        seq,
        tombstone.id().as_str(),
        tombstone.expires_at().map(Timestamp::as_millis),
        row::stored(event_bytes(tombstone)),
        row::checksum(tombstone, offset, &none, &none),
        &none,
    ))?;
    Ok(())
}

fn empty(connection: &Connection, seq: i64) -> Result<(), StorageError> {
    let mut update = connection.prepare_cached(
        "UPDATE record SET data = x'', rooms = '[]', except_rooms = '[]' WHERE seq = ?1",
    )?;
    update.execute([seq])?;
    Ok(())
}

/// Takes the record out of the index by room, and out of the rooms those that have no other.
fn unlist(
    connection: &Connection,
    partition: Partition,
    offset: Offset,
    event: &Event,
) -> Result<(), StorageError> {
    let mut entry = connection.prepare_cached(
        "DELETE FROM room_record WHERE offset = ?4 AND room = \
         (SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3)",
    )?;
    let mut empty = connection.prepare_cached(
        "DELETE FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3 \
         AND NOT EXISTS (SELECT 1 FROM room_record WHERE room = room.id)",
    )?;
    let (partition, tenant) = (partition.index(), event.tenant().as_str());
    for room in &event.audience().rooms {
        let place = row::stored(offset.as_u64());
        entry.execute((partition, tenant, room.name(), place))?;
        empty.execute((partition, tenant, room.name()))?;
    }
    Ok(())
}
