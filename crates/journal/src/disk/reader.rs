use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use switchboard_event::{Epoch, Offset, Position, TenantId, Timestamp};
use switchboard_metrics::{Counter, Tally};
use tokio::sync::Semaphore;

use crate::batch::event_bytes;
use crate::disk::flights::Flights;
use crate::disk::merge::Merge;
use crate::disk::row::{self, record_columns};
use crate::disk::{StorageError, schema};
use crate::page::{Extent, PageBuilder, RoomSet, admit};
use crate::ring::Recall;
use crate::{
    AWAITING_MAX, Key, Page, Partition, Query, ReadError, Record, Stats, TAIL_BATCH_MAX, Value,
};

/// A small pool of connections that only read.
///
/// Each read is one transaction on one of tokio's blocking threads: it sees the journal as of
/// one commit, and neither waits for the writer nor makes it wait.
pub(crate) struct Readers {
    path: PathBuf,
    epoch: Epoch,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    flights: Flights,
    reads: Tally,
    records_read: Counter,
}

impl Readers {
    pub(super) fn new(path: PathBuf, epoch: Epoch) -> Self {
        let permits = Arc::new(Semaphore::new(READERS_MAX));
        Self {
            path,
            epoch,
            permits,
            idle: Mutex::default(),
            flights: Flights::default(),
            reads: Tally::of([PAGE, RECENT, TAIL, VALUES, RECEIPTS, LEASES]),
            records_read: Counter::new(),
        }
    }

    /// Adds what was read to what the writer tells.
    pub(super) fn count(&self, stats: Stats) -> Stats {
        Stats {
            reads: self.reads.counts(),
            records_read: self.records_read.get(),
            ..stats
        }
    }

    /// Refuses further reads. Those that run go on.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    /// The records of a partition after a position and through an offset that was published, as
    /// many as a tail returns at once.
    pub(crate) async fn records(
        self: &Arc<Self>,
        partition: Partition,
        after: Position,
        through: Offset,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let read = move |connection: &Connection| records(connection, partition, after, through);
        let records = self.run(TAIL, read).await?;
        self.records_read.add(records.len() as u64);
        Ok(records)
    }

    /// Answers a query from the index by room. Equal ones that come meanwhile wait for the same page.
    ///
    /// What was begun before another number of `burials` is not waited for: it may hold what is gone.
    pub(super) async fn page(
        self: &Arc<Self>,
        query: Query,
        burials: u64,
    ) -> Result<Page, ReadError> {
        let epoch = self.epoch;
        let read = async |query: Query| {
            let page = self
                .run(PAGE, move |connection| page(connection, &query, epoch))
                .await?;
            self.records_read.add(page.records.len() as u64);
            Ok(page)
        };
        self.flights.page(query, burials, read).await
    }

    /// The newest records of a partition before an offset, in their order, as many as a ring takes.
    pub(super) async fn recent(
        self: &Arc<Self>,
        partition: Partition,
        wanted: Recall,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let epoch = self.epoch;
        let read = move |connection: &Connection| recent(connection, partition, wanted, epoch);
        let records = self.run(RECENT, read).await?;
        self.records_read.add(records.len() as u64);
        Ok(records)
    }

    /// The records whose receipts wait until later than `since`.
    pub(super) async fn awaiting(
        self: &Arc<Self>,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let epoch = self.epoch;
        let read = move |connection: &Connection| awaiting(connection, partition, since, epoch);
        self.run(RECEIPTS, read).await
    }

    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.reads.increment(what);
        let permits = Arc::clone(&self.permits);
        let permit = permits
            .acquire_owned()
            .await
            .map_err(|_| ReadError::Closed)?;
        let readers = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = readers.read(read);
            drop(permit);
            outcome
        });
        match outcome.await {
            Ok(outcome) => outcome.map_err(StorageError::into_read_error),
            Err(error) => Err(ReadError::Unavailable {
                reason: error.to_string(),
            }),
        }
    }

    /// Reads in one transaction. A connection that failed is not used again.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let transaction = connection.transaction()?;
        let value = read(&transaction)?;
        transaction.finish()?;
        if !self.permits.is_closed() {
            self.idle.lock().push(connection);
        }
        Ok(value)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn extent(
    connection: &Connection,
    partition: Partition,
    epoch: Epoch,
) -> Result<Extent, StorageError> {
    let mut select =
        connection.prepare_cached("SELECT floor, head FROM partition WHERE id = ?1")?;
    let extent = select.query_row([partition.index()], |row| {
        let (floor, head) = (row::offset(row.get(0)?), row::offset(row.get(1)?));
        Ok(Extent { epoch, floor, head })
    });
    Ok(extent?)
}

fn records(
    connection: &Connection,
    partition: Partition,
    after: Position,
    through: Offset,
) -> Result<Vec<Arc<Record>>, StorageError> {
    // The ring has compared the epoch.
    let epoch = after.epoch;
    extent(connection, partition, epoch)?.check(after)?;
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE partition = ?1 AND offset > ?2 AND offset <= ?3 \
         ORDER BY offset LIMIT ?4"
    ))?;
    let bounds = (
        partition.index(),
        row::stored(after.offset.as_u64()),
        row::stored(through.as_u64()),
        row::stored(TAIL_BATCH_MAX),
    );
    let mut rows = select.query(bounds)?;
    let (mut records, mut payload) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = row::shared(row, epoch)?;
        payload += record.event.data().len();
        records.push(record);
        if payload > Query::BYTES_MAX {
            break;
        }
    }
    if records.is_empty() {
        let reason = format!(
            "no record follows offset {} of partition {partition}",
            after.offset
        );
        return Err(StorageError::Damaged(reason));
    }
    Ok(records)
}

fn recent(
    connection: &Connection,
    partition: Partition,
    wanted: Recall,
    epoch: Epoch,
) -> Result<Vec<Arc<Record>>, StorageError> {
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE partition = ?1 AND offset > ?2 AND offset < ?3 \
         ORDER BY offset DESC LIMIT ?4"
    ))?;
    let bounds = (
        partition.index(),
        row::stored(wanted.floor.as_u64()),
        row::stored(wanted.before.as_u64()),
        row::stored(wanted.limits.records_max),
    );
    let mut rows = select.query(bounds)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = row::shared(row, epoch)?;
        bytes += event_bytes(&record.event);
        if bytes > wanted.limits.bytes_max {
            break;
        }
        records.push(record);
    }
    records.reverse();
    Ok(records)
}

fn awaiting(
    connection: &Connection,
    partition: Partition,
    since: Timestamp,
    epoch: Epoch,
) -> Result<Vec<Arc<Record>>, StorageError> {
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE partition = ?1 AND receipt_by > ?2 ORDER BY receipt_by, offset LIMIT ?3"
    ))?;
    let bounds = (
        partition.index(),
        since.as_millis(),
        row::stored(AWAITING_MAX),
    );
    let mut rows = select.query(bounds)?;
    let (mut records, mut payload) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = row::shared(row, epoch)?;
        payload += record.event.data().len();
        records.push(record);
        if payload > Query::BYTES_MAX {
            break;
        }
    }
    Ok(records)
}

fn page(connection: &Connection, query: &Query, epoch: Epoch) -> Result<Page, StorageError> {
    let extent = extent(connection, query.partition, epoch)?;
    let Some(through) = admit(query, &extent)? else {
        return Ok(Page {
            records: Vec::new(),
            next: None,
        });
    };
    let mut select = connection.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE seq = ?1"
    ))?;
    let rooms = RoomSet::new(&query.rooms);
    let mut page = PageBuilder::new(query, through);
    let mut merge = Merge::start(connection, query, through)?;
    while let Some(entry) = merge.next(connection)? {
        let missing = || {
            let (offset, partition) = (entry.offset, query.partition);
            StorageError::Damaged(format!(
                "record {offset} of partition {partition} is missing"
            ))
        };
        let mut rows = select.query([entry.seq])?;
        let row = rows.next()?.ok_or_else(missing)?;
        let record = row::shared(row, epoch)?;
        // An index that was altered must not lead into a room that the record is not for.
        if record.position.offset != entry.offset || !rooms.wants(&record) {
            return Err(missing());
        }
        if page.offer(record).is_break() {
            break;
        }
    }
    Ok(page.finish())
}

/// The values of these keys, in their order.
pub(super) fn values(
    connection: &Connection,
    tenant: &TenantId,
    keys: &[Key],
    now: Timestamp,
) -> Result<Vec<Option<Value>>, StorageError> {
    keys.iter()
        .map(|key| value(connection, tenant, key, now))
        .collect()
}

/// The value of a key, unless it expired.
pub(super) fn value(
    connection: &Connection,
    tenant: &TenantId,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Value>, StorageError> {
    let mut select = connection.prepare_cached(
        "SELECT version, expires_at, checksum, value FROM state WHERE tenant = ?1 AND key = ?2",
    )?;
    let place = (tenant.as_str(), key.as_str());
    let value = select
        .query_row(place, |row| Ok(row::value(row, tenant, key)))
        .optional()?;
    let Some(value) = value.transpose()? else {
        return Ok(None);
    };
    Ok(value
        .expires_at
        .is_none_or(|end| end > now)
        .then_some(value))
}

/// What is read, in the counts.
const PAGE: &str = "page";
const RECENT: &str = "recent";
const TAIL: &str = "tail";
pub(super) const VALUES: &str = "values";
const RECEIPTS: &str = "receipts";
pub(super) const LEASES: &str = "leases";
/// How many reads run at once. More would only wait for the same disk.
const READERS_MAX: usize = 4;
