use std::fs;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use switchboard_event::{Epoch, Timestamp};

use crate::Partitions;
use crate::disk::place::{FILE_NAME, MARK_NAME, Place, open_or_make, sync_directories};
use crate::disk::tools::backup::check;
use crate::disk::tools::{Progress, ToolError, open_file, verify::inspect};
use crate::disk::{OpenError, schema};

/// What becomes of a journal that is in the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It stays, and nothing is restored.
    Refuse,
    /// It is kept in a directory of its own.
    KeepAside,
}

/// What was restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// The name of the history from now on.
    pub epoch: Epoch,
    /// How many records there are.
    pub records: u64,
    /// How many partitions: the settings must say the same.
    pub partitions: u64,
    /// Where the journal is that was in the way.
    pub kept_aside: Option<PathBuf>,
}

/// Puts a backup in the place of a journal that no process has open.
///
/// The copy is verified first. Its epoch is a new one, because what came after the backup is lost:
/// clients' positions are refused, and each starts over. Sessions stay, so that clients are in
/// their rooms again, without what they missed.
pub fn restore(
    source: &Path,
    directory: &Path,
    existing: Existing,
    now: Timestamp,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, ToolError> {
    if !source.is_file() {
        let path = source.to_owned();
        return Err(ToolError::NoJournal { path });
    }
    if fs::metadata(beside(source, "-wal")).is_ok_and(|log| log.len() > 0) {
        let path = source.to_owned();
        return Err(ToolError::NoBackup { path });
    }
    let place = Place::lock(directory)?;
    let is_there = [place.file.clone(), beside(&place.file, "-wal")]
        .iter()
        .any(|file| fs::metadata(file).is_ok_and(|found| found.len() > 0));
    if is_there && existing == Existing::Refuse {
        return Err(ToolError::Exists { path: place.file });
    }
    let copy = directory.join(COPY_NAME);
    let outcome = take(source, &copy, progress);
    let (epoch, records, partitions) = outcome.inspect_err(|_| discard(&copy))?;
    let put = || -> io::Result<Option<PathBuf>> {
        let aside = directory.join(format!("replaced-{}", now.as_millis()));
        let kept_aside = is_there.then(|| keep(directory, &aside)).transpose()?;
        for name in ["-wal", "-shm"] {
            remove(&beside(&place.file, name))?;
        }
        fs::rename(&copy, &place.file)?;
        sync_directories(directory)?;
        // Last: without its log the old file is behind the mark, and a start in between says so.
        remove(&directory.join(MARK_NAME))?;
        Ok(kept_aside.map(|()| aside))
    };
    let kept_aside = put().map_err(|error| ToolError::io(directory, &error))?;
    Ok(Restored {
        epoch,
        records,
        partitions,
        kept_aside,
    })
}

/// Copies the source, makes it a journal of this format and of a new epoch, and proves it.
fn take(
    source: &Path,
    copy: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Epoch, u64, u64), ToolError> {
    let fill = || -> io::Result<()> {
        discard(copy);
        let mut source = fs::OpenOptions::new().read(true).open(source)?;
        io::copy(&mut source, &mut open_or_make(copy)?)?;
        Ok(())
    };
    fill().map_err(|error| ToolError::io(source, &error))?;
    let partitions = partitions(copy, source)?;
    let number = getrandom::u64().map_err(|error| ToolError::Storage {
        path: copy.to_owned(),
        reason: error.to_string(),
    })?;
    let epoch = Epoch::new(number);
    let (mut writer, _) = schema::open_writer(copy, partitions, epoch, None)?;
    schema::renew_epoch(&mut writer, epoch).map_err(|error| OpenError::sqlite(copy, &error))?;
    close(writer).map_err(|error| OpenError::sqlite(copy, &error))?;
    let verdict = inspect(open_file(copy, copy)?, source, None, progress)?;
    check(&verdict, source)?;
    let synced = open_or_make(copy).and_then(|file| file.sync_all());
    synced.map_err(|error| ToolError::io(copy, &error))?;
    for name in ["-wal", "-shm"] {
        // Empty: the writer was the last to close, and what read since has written nothing.
        remove(&beside(copy, name)).map_err(|error| ToolError::io(copy, &error))?;
    }
    Ok((epoch, verdict.records, partitions.count().get().into()))
}

/// Carries the log over before the connection ends.
fn close(writer: Connection) -> rusqlite::Result<()> {
    crate::disk::checkpoint::shorten(&writer)?;
    writer.close().map_err(|(_, error)| error)
}

/// How many partitions a copy says it has. What it says is proved later.
fn partitions(copy: &Path, source: &Path) -> Result<Partitions, ToolError> {
    let sqlite = |error: &rusqlite::Error| ToolError::from(OpenError::sqlite(source, error));
    let connection = schema::open_reader(copy).map_err(|error| sqlite(&error))?;
    let Some(_) = schema::format(&connection, source)? else {
        let path = source.to_owned();
        return Err(ToolError::NoJournal { path });
    };
    let stored = schema::meta(&connection, "partitions").map_err(|error| sqlite(&error))?;
    let count = u16::try_from(stored).ok().and_then(NonZeroU16::new);
    count
        .map(Partitions::new)
        .ok_or_else(|| ToolError::Damaged {
            path: source.to_owned(),
            reason: format!("meta: it has {stored} partitions"),
        })
}

/// Gives the files of a journal second names in a directory of their own. The first ones go when
/// others take their place, so that at no moment there is none.
fn keep(directory: &Path, aside: &Path) -> io::Result<()> {
    fs::create_dir(aside)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(aside, fs::Permissions::from_mode(0o700))?;
    }
    for name in ["", "-wal"] {
        let name = format!("{FILE_NAME}{name}");
        match fs::hard_link(directory.join(&name), aside.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    sync_directories(aside)
}

fn discard(copy: &Path) {
    for name in ["", "-wal", "-shm", "-journal"] {
        // What is in the way makes the next step say so.
        let _ = fs::remove_file(beside(copy, name));
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

const COPY_NAME: &str = "journal.restoring";
