//! The directory of a journal: made, proved to be usable, and held.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::OpenError;
use crate::disk::mark::Mark;

/// A journal's directory, held by this process until it is dropped.
///
/// The operating system releases the lock when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// Room that is kept back.
    pub(super) reserve: PathBuf,
    /// How far the journal was.
    pub(super) mark: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes the directory, and makes it and the file in it if they are missing. Only the owner
    /// can look into what is made.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let place = Self::lock(directory)?;
        open_or_make(&place.file).map_err(|error| OpenError::io(&place.file, &error))?;
        sync_directories(directory).map_err(|error| OpenError::io(directory, &error))?;
        Ok(place)
    }

    /// Takes the directory, and makes it if it is missing, whatever is in it.
    pub(super) fn lock(directory: &Path) -> Result<Self, OpenError> {
        make_directory(directory).map_err(|error| OpenError::io(directory, &error))?;
        let lock_path = directory.join(LOCK_NAME);
        let lock = open_or_make(&lock_path).map_err(|error| OpenError::io(directory, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: directory.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&lock_path, &error)),
        }
        Ok(Self {
            file: directory.join(FILE_NAME),
            reserve: directory.join(RESERVE_NAME),
            mark: directory.join(MARK_NAME),
            _lock: lock,
        })
    }

    /// An error if the file is empty and the mark beside it tells that it was not: SQLite would take
    /// the log for that of another file, and delete it.
    pub(super) fn refuse_emptied(&self) -> Result<(), OpenError> {
        let found = fs::metadata(&self.file).map_err(|error| OpenError::io(&self.file, &error))?;
        if found.len() > 0 || Mark::look(&self.mark).is_none() {
            return Ok(());
        }
        Err(OpenError::Damaged {
            path: self.file.clone(),
            reason: "it is empty, and was not".to_owned(),
        })
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // SQLite gives its other files the mode of this one.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes new names durable: that of the file in the directory, and that of the directory itself.
#[cfg(unix)]
#[expect(
    clippy::disallowed_methods,
    reason = "the disk journal is where files are touched"
)]
pub(super) fn sync_directories(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    File::open(&directory)?.sync_all()?;
    match directory.parent() {
        // A parent that we may not read was not made by us.
        Some(parent) => match File::open(parent) {
            Ok(parent) => parent.sync_all(),
            Err(_) => Ok(()),
        },
        None => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) fn sync_directories(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) const FILE_NAME: &str = "journal.db";
pub(super) const MARK_NAME: &str = "journal.mark";
const LOCK_NAME: &str = "journal.lock";
const RESERVE_NAME: &str = "journal.reserve";
