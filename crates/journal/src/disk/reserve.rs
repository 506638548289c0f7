//! Room on the disk that is kept back for making room.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use tracing::warn;

use crate::disk::place::open_or_make;

/// A file that is in the way, to be deleted when the disk is full.
///
/// On a full disk nothing can be deleted from the journal: deletions are written to the log first,
/// and the log can only start over when the file could grow by what is new in it.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    is_held: bool,
}

impl Reserve {
    /// Keeps room back if there is some. That there is none is no reason not to start.
    pub(super) fn hold(path: PathBuf, bytes: u64) -> Self {
        let is_held = fs::metadata(&path).is_ok_and(|found| found.len() == bytes);
        let mut reserve = Self {
            path,
            bytes,
            is_held,
        };
        if bytes == 0 {
            reserve.release();
        }
        if let Err(error) = reserve.take() {
            warn!(%error, "no room can be kept back");
        }
        reserve
    }

    /// Keeps room back, unless that is so already. After an error none is.
    pub(super) fn take(&mut self) -> io::Result<()> {
        if self.is_held || self.bytes == 0 {
            return Ok(());
        }
        let outcome = self.fill();
        self.is_held = outcome.is_ok();
        if outcome.is_err() {
            self.release();
        }
        outcome
    }

    /// Gives the room back.
    pub(super) fn release(&mut self) {
        self.is_held = false;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, "room that was kept back cannot be given back");
            }
            _ => {}
        }
    }

    /// Writes all of it: a length alone takes up no room.
    fn fill(&self) -> io::Result<()> {
        let mut file = open_or_make(&self.path)?;
        file.set_len(0)?;
        let zeros = [0; CHUNK];
        let mut rest = self.bytes;
        while rest > 0 {
            let len = usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK));
            file.write_all(&zeros[..len])?;
            rest -= len as u64;
        }
        Ok(())
    }
}

const CHUNK: usize = 16 * 1024;
