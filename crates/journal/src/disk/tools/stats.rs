use std::fs;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use switchboard_event::{Epoch, Offset, Timestamp};

use crate::disk::tools::{ToolError, open};
use crate::disk::{StorageError, row, schema};

/// What a journal holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JournalStats {
    /// The version of its format.
    pub format: i64,
    /// The name of its history.
    pub epoch: Epoch,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionStats>,
    /// What the records take up, as the retention counts.
    pub bytes: u64,
    /// Rooms that have records.
    pub rooms: u64,
    /// Values beside the log.
    pub keys: u64,
    /// Sessions that clients may come back to.
    pub sessions: u64,
    /// Leases that are held.
    pub leases: u64,
    /// When the oldest record was appended.
    pub oldest_at: Option<Timestamp>,
    /// When the newest one was.
    pub newest_at: Option<Timestamp>,
    /// What lies in the directory.
    pub files: Vec<FileSize>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionStats {
    /// The last offset that retention took.
    pub floor: Offset,
    /// The last offset written.
    pub head: Offset,
}

/// A file of a journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSize {
    /// Its name in the directory.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

impl JournalStats {
    /// How many records there are: offsets are dense.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(PartitionStats::records).sum()
    }
}

impl PartitionStats {
    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.head.as_u64().saturating_sub(self.floor.as_u64())
    }
}

/// Looks at a journal, also while a server writes to it.
pub fn stats(directory: &Path) -> Result<JournalStats, ToolError> {
    let (mut connection, file) = open(directory)?;
    let epoch = schema::identity(&connection, &file)?.epoch;
    let read = |connection: &mut Connection| -> Result<JournalStats, StorageError> {
        let transaction = connection.transaction()?;
        read(&transaction, epoch)
    };
    let mut stats = read(&mut connection).map_err(|error| ToolError::storage(&file, error))?;
    stats.files = files(directory).map_err(|error| ToolError::io(directory, &error))?;
    Ok(stats)
}

fn read(connection: &Connection, epoch: Epoch) -> Result<JournalStats, StorageError> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        connection.query_row(sql, [], |row| row.get(0).map(row::number))
    };
    let time = |sql: &str| -> rusqlite::Result<Option<Timestamp>> {
        let millis = connection.query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let mut select = connection.prepare("SELECT floor, head FROM partition ORDER BY id")?;
    let partitions = select.query_map([], |row| {
        Ok(PartitionStats {
            floor: row::offset(row.get(0)?),
            head: row::offset(row.get(1)?),
        })
    })?;
    Ok(JournalStats {
        format: schema::FORMAT,
        epoch,
        partitions: partitions.collect::<Result<_, _>>()?,
        bytes: row::number(schema::meta(connection, "bytes")?),
        rooms: count("SELECT count(*) FROM room")?,
        keys: count("SELECT count(*) FROM state")?,
        sessions: count("SELECT count(*) FROM session")?,
        leases: count("SELECT count(*) FROM lease")?,
        oldest_at: time("SELECT appended_at FROM record ORDER BY seq LIMIT 1")?,
        newest_at: time("SELECT appended_at FROM record ORDER BY seq DESC LIMIT 1")?,
        files: Vec::new(),
    })
}

fn files(directory: &Path) -> std::io::Result<Vec<FileSize>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata()?;
        if name.starts_with("journal.") && metadata.is_file() {
            let bytes = metadata.len();
            files.push(FileSize { name, bytes });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}
