//! What a batch reads and writes inside of a group's transaction.

use rusqlite::{Connection, OptionalExtension};
use switchboard_event::{Event, EventId, Offset, Room, TenantId, Timestamp};

use crate::batch::event_bytes;
use crate::decide::{Facts, Known, Place, Plan};
use crate::disk::families::Changed;
use crate::disk::ledger::Ledger;
use crate::disk::{StorageError, reader, row};
use crate::{Batch, Change, Key, Partition, Value, Version};

/// What is stored, as the current transaction sees it.
pub(super) struct Stored<'c>(pub(super) &'c Connection);

impl Facts for Stored<'_> {
    type Error = StorageError;

    fn known(
        &mut self,
        partition: Partition,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<Known>, StorageError> {
        let mut select = self.0.prepare_cached(
            "SELECT offset, fingerprint FROM record \
             WHERE partition = ?1 AND tenant = ?2 AND event_id = ?3",
        )?;
        let id = (partition.index(), tenant.as_str(), id.as_str());
        let known = select.query_row(id, |row| {
            Ok(Known {
                offset: row::offset(row.get(0)?),
                fingerprint: row.get(1)?,
            })
        });
        Ok(known.optional()?)
    }

    fn version(
        &mut self,
        tenant: &TenantId,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Version>, StorageError> {
        let value = reader::value(self.0, tenant, key, now)?;
        Ok(value.map(|value| value.version))
    }
}

/// Writes what was decided about a batch, and adds the values that it `changed`.
pub(super) fn insert(
    connection: &Connection,
    batch: &Batch,
    plan: &Plan,
    now: Timestamp,
    ledger: &mut Ledger,
    changed: &mut Vec<Changed>,
) -> Result<(), StorageError> {
    let partition = batch.partition();
    for (event, place) in batch.events().iter().zip(&plan.places) {
        if let Place::New(offset) = *place {
            insert_record(connection, partition, event, offset, now)?;
            ledger.partition_mut(partition).head = offset;
            ledger.bytes += event_bytes(event) as u64;
        }
    }
    for change in batch.changes() {
        if plan.makes(change) {
            let value = apply(connection, batch.tenant(), change, ledger)?;
            changed.push(Changed {
                tenant: batch.tenant().clone(),
                key: change.key.clone(),
                value,
            });
        }
    }
    Ok(())
}

fn insert_record(
    connection: &Connection,
    partition: Partition,
    event: &Event,
    offset: Offset,
    now: Timestamp,
) -> Result<(), StorageError> {
    let audience = event.audience();
    let (rooms, except) = (
        row::rooms_text(&audience.rooms),
        row::rooms_text(&audience.except),
    );
    let mut insert = connection.prepare_cached(
        "INSERT INTO record (partition, offset, tenant, event_id, fingerprint, name, at, \
         expires_at, appended_at, bytes, checksum, rooms, except_rooms, data, receipt_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let seq = insert.insert((
        partition.index(),
        row::stored(offset.as_u64()),
        event.tenant().as_str(),
        event.id().as_str(),
        event.fingerprint(),
        event.name(),
        event.at().as_millis(),
        event.expires_at().map(Timestamp::as_millis),
        now.as_millis(),
        row::stored(event_bytes(event)),
        row::checksum(event, offset, &rooms, &except),
        &rooms,
        &except,
        &event.data()[..],
        event.receipt_by().map(Timestamp::as_millis),
    ))?;
    let mut index = connection.prepare_cached(
        "INSERT INTO room_record (room, offset, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for room in &audience.rooms {
        let room = room_id(connection, partition, event.tenant(), room)?;
        index.execute((room, row::stored(offset.as_u64()), seq))?;
    }
    Ok(())
}

/// The number of a room in the index, given to it if it has none.
fn room_id(
    connection: &Connection,
    partition: Partition,
    tenant: &TenantId,
    room: &Room,
) -> Result<i64, StorageError> {
    let name = (partition.index(), tenant.as_str(), room.name());
    let mut select = connection
        .prepare_cached("SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3")?;
    if let Some(id) = select.query_row(name, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let mut insert = connection
        .prepare_cached("INSERT INTO room (partition, tenant, name) VALUES (?1, ?2, ?3)")?;
    Ok(insert.insert(name)?)
}

/// Answers the new value.
fn apply(
    connection: &Connection,
    tenant: &TenantId,
    change: &Change,
    ledger: &mut Ledger,
) -> Result<Option<Value>, StorageError> {
    let Change {
        key,
        value,
        expires_at,
        ..
    } = change;
    let Some(bytes) = value else {
        let mut delete =
            connection.prepare_cached("DELETE FROM state WHERE tenant = ?1 AND key = ?2")?;
        delete.execute((tenant.as_str(), key.as_str()))?;
        return Ok(None);
    };
    let version = Version::new(ledger.next_version());
    let value = Value {
        bytes: bytes.clone(),
        version,
        expires_at: *expires_at,
    };
    let mut replace = connection.prepare_cached(
        "INSERT INTO state (tenant, key, version, expires_at, checksum, value) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (tenant, key) DO UPDATE SET version = excluded.version, \
         expires_at = excluded.expires_at, checksum = excluded.checksum, value = excluded.value",
    )?;
    replace.execute((
        tenant.as_str(),
        key.as_str(),
        row::stored(version.number()),
        expires_at.map(Timestamp::as_millis),
        row::value_checksum(tenant, key, &value),
        &bytes[..],
    ))?;
    Ok(Some(value))
}
