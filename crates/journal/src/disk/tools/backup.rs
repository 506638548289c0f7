use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::place::{open_or_make, sync_directories};
use crate::disk::tools::{Progress, ToolError, Verdict, open, open_file, verify::inspect};

/// What a backup is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BackedUp {
    /// How long the file is.
    pub bytes: u64,
    /// How many records are in it.
    pub records: u64,
}

/// Copies the journal of a directory into one file, also while a server writes to it.
///
/// The copy is what one commit left, without what was deleted. It has its name once it was
/// verified and synced; a file of that name is never overwritten. A server is not held up: it
/// writes to its log, which grows meanwhile.
pub fn backup(
    directory: &Path,
    destination: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<BackedUp, ToolError> {
    let exists = || ToolError::Exists {
        path: destination.to_owned(),
    };
    if destination.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let (connection, file) = open(directory)?;
    let partial = Partial::make(destination)?;
    connection
        .pragma_update(None, "query_only", false)
        .and_then(|()| connection.execute("VACUUM INTO ?1", [partial.name()]))
        .map_err(|error| ToolError::storage(&file, error))?;
    drop(connection);
    let verdict = inspect(
        open_file(&partial.path, &partial.path)?,
        &partial.path,
        None,
        progress,
    )?;
    check(&verdict, &file)?;
    let finish = || -> io::Result<u64> {
        let copy = open_or_make(&partial.path)?;
        copy.sync_all()?;
        // Unlike a rename, this never takes the place of something.
        fs::hard_link(&partial.path, destination)?;
        sync_directories(parent(destination))?;
        Ok(copy.metadata()?.len())
    };
    match finish() {
        Ok(bytes) => {
            let records = verdict.records;
            Ok(BackedUp { bytes, records })
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(ToolError::io(destination, &error)),
    }
}

/// An error if something was found.
pub(super) fn check(verdict: &Verdict, path: &Path) -> Result<(), ToolError> {
    let Some(first) = verdict.findings.first() else {
        return Ok(());
    };
    let others = (verdict.findings.len() as u64 - 1) + verdict.left_out;
    let path = path.to_owned();
    let reason = match others {
        0 => first.to_string(),
        _ => format!("{first}; and {others} more"),
    };
    Err(ToolError::Damaged { path, reason })
}

/// The directory in which a file is.
pub(super) fn parent(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// A file that is not whole yet, and goes when this is dropped.
struct Partial {
    path: PathBuf,
}

impl Partial {
    /// An empty one beside `destination`, for the owner only.
    fn make(destination: &Path) -> Result<Self, ToolError> {
        let mut path = destination.as_os_str().to_owned();
        path.push(".partial");
        let partial = Self { path: path.into() };
        partial.remove();
        open_or_make(&partial.path).map_err(|error| ToolError::io(&partial.path, &error))?;
        Ok(partial)
    }

    fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn remove(&self) {
        // It is not there, or what is opened next says why.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.remove();
    }
}
