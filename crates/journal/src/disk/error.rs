use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ffi::ErrorCode;

use crate::ReadError;

/// Why a disk journal could not be opened. Each is one line for an operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path exists and is something else.
    #[error("journal {} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The operating system does not let us in.
    #[error("journal {}: permission denied", path.display())]
    Forbidden {
        /// What could not be opened or made.
        path: PathBuf,
    },
    /// Another process has it open: a journal has one.
    #[error("journal {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not a journal of Switchboard.
    #[error("{} is not a journal of switchboard", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version of Switchboard.
    #[error("journal {} has format {found}, this version reads {supported}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The format of this code.
        supported: i64,
    },
    /// A tenant's partition follows from their number, so the number cannot change.
    #[error("journal {} was made with partitions = {stored}, the settings say {wanted}", path.display())]
    OtherPartitions {
        /// The file.
        path: PathBuf,
        /// What the file was made with.
        stored: i64,
        /// What the settings say.
        wanted: i64,
    },
    /// The file is not as SQLite wrote it.
    #[error("journal {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// Anything else that the operating system or SQLite refuses.
    #[error("journal {} cannot be opened: {reason}", path.display())]
    Unavailable {
        /// The file or directory.
        path: PathBuf,
        /// What they say.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden { path },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory { path }
            }
            _ => Self::Unavailable {
                path,
                reason: error.to_string(),
            },
        }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotOurs { path },
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Self::Forbidden { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ if is_damage(error) => Self::Damaged {
                path,
                reason: error.to_string(),
            },
            _ => Self::Unavailable {
                path,
                reason: error.to_string(),
            },
        }
    }
}

/// Why a statement did not do what it should. Inside the disk journal only.
#[derive(Debug, thiserror::Error)]
pub(super) enum StorageError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(String),
    /// Nothing is wrong but the question.
    #[error(transparent)]
    Refused(#[from] ReadError),
}

impl StorageError {
    /// Whether one row is not as it was written, and everything else may well be.
    pub(super) fn is_of_a_row(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => is_unlike(error),
            Self::Io(_) | Self::Refused(_) => false,
        }
    }

    pub(super) fn into_read_error(self) -> ReadError {
        match self {
            Self::Refused(error) => error,
            Self::Damaged(reason) => ReadError::Damaged { reason },
            Self::Sqlite(error) if is_damage(&error) => ReadError::Damaged {
                reason: error.to_string(),
            },
            Self::Sqlite(error) => ReadError::Unavailable {
                reason: error.to_string(),
            },
            Self::Io(error) => ReadError::Unavailable {
                reason: error.to_string(),
            },
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) || is_unlike(error)
}

/// Whether a column does not hold what is written there.
fn is_unlike(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows
    )
}
