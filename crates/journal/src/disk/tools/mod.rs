//! What an operator does to a journal on disk, beside a server or without one.
//!
//! [`stats`], [`verify`], [`backup`] and [`export`] only read, each what one commit left, and neither
//! wait for a server nor make it wait; while they read for long its write-ahead log grows.
//! [`restore`] needs the directory for itself. Erasing is the journal's own:
//! [`Journal::erase`](crate::Journal::erase).

mod backup;
mod export;
mod invariants;
mod restore;
mod stats;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::disk::place::FILE_NAME;
use crate::disk::schema::{self, FORMAT};
use crate::disk::{OpenError, StorageError};

pub use backup::{BackedUp, backup};
pub use export::{Exported, Selection, export};
pub use restore::{Existing, Restored, restore};
pub use stats::{FileSize, JournalStats, PartitionStats, stats};
pub use verify::{FINDINGS_MAX, Finding, Progress, Verdict, verify};

/// Why a tool did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// There is nothing to look at.
    #[error("there is no journal in {}", path.display())]
    NoJournal {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is older than the tools. Starting the server once makes it new.
    #[error("journal {} has format {found}, which the next start makes {FORMAT}", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// What would be written is there already, and stays.
    #[error("{} exists already", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The source has a write-ahead log beside it, so it is a journal in use and no backup.
    #[error("{} is no backup: it has a write-ahead log beside it", path.display())]
    NoBackup {
        /// The source.
        path: PathBuf,
    },
    /// The file has findings, so it is good for nothing.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first finding, and how many there are.
        reason: String,
    },
    /// The directory or the file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system or SQLite refuses.
    #[error("{}: {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What they say.
        reason: String,
    },
}

impl ToolError {
    fn io(path: &Path, error: &io::Error) -> Self {
        OpenError::io(path, error).into()
    }

    fn storage(path: &Path, error: impl Into<StorageError>) -> Self {
        let (path, reason) = (path.to_owned(), error.into().to_string());
        Self::Storage { path, reason }
    }
}

/// Opens the journal of a directory for reading.
fn open(directory: &Path) -> Result<(Connection, PathBuf), ToolError> {
    let file = directory.join(FILE_NAME);
    let connection = open_file(&file, directory)?;
    Ok((connection, file))
}

/// Opens a file that is a journal of this format for reading.
fn open_file(file: &Path, named: &Path) -> Result<Connection, ToolError> {
    let path = named.to_owned();
    if !file.exists() {
        return Err(ToolError::NoJournal { path });
    }
    let connection = schema::open_reader(file).map_err(|error| OpenError::sqlite(file, &error))?;
    match schema::format(&connection, file)? {
        None => Err(ToolError::NoJournal { path }),
        Some(FORMAT) => Ok(connection),
        Some(found) => {
            let path = file.to_owned();
            Err(ToolError::Older { path, found })
        }
    }
}
