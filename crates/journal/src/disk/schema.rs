//! The tables, and how a connection to them is set up. docs/journal.md tells their invariants.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};
use switchboard_event::Epoch;

use crate::Partitions;
use crate::disk::ledger::Ledger;
use crate::disk::mark::Reached;
use crate::disk::{OpenError, erase, row, upgrade};

/// The version of the format that this code writes, in SQLite's `user_version`.
pub(super) const FORMAT: i64 = 2;

/// The oldest one that is made into this one when it is opened.
pub(super) const OLDEST: i64 = 1;

/// "SWBJ", in SQLite's `application_id`: the file is a journal of ours.
pub(super) const APPLICATION: i64 = 0x5357_424a;

const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE partition (
    id INTEGER PRIMARY KEY,
    head INTEGER NOT NULL,
    floor INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER,
    appended_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    rooms TEXT NOT NULL,
    except_rooms TEXT NOT NULL,
    data BLOB NOT NULL,
    receipt_by INTEGER
) STRICT;
CREATE UNIQUE INDEX record_offset ON record (partition, offset);
CREATE UNIQUE INDEX record_event_id ON record (partition, tenant, event_id);
CREATE INDEX record_receipt ON record (partition, receipt_by) WHERE receipt_by IS NOT NULL;

CREATE TABLE room (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX room_name ON room (partition, tenant, name);

CREATE TABLE room_record (
    room INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE state (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    checksum INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX state_expiry ON state (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE session (
    key BLOB PRIMARY KEY,
    generation INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    socket_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    start INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    rooms BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_expiry ON session (expires_at);

CREATE TABLE lease (
    partition INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    holder INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition, tenant, name, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_expiry ON lease (partition, expires_at);

CREATE TABLE probe (
    id INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
) STRICT;
";

/// What a file says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) epoch: Epoch,
}

impl Identity {
    /// How far the history is.
    pub(super) fn reached(self, ledger: &Ledger) -> Reached {
        let (epoch, commit) = (self.epoch, ledger.commit);
        Reached { epoch, commit }
    }
}

/// Opens the writing connection, after proving that the file is ours, and creates what is missing.
pub(super) fn open_writer(
    path: &Path,
    partitions: Partitions,
    fresh_epoch: Epoch,
    size_max: Option<u64>,
) -> Result<(Connection, Identity), OpenError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| OpenError::sqlite(path, &error))?;
    let is_new = format(&connection, path)?.is_none();
    prepare(&mut connection, is_new, partitions, fresh_epoch, size_max)
        .map_err(|error| OpenError::sqlite(path, &error))?;
    let mode: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .map_err(|error| OpenError::sqlite(path, &error))?;
    if mode != "wal" {
        let reason = "its file system cannot hold a write-ahead log".to_owned();
        return Err(OpenError::Unavailable {
            path: path.to_owned(),
            reason,
        });
    }
    let stored = meta(&connection, "partitions").map_err(|e| OpenError::sqlite(path, &e))?;
    let wanted = i64::from(partitions.count().get());
    if stored != wanted {
        let path = path.to_owned();
        return Err(OpenError::OtherPartitions {
            path,
            stored,
            wanted,
        });
    }
    let identity = identity(&connection, path)?;
    Ok((connection, identity))
}

/// What the file says of itself, proved by its sum.
pub(super) fn identity(connection: &Connection, path: &Path) -> Result<Identity, OpenError> {
    let read = |name| meta(connection, name).map_err(|error| OpenError::sqlite(path, &error));
    let (epoch, partitions) = (read("epoch")?, read("partitions")?);
    if read("identity")? != identity_checksum(epoch, partitions) {
        let (path, reason) = (path.to_owned(), "its epoch is not as written".to_owned());
        return Err(OpenError::Damaged { path, reason });
    }
    Ok(Identity {
        epoch: Epoch::new(epoch.cast_unsigned()),
    })
}

/// Begins a history of another name: positions of the one before are refused from now on.
pub(super) fn renew_epoch(
    connection: &mut Connection,
    fresh_epoch: Epoch,
) -> rusqlite::Result<Identity> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let epoch = fresh_epoch.as_u64().cast_signed();
    let identity = identity_checksum(epoch, meta(&transaction, "partitions")?);
    let sql = "UPDATE meta SET value = ?2 WHERE name = ?1";
    for fact in [("epoch", epoch), ("identity", identity)] {
        transaction.execute(sql, fact)?;
    }
    transaction.commit()?;
    Ok(Identity { epoch: fresh_epoch })
}

pub(super) fn identity_checksum(epoch: i64, partitions: i64) -> i64 {
    row::checksum_of(&[&epoch.to_le_bytes(), &partitions.to_le_bytes()])
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Opens the connection that carries the write-ahead log over into the file.
pub(super) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_durability(&connection)?;
    // What it would wait for is done another time.
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // One thread at a time uses a connection, so SQLite need not lock it.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    Ok(connection)
}

/// The format of the file, `None` if it is empty; an error if it is not ours or newer than this code.
pub(super) fn format(connection: &Connection, path: &Path) -> Result<Option<i64>, OpenError> {
    let read = |pragma: &str| -> Result<i64, OpenError> {
        connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .map_err(|error| match error.sqlite_error_code() {
                Some(ffi::ErrorCode::NotADatabase) => OpenError::NotOurs {
                    path: path.to_owned(),
                },
                _ => OpenError::sqlite(path, &error),
            })
    };
    let (application, format) = (read("application_id")?, read("user_version")?);
    match (application, format) {
        (APPLICATION, OLDEST..=FORMAT) => Ok(Some(format)),
        (APPLICATION, found) => {
            let path = path.to_owned();
            Err(OpenError::OtherFormat {
                path,
                found,
                supported: FORMAT,
            })
        }
        (0, 0) if read("schema_version")? == 0 => Ok(None),
        _ => Err(OpenError::NotOurs {
            path: path.to_owned(),
        }),
    }
}

fn prepare(
    connection: &mut Connection,
    is_new: bool,
    partitions: Partitions,
    fresh_epoch: Epoch,
    size_max: Option<u64>,
) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if is_new {
        // Both only take effect before the first table.
        connection.pragma_update(None, "page_size", row::stored(PAGE_SIZE))?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    set_durability(connection)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // What is deleted is overwritten where that costs no page more.
    erase::set_secure_delete(connection, "FAST")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The checkpoint thread does it; otherwise a commit would now and then wait for one.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    if let Some(size_max) = size_max {
        let pages = (size_max / PAGE_SIZE).max(1);
        let pages = row::stored(pages);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    if is_new {
        create(connection, partitions, fresh_epoch)?;
    }
    upgrade::migrate(connection)
}

/// Commits are synced before they return, on macOS through the drive's own cache too.
fn set_durability(connection: &Connection) -> rusqlite::Result<()> {
    set_synchronous(connection, Synchronous::Full)?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// When a commit is on disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Synchronous {
    /// Before it returns.
    Full,
    /// With the next `Full` commit or checkpoint. For what may as well be lost.
    Normal,
}

pub(super) fn set_synchronous(
    connection: &Connection,
    synchronous: Synchronous,
) -> rusqlite::Result<()> {
    let value = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", value)
}

/// Everything in one transaction: after a crash the file is either empty or whole.
fn create(
    connection: &mut Connection,
    partitions: Partitions,
    epoch: Epoch,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    let epoch = epoch.as_u64().cast_signed();
    let count = i64::from(partitions.count().get());
    let facts = [
        ("epoch", epoch),
        ("partitions", count),
        ("identity", identity_checksum(epoch, count)),
        ("commit", 0),
        ("version", 0),
        ("bytes", 0),
        ("sessions", 0),
    ];
    for fact in facts {
        transaction.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", fact)?;
    }
    for partition in partitions.all() {
        let sql = "INSERT INTO partition (id, head, floor) VALUES (?1, 0, 0)";
        transaction.execute(sql, [partition.index()])?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0))
}

/// SQLite's default: a commit writes whole pages, and most pages of a commit are index pages of
/// which little changed.
pub(super) const PAGE_SIZE: u64 = 4096;
/// The page cache of the writer: the hot ends of the tables and the index of event ids.
const CACHE_KIB: i64 = 16 * 1024;
/// What of the write-ahead log stays allocated after it was carried over.
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;
/// How long a statement waits for another connection. Only opening and closing ever wait.
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Every statement of this crate stays prepared.
const STATEMENTS_MAX: usize = 64;
