use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::Connection;
use switchboard_event::{Epoch, Position, Room, TenantId, Timestamp};

use crate::disk::row::{self, record_columns};
use crate::disk::tools::{ToolError, open};
use crate::disk::{StorageError, schema};
use crate::{Partitions, ReadError, Record};

/// Which records are exported. Everything that is told must fit.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Those of one tenant.
    pub tenant: Option<TenantId>,
    /// Those to one room.
    pub room: Option<Room>,
    /// Those after a position of the tenant's partition.
    pub after: Option<Position>,
}

/// One thing of an export.
#[derive(Debug)]
pub enum Exported {
    /// A record, when it was appended, and in which partition.
    Record {
        /// What was published.
        record: Record,
        /// In which partition.
        partition: i64,
        /// When it was appended.
        appended_at: Timestamp,
    },
    /// What cannot be read, where it is.
    Damaged(String),
}

/// Hands out records in the order in which they were appended, until `sink` breaks.
///
/// What expired by `now`, as pairing codes do, and what was erased is left out.
pub fn export(
    directory: &Path,
    selection: &Selection,
    now: Timestamp,
    sink: &mut dyn FnMut(Exported) -> ControlFlow<()>,
) -> Result<(), ToolError> {
    let (connection, file) = open(directory)?;
    let epoch = schema::identity(&connection, &file)?.epoch;
    let mut run = || -> Result<(), StorageError> {
        let place = place(&connection, selection, epoch)?;
        let mut after = 0;
        while let Some(last) = chunk(&connection, selection, place, after, (epoch, now), sink)? {
            after = last;
        }
        Ok(())
    };
    run().map_err(|error| ToolError::storage(&file, error))
}

/// The partition and the offset after which to read, if a position was told.
fn place(
    connection: &Connection,
    selection: &Selection,
    epoch: Epoch,
) -> Result<Option<(i64, i64)>, StorageError> {
    let (Some(after), Some(tenant)) = (selection.after, &selection.tenant) else {
        return Ok(None);
    };
    if after.epoch != epoch {
        return Err(ReadError::OtherEpoch { epoch }.into());
    }
    let count = u16::try_from(schema::meta(connection, "partitions")?).unwrap_or(0);
    let count = count
        .try_into()
        .map_err(|_| StorageError::Damaged("no partitions".to_owned()))?;
    let partition = Partitions::new(count).of(tenant).index();
    Ok(Some((partition.into(), row::stored(after.offset.as_u64()))))
}

/// The next records; answers the last row, unless there are no more.
fn chunk(
    connection: &Connection,
    selection: &Selection,
    place: Option<(i64, i64)>,
    after: i64,
    (epoch, now): (Epoch, Timestamp),
    sink: &mut dyn FnMut(Exported) -> ControlFlow<()>,
) -> Result<Option<i64>, StorageError> {
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", seq, appended_at FROM record WHERE seq > ?1 AND (?2 IS NULL OR tenant = ?2) \
         AND (?3 IS NULL OR (partition = ?3 AND offset > ?4)) ORDER BY seq LIMIT ?5"
    ))?;
    let tenant = selection.tenant.as_ref().map(TenantId::as_str);
    let (partition, offset) = place.unzip();
    let bounds = (after, tenant, partition, offset, row::stored(CHUNK));
    let mut rows = select.query(bounds)?;
    let (mut count, mut last) = (0, None);
    while let Some(found) = rows.next()? {
        last = Some(found.get(13)?);
        count += 1;
        let exported = match row::record(found, epoch) {
            Ok(record) if is_wanted(&record, selection, now) => Exported::Record {
                record,
                partition: found.get(11)?,
                appended_at: Timestamp::from_millis(found.get(14)?),
            },
            Ok(_) => continue,
            Err(error) => Exported::Damaged(error.to_string()),
        };
        if sink(exported).is_break() {
            return Ok(None);
        }
    }
    Ok(last.filter(|_| count == CHUNK))
}

fn is_wanted(record: &Record, selection: &Selection, now: Timestamp) -> bool {
    let event = &record.event;
    let is_over = event.expires_at().is_some_and(|end| end <= now);
    let rooms = &event.audience().rooms;
    !is_over
        && selection
            .room
            .as_ref()
            .is_none_or(|room| rooms.contains(room))
}

/// How many records are read in one transaction.
const CHUNK: usize = 256;
