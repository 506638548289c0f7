//! What the writer does between two groups: retention, checkpoints, and mending what failed.

use std::time::Duration;

use tracing::warn;

use crate::disk::StorageError;
use crate::disk::checkpoint::shorten;
use crate::disk::ledger::Ledger;
use crate::disk::retention::{Trimmed, instant};
use crate::disk::schema::{Synchronous, set_synchronous};
use crate::disk::writer::Writer;

impl Writer {
    /// Tends to the file after a group of so many records, or in a quiet moment.
    pub(super) fn tend(&mut self, appended: usize, is_quiet: bool) {
        if self.checkpoints.have_failed() {
            // The log would grow and grow.
            self.in_doubt = true;
        }
        if self.is_failing() || self.in_doubt {
            self.mend();
        } else {
            self.retain(appended);
            if is_quiet && !self.retention.is_busy() {
                self.rest();
            }
        }
        self.checkpoints.note(&self.connection);
    }

    fn retain(&mut self, appended: usize) {
        if !self.retention.is_due(&self.ledger) {
            return;
        }
        if let Err(error) = self.trim(appended) {
            // Not a reason to refuse appends: they find out for themselves.
            warn!(%error, "retention failed");
            self.in_doubt = !error.is_of_a_row();
        }
    }

    /// One slice of the retention.
    fn trim(&mut self, appended: usize) -> Result<(), StorageError> {
        let partitions = self.shared.partitions;
        let Trimmed {
            ledger,
            buried,
            expired,
        } = self
            .retention
            .step(&mut self.connection, &self.ledger, partitions, appended)?;
        self.shared.families.apply(expired);
        self.keep(ledger);
        for (partition, offset) in buried {
            self.shared.rings[usize::from(partition.index())].bury(offset);
        }
        for (partition, ring) in partitions.all().zip(&self.shared.rings) {
            ring.trim(self.ledger.partition(partition).floor);
        }
        Ok(())
    }

    /// Uses a quiet moment to empty the log, and to keep room back again.
    fn rest(&mut self) {
        self.checkpoints.rest();
        if let Err(error) = self.reserve.take() {
            warn!(%error, "no room can be kept back");
        }
    }

    /// Tries now and then whether a failing disk works again, also while appends keep coming.
    fn mend(&mut self) {
        let is_early = |at: std::time::Instant| at.elapsed() < MEND_INTERVAL;
        if self.mended.is_some_and(is_early) {
            return;
        }
        match self.recover() {
            Ok(()) => self.recovered(),
            Err(error) => {
                self.failed(&error);
            }
        }
        self.mended = Some(instant());
    }

    /// Makes room on a full disk, as far as there is something to be taken, and tries to write.
    fn recover(&mut self) -> Result<(), StorageError> {
        self.settle()?;
        if self.make_room().is_err() {
            // Carrying the log over and deleting need room themselves. That is what is kept back.
            self.settle()?;
            self.reserve.release();
            let outcome = self.make_room();
            // Before anybody appends: it must be there the next time too.
            self.reserve.take()?;
            outcome?;
        }
        self.probe()
    }

    /// Makes the log short, and takes what is past the retention out of the file.
    fn make_room(&mut self) -> Result<(), StorageError> {
        shorten(&self.connection)?;
        match self.trim(0) {
            // The disk works, and what is damaged is told.
            Err(error) if error.is_of_a_row() => warn!(%error, "retention failed"),
            Err(error) => {
                self.in_doubt = true;
                return Err(error);
            }
            Ok(()) => {}
        }
        // What was freed is given back by this.
        shorten(&self.connection)?;
        Ok(())
    }

    /// Writes and deletes as much as a few appends would.
    fn probe(&mut self) -> Result<(), StorageError> {
        self.settle()?;
        let filler = "REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?1))";
        self.connection.execute(filler, [PROBE_BYTES])?;
        self.connection.execute("DELETE FROM probe", [])?;
        Ok(())
    }

    /// After a failed write: goes back to what is stored, whatever that is.
    pub(super) fn settle(&mut self) -> Result<(), StorageError> {
        if !self.in_doubt {
            return Ok(());
        }
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        set_synchronous(&self.connection, Synchronous::Full)?;
        self.keep(Ledger::load(&self.connection)?);
        for (partition, ring) in self.shared.partitions.all().zip(&self.shared.rings) {
            let reach = self.ledger.partition(partition);
            ring.catch_up(reach.floor, reach.head);
        }
        self.in_doubt = false;
        Ok(())
    }
}

/// How often a failing disk is tried.
pub(super) const MEND_INTERVAL: Duration = Duration::from_secs(1);
/// How much a probe writes.
const PROBE_BYTES: i64 = 64 * 1024;
