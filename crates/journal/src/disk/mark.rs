//! How far the journal was, told apart from it: what has less than that has lost something.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use switchboard_event::Epoch;
use tracing::warn;

use crate::disk::place::open_or_make;
use crate::partition::fnv_1a;

/// A small file that is written after each synced commit, and not synced itself.
///
/// So it is never ahead of a journal that lost nothing. A copy of an older file, a log that was cut
/// or that cannot be read to its end: the journal opens as if it had never been further, and only
/// this file knows better.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    is_failing: bool,
}

/// A point in a history: how many synced commits it had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reached {
    pub(super) epoch: Epoch,
    pub(super) commit: u64,
}

impl Mark {
    /// Opens the file and reads what it says, if it says something.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Reached>)> {
        let mut file = open_or_make(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(LEN as u64 + 1).read_to_end(&mut bytes)?;
        let mark = Self {
            file,
            is_failing: false,
        };
        Ok((mark, Reached::decode(&bytes)))
    }

    /// What the file says, if there is one and it says something.
    pub(super) fn look(path: &Path) -> Option<Reached> {
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).open(path).ok()?;
        file.take(LEN as u64 + 1).read_to_end(&mut bytes).ok()?;
        Reached::decode(&bytes)
    }

    /// Notes a commit that was synced. That it cannot be noted is no reason to fail.
    pub(super) fn note(&mut self, reached: Reached) {
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&reached.encode()));
        if let Err(error) = &written
            && !self.is_failing
        {
            warn!(%error, "how far the journal is cannot be noted beside it");
        }
        self.is_failing = written.is_err();
    }
}

impl Reached {
    /// Whether a journal that is here has lost something of what was `noted`.
    pub(super) fn lacks(self, noted: Self) -> bool {
        self.epoch != noted.epoch || self.commit < noted.commit
    }

    fn encode(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.epoch.as_u64().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.commit.to_le_bytes());
        let check = fnv_1a(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` if it was never written, or torn.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let reached = Self {
            epoch: Epoch::new(number(8)?),
            commit: number(16)?,
        };
        (bytes == reached.encode()).then_some(reached)
    }
}

const MAGIC: &[u8; 8] = b"SWBJMARK";
const LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_what_is_torn_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let reached = |epoch, commit| Reached {
            epoch: Epoch::new(epoch),
            commit,
        };
        let (mut mark, before) = Mark::open(&path).unwrap();
        mark.note(reached(1, 7));
        mark.note(reached(1, 8));
        let (_, noted) = Mark::open(&path).unwrap();
        mark.file.set_len(31).unwrap();
        let (_, torn) = Mark::open(&path).unwrap();

        assert_eq!(before, None);
        assert_eq!(noted, Some(reached(1, 8)));
        assert_eq!(torn, None);
        assert!(reached(1, 7).lacks(reached(1, 8)) && reached(2, 9).lacks(reached(1, 8)));
        assert!(!reached(1, 8).lacks(reached(1, 8)) && !reached(1, 9).lacks(reached(1, 8)));
    }
}
