//! Getting the bytes of what was deleted out of the file and its log.

use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::warn;

use crate::disk::checkpoint;
use crate::disk::erase::set_secure_delete;
use crate::disk::row;
use crate::disk::writer::Writer;

/// Who waits for a step, and how many unused pages are left to be given back; `None`: all there are.
pub(super) type Waiting = (Option<u64>, oneshot::Sender<Result<Scrubbed, String>>);

/// How far a step came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scrubbed {
    /// Nothing of what was deleted before is there any more.
    Whole,
    /// So many unused pages are left.
    More(u64),
    /// Somebody reads what is in the log.
    Read,
}

impl Writer {
    /// One step for each that waits.
    pub(super) fn scrub(&mut self, waiting: Vec<Waiting>) {
        for (pages, answer) in waiting {
            let step = self.settle().map_err(|error| error.to_string());
            let step = step.and_then(|()| {
                step_of(&self.connection, pages).map_err(|error| {
                    warn!(%error, "what was erased is not out of the file yet");
                    error.to_string()
                })
            });
            // Who does not wait any more needs no answer.
            let _ = answer.send(step);
        }
    }
}

fn step_of(connection: &Connection, pages: Option<u64>) -> rusqlite::Result<Scrubbed> {
    let unused: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let unused = row::number(unused);
    let pages = pages.map_or(unused, |pages| pages.min(unused));
    let slice = pages.min(PAGES_MAX);
    if slice > 0 {
        set_secure_delete(connection, "ON")?;
        let given = give_back(connection, slice);
        set_secure_delete(connection, "FAST")?;
        given?;
        return Ok(Scrubbed::More(pages - slice));
    }
    Ok(if checkpoint::shorten(connection)? {
        Scrubbed::Whole
    } else {
        Scrubbed::Read
    })
}

/// Gives so many unused pages back to the file system.
pub(super) fn give_back(connection: &Connection, pages: u64) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    // Each step gives back one page.
    while rows.next()?.is_some() {}
    Ok(())
}

/// How many pages a step gives back: 1 MiB.
const PAGES_MAX: u64 = 256;
