//! How a record and a value lie in their rows.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Row;
use switchboard_event::{
    Audience, Epoch, Event, EventParts, Offset, Position, Room, TenantId, Timestamp,
};

use crate::disk::StorageError;
use crate::partition::{FNV_OFFSET_BASIS, fnv_1a_from};
use crate::{Key, Record, Value, Version};

/// The columns that [`record`] reads, in its order.
macro_rules! record_columns {
    () => {
        "offset, tenant, event_id, fingerprint, name, at, expires_at, checksum, rooms, \
         except_rooms, data, partition, receipt_by"
    };
}
pub(super) use record_columns;

/// Reads a row of [`record_columns`] and proves that it is what was written.
pub(super) fn record(row: &Row<'_>, epoch: Epoch) -> Result<Record, StorageError> {
    let offset = offset(row.get(0)?);
    let damaged = || {
        let partition: i64 = row.get(11).unwrap_or(-1);
        StorageError::Damaged(format!(
            "record {offset} of partition {partition} is not as written"
        ))
    };
    let text = |column| row.get_ref(column)?.as_str().map_err(|_| damaged());
    let (rooms, except) = (text(8)?, text(9)?);
    let parts = EventParts {
        tenant: TenantId::from_stored(text(1)?).map_err(|_| damaged())?,
        id: text(2)?.parse().map_err(|_| damaged())?,
        fingerprint: row.get(3).map_err(|_| damaged())?,
        name: text(4)?.into(),
        at: Timestamp::from_millis(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        receipt_by: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_millis),
        audience: Audience {
            rooms: parse_rooms(rooms).ok_or_else(damaged)?,
            except: parse_rooms(except).ok_or_else(damaged)?,
        },
        data: Bytes::copy_from_slice(row.get_ref(10)?.as_blob().map_err(|_| damaged())?),
    };
    let event = Event::from_parts(parts);
    let found: i64 = row.get(7)?;
    if found != checksum(&event, offset, rooms, except) {
        return Err(damaged());
    }
    Ok(Record {
        position: Position { epoch, offset },
        event,
    })
}

/// Reads `version, expires_at, checksum, value` of the state table.
pub(super) fn value(row: &Row<'_>, tenant: &TenantId, key: &Key) -> Result<Value, StorageError> {
    let value = Value {
        version: Version::new(number(row.get(0)?)),
        expires_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
        bytes: Bytes::copy_from_slice(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?),
    };
    let found: i64 = row.get(2)?;
    if found != value_checksum(tenant, key, &value) {
        let version = value.version.number();
        let reason = format!("the value of version {version} is not as written");
        return Err(StorageError::Damaged(reason));
    }
    Ok(value)
}

/// Names of rooms as the text of a JSON array.
pub(super) fn rooms_text(rooms: &[Room]) -> String {
    let names: Vec<&str> = rooms.iter().map(Room::name).collect();
    serde_json::to_string(&names).expect("a list of strings has a JSON text")
}

/// Reads what [`rooms_text`] wrote.
pub(super) fn parse_rooms(text: &str) -> Option<Vec<Room>> {
    let names: Vec<String> = serde_json::from_str(text).ok()?;
    names.iter().map(|name| name.parse().ok()).collect()
}

/// What is stored of a record, in one number: FNV-1a over its columns, each after its length. One
/// without a receipt has none for it, as those have that are older than receipts.
pub(super) fn checksum(event: &Event, offset: Offset, rooms: &str, except: &str) -> i64 {
    let at = event.at().as_millis().to_le_bytes();
    let expires_at = event
        .expires_at()
        .map_or(-1, Timestamp::as_millis)
        .to_le_bytes();
    let receipt_by = event.receipt_by().map(|end| end.as_millis().to_le_bytes());
    let place = offset.as_u64().to_le_bytes();
    let fingerprint = event.fingerprint();
    let columns: [&[u8]; 10] = [
        &place,
        event.tenant().as_str().as_bytes(),
        event.id().as_str().as_bytes(),
        &fingerprint,
        event.name().as_bytes(),
        &at,
        &expires_at,
        rooms.as_bytes(),
        except.as_bytes(),
        event.data(),
    ];
    match &receipt_by {
        None => checksum_of(&columns),
        Some(end) => checksum_of(&[&columns[..], &[&end[..]]].concat()),
    }
}

/// The same for a value under its key.
pub(super) fn value_checksum(tenant: &TenantId, key: &Key, value: &Value) -> i64 {
    let expires_at = value
        .expires_at
        .map_or(-1, Timestamp::as_millis)
        .to_le_bytes();
    checksum_of(&[
        tenant.as_str().as_bytes(),
        key.as_str().as_bytes(),
        &value.version.number().to_le_bytes(),
        &expires_at,
        &value.bytes,
    ])
}

/// The same for any columns.
pub(super) fn checksum_of(columns: &[&[u8]]) -> i64 {
    let hash = columns.iter().fold(FNV_OFFSET_BASIS, |hash, column| {
        let len = (column.len() as u64).to_le_bytes();
        fnv_1a_from(fnv_1a_from(hash, &len), column)
    });
    hash.cast_signed()
}

/// SQLite's integers are signed; offsets, versions and sums of ours never reach the sign.
pub(super) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A number as SQLite stores it.
pub(super) fn stored(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

pub(super) fn offset(stored: i64) -> Offset {
    Offset::new(number(stored))
}

/// A record on its way out, shared.
pub(super) fn shared(row: &Row<'_>, epoch: Epoch) -> Result<Arc<Record>, StorageError> {
    record(row, epoch).map(Arc::new)
}
