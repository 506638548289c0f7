use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use std::{fs, io, mem};

use rusqlite::Connection;
use tracing::warn;

use crate::disk::row;
use crate::disk::schema::{self, PAGE_SIZE};

/// Carries the write-ahead log over into the file, beside the writer.
///
/// The copying and its sync happen on a thread of their own, so that no commit waits for them.
/// Under uninterrupted load that thread never reaches the end of the log, and the log can only
/// start over at its end: when it has become long, the writer itself carries over the little
/// that is left, between two commits.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<Pass>>,
    thread: Option<JoinHandle<()>>,
    failed: Arc<AtomicBool>,
    /// How long the log was when last looked at.
    frames: u64,
    /// How much was written since the thread was woken, in pages.
    pending: u64,
    /// How much was written since the writer helped.
    alone: u64,
    /// Whether anything was written since the last quiet moment.
    is_used: bool,
}

/// What the thread is woken for.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// Copies what is there.
    Copy,
    /// Nothing happens: gives the space of a log that has become long back too.
    Shorten,
}

/// The write-ahead log, in pages.
#[derive(Clone, Copy, Debug)]
struct Log {
    frames: u64,
    copied: u64,
    /// Whether nobody was in the way.
    is_whole: bool,
}

impl Checkpoints {
    pub(super) fn start(file: PathBuf) -> io::Result<Self> {
        // One waiting wake-up stands for all of them.
        let (wake, wakes) = sync_channel(1);
        let failed = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&failed);
        let thread = Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || run(&file, &wakes, &failing))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            failed,
            frames: 0,
            pending: 0,
            alone: 0,
            is_used: true,
        })
    }

    /// Looks how long the log is after whatever was committed.
    pub(super) fn note(&mut self, writer: &Connection) {
        let log = match checkpoint(writer, "NOOP") {
            Ok(log) => log,
            Err(error) => {
                warn!(%error, "the length of the write-ahead log is unknown");
                return;
            }
        };
        // Shorter than before: it has started over.
        let written = log.frames.checked_sub(self.frames).unwrap_or(log.frames);
        self.frames = log.frames;
        self.pending += written;
        self.alone += written;
        self.is_used |= written > 0;
        if self.pending >= PASS_PAGES {
            self.wake(Pass::Copy);
        }
        let is_long = log.frames >= LOG_PAGES_MAX && log.copied < log.frames;
        if is_long && self.alone >= HELP_PAGES {
            self.alone = 0;
            if let Err(error) = checkpoint(writer, "PASSIVE") {
                warn!(%error, "checkpoint failed");
            }
        }
    }

    /// Uses a quiet moment to carry over what there is.
    pub(super) fn rest(&mut self) {
        if self.is_used {
            self.is_used = !self.wake(Pass::Shorten);
        }
    }

    /// Whether the thread has failed since this was last asked.
    pub(super) fn have_failed(&self) -> bool {
        self.failed.swap(false, Ordering::Relaxed)
    }

    /// Answers whether the thread will do just this: it does nothing if a wake-up is waiting.
    fn wake(&mut self, pass: Pass) -> bool {
        self.pending = 0;
        let wake = self.wake.as_ref();
        wake.is_some_and(|wake| wake.try_send(pass).is_ok())
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(mem::take(&mut self.wake));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("checkpoint thread panicked");
        }
    }
}

fn run(file: &Path, wakes: &Receiver<Pass>, failed: &AtomicBool) {
    let log = log_of(file);
    let mut connection = None;
    while let Ok(pass) = wakes.recv() {
        let outcome = match connection.take() {
            Some(connection) => Ok(connection),
            None => schema::open_checkpointer(file),
        };
        match outcome.and_then(|connection| Ok((make(&connection, pass, &log)?, connection))) {
            Ok(((), open)) => connection = Some(open),
            Err(error) => {
                // The log stays, and with it all that was committed.
                warn!(%error, "checkpoint failed");
                failed.store(true, Ordering::Relaxed);
            }
        }
    }
}

fn make(connection: &Connection, pass: Pass, file: &Path) -> rusqlite::Result<()> {
    let log = checkpoint(connection, "PASSIVE")?;
    // A log that has started over is still as long as it ever was.
    let is_long = || fs::metadata(file).is_ok_and(|found| found.len() > QUIET_BYTES_MAX);
    if matches!(pass, Pass::Shorten) && log.copied == log.frames && is_long() {
        checkpoint(connection, "TRUNCATE")?;
    }
    Ok(())
}

/// Where SQLite keeps the log of a file.
fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Carries the whole log over and makes it short, unless somebody reads just now. Answers whether
/// it is.
pub(super) fn shorten(writer: &Connection) -> rusqlite::Result<bool> {
    writer.busy_timeout(READERS_WAIT_MAX)?;
    let outcome = checkpoint(writer, "TRUNCATE");
    writer.busy_timeout(schema::BUSY_WAIT_MAX)?;
    outcome.map(|log| log.is_whole)
}

/// Only what is not `PASSIVE` waits for anyone, and `NOOP` only looks.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Log> {
    let mut pragma = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    pragma.query_row([], |row| {
        Ok(Log {
            frames: row::number(row.get(1)?),
            copied: row::number(row.get(2)?),
            is_whole: row.get::<_, i64>(0)? == 0,
        })
    })
}

/// After how many written pages the thread makes a pass: 16 MiB.
const PASS_PAGES: u64 = 16 * 1024 * 1024 / PAGE_SIZE;
/// From what length on the writer helps to start the log over: 64 MiB.
const LOG_PAGES_MAX: u64 = 64 * 1024 * 1024 / PAGE_SIZE;
/// How many pages it writes before it helps again, should somebody read for long.
const HELP_PAGES: u64 = 4 * 1024 * 1024 / PAGE_SIZE;
/// What the log may keep of the disk while nothing happens: 16 MiB.
const QUIET_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long readers are waited for where the log must become short.
const READERS_WAIT_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use switchboard_event::Epoch;

    use super::*;
    use crate::Partitions;

    #[test]
    fn a_quiet_moment_also_cuts_a_log_that_has_started_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        fs::File::create_new(&path).unwrap();
        let partitions = Partitions::new(NonZeroU16::MIN);
        let (writer, _) = schema::open_writer(&path, partitions, Epoch::new(1), None).unwrap();
        let write = |bytes: u64| {
            let filler = "REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?1))";
            writer.execute(filler, [row::stored(bytes)]).unwrap();
        };
        let len = || fs::metadata(log_of(&path)).unwrap().len();
        let other = schema::open_checkpointer(&path).unwrap();
        write(QUIET_BYTES_MAX);
        make(&other, Pass::Copy, &log_of(&path)).unwrap();
        write(1);
        assert!(len() > QUIET_BYTES_MAX);

        make(&other, Pass::Shorten, &log_of(&path)).unwrap();

        assert_eq!(len(), 0);
    }

    /// Before 3.51.3, two checkpoints and a commit at the wrong moment could mark frames as
    /// copied that were not (the "WAL-reset bug"): just what runs here side by side.
    #[test]
    fn the_bundled_sqlite_starts_its_log_over_safely() {
        assert!(
            rusqlite::version_number() >= 3_051_003,
            "{}",
            rusqlite::version()
        );
    }
}
