//! The invariants of docs/journal.md, one function each.

use std::collections::HashSet;
use std::num::NonZeroU16;

use rusqlite::{Connection, OptionalExtension, Row};
use switchboard_event::{Epoch, Event, Offset, TenantId};

use crate::batch::event_bytes;
use crate::disk::StorageError;
use crate::disk::row::{self, record_columns};
use crate::disk::schema::meta;
use crate::disk::session_row::SessionRow;
use crate::disk::tools::{Finding, Progress, Verdict};
use crate::{Key, Partition, Partitions};

/// One look at everything, in one transaction.
pub(super) struct Inspection<'a> {
    connection: &'a Connection,
    verdict: &'a mut Verdict,
    progress: &'a mut dyn FnMut(Progress),
    /// The sum of what the records take up.
    bytes: u64,
    /// How many entries the index by room must have.
    entries: u64,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        verdict: &'a mut Verdict,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            connection,
            verdict,
            progress,
            bytes: 0,
            entries: 0,
        }
    }

    /// Looks at every table. One that cannot be read is a finding, and the others are read.
    pub(super) fn run(mut self) {
        let before = self.verdict.findings.len();
        let outcome = self.partitions();
        self.note("record", outcome);
        // What was not read whole has other sums.
        if self.verdict.findings.len() == before {
            let outcome = self.sums();
            self.note("meta", outcome);
        }
        (self.progress)(Progress::Values);
        let outcome = self.values();
        self.note("state", outcome);
        let outcome = self.sessions();
        self.note("session", outcome);
        let outcome = self.leases();
        self.note("lease", outcome);
    }

    fn note(&mut self, table: &'static str, outcome: Result<(), StorageError>) {
        if let Err(error) = outcome {
            self.verdict.found(Finding::of(table, error.to_string()));
        }
    }

    fn found(&mut self, table: &'static str, problem: impl Into<String>) {
        self.verdict.found(Finding::of(table, problem));
    }

    /// Invariants 1, 3 and 7 from the records' side.
    fn partitions(&mut self) -> Result<(), StorageError> {
        let mut select = self
            .connection
            .prepare("SELECT id, floor, head FROM partition ORDER BY id")?;
        let reaches = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let reaches: Vec<(i64, i64, i64)> = reaches.collect::<Result<_, _>>()?;
        let stored = meta(self.connection, "partitions")?;
        let count = u16::try_from(stored).ok().and_then(NonZeroU16::new);
        let numbers = reaches.iter().map(|(id, ..)| *id);
        let Some(count) = count.filter(|_| numbers.eq(0..stored)) else {
            let problem = format!("has {} rows for {stored} partitions", reaches.len());
            self.found("partition", problem);
            return Ok(());
        };
        let partitions = Partitions::new(count);
        let sum = |(_, floor, head): &(i64, i64, i64)| row::number(head - floor);
        let of = reaches.iter().map(sum).sum();
        for (partition, (_, floor, head)) in partitions.all().zip(reaches) {
            let (floor, head) = (row::number(floor), row::number(head));
            self.partition(partitions, partition, floor, head, of)?;
        }
        let records = self.count("SELECT count(*) FROM record")?;
        if records != self.verdict.records {
            let seen = self.verdict.records;
            let problem = format!("has {records} rows, of which {seen} are in a partition");
            self.found("record", problem);
        }
        Ok(())
    }

    fn partition(
        &mut self,
        partitions: Partitions,
        partition: Partition,
        floor: u64,
        head: u64,
        of: u64,
    ) -> Result<(), StorageError> {
        let mut select = self.connection.prepare(concat!(
            "SELECT ",
            record_columns!(),
            ", bytes, seq FROM record WHERE partition = ?1 ORDER BY offset"
        ))?;
        let mut rows = select.query([partition.index()])?;
        let number = i64::from(partition.index());
        let mut expected = floor + 1;
        while let Some(found) = rows.next()? {
            let offset = row::number(found.get(0)?);
            if offset != expected {
                let problem = format!("follows where {expected} should");
                let finding = Finding::of("record", problem);
                self.verdict.found(finding.at(number, offset));
            }
            expected = offset + 1;
            if let Err(problem) = self.record(found, partitions, partition) {
                let finding = Finding::of("record", problem.to_string());
                self.verdict.found(finding.at(number, offset));
            }
            self.verdict.records += 1;
            if self.verdict.records.is_multiple_of(PROGRESS_RECORDS) {
                let done = self.verdict.records;
                (self.progress)(Progress::Records { done, of });
            }
        }
        if expected != head + 1 {
            let problem = format!("ends at {}, and its head is {head}", expected - 1);
            let finding = Finding::of("partition", problem);
            self.verdict.found(finding.at(number, expected - 1));
        }
        Ok(())
    }

    /// One record, and its entries in the index by room.
    fn record(
        &mut self,
        found: &Row<'_>,
        partitions: Partitions,
        partition: Partition,
    ) -> Result<(), StorageError> {
        let damaged = |problem: &str| Err(StorageError::Damaged(problem.to_owned()));
        let Ok(record) = row::record(found, Epoch::new(0)) else {
            return damaged("is not as written");
        };
        let event = &record.event;
        if !partitions.allow(event.tenant(), partition) {
            return damaged("is not of a tenant of this partition");
        }
        let bytes = row::number(found.get(13)?);
        self.bytes += bytes;
        if bytes != event_bytes(event) as u64 {
            return damaged("is not as long as it says");
        }
        self.listed(event, partition, record.position.offset, found.get(14)?)
    }

    fn listed(
        &mut self,
        event: &Event,
        partition: Partition,
        offset: Offset,
        seq: i64,
    ) -> Result<(), StorageError> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq FROM room_record WHERE offset = ?4 AND room = \
             (SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3)",
        )?;
        let rooms: HashSet<_> = event.audience().rooms.iter().collect();
        for room in rooms {
            let tenant = event.tenant().as_str();
            let offset = row::stored(offset.as_u64());
            let entry = (partition.index(), tenant, room.name(), offset);
            let listed: Option<i64> = select.query_row(entry, |row| row.get(0)).optional()?;
            self.entries += 1;
            if listed != Some(seq) {
                let problem = "is not in the index by room as it should be";
                return Err(StorageError::Damaged(problem.to_owned()));
            }
        }
        Ok(())
    }

    /// Invariants 3, 4, 5 and 6 by their sums.
    fn sums(&mut self) -> Result<(), StorageError> {
        let entries = self.count("SELECT count(*) FROM room_record")?;
        if entries != self.entries {
            let problem = format!("has {entries} entries, the records have {}", self.entries);
            self.found("room_record", problem);
        }
        let empty = self.count(
            "SELECT count(*) FROM room WHERE NOT EXISTS \
             (SELECT 1 FROM room_record WHERE room = room.id)",
        )?;
        if empty > 0 {
            self.found("room", format!("has {empty} rooms without a record"));
        }
        let highest = self.count("SELECT coalesce(max(version), 0) FROM state")?;
        let sessions = self.count("SELECT count(*) FROM session")?;
        let bytes = self.bytes;
        for (name, actual) in [("bytes", bytes), ("sessions", sessions)] {
            let stored = row::number(meta(self.connection, name)?);
            if stored != actual {
                self.found("meta", format!("{name} is {stored}, it should be {actual}"));
            }
        }
        let version = row::number(meta(self.connection, "version")?);
        if version < highest {
            self.found("meta", format!("version is {version}, below {highest}"));
        }
        meta(self.connection, "commit")?;
        Ok(())
    }

    fn values(&mut self) -> Result<(), StorageError> {
        let mut select = self
            .connection
            .prepare("SELECT version, expires_at, checksum, value, tenant, key FROM state")?;
        let mut rows = select.query([])?;
        while let Some(found) = rows.next()? {
            self.verdict.values += 1;
            let number = self.verdict.values;
            let is_good = || {
                let tenant = TenantId::from_stored(&found.get::<_, String>(4).ok()?).ok()?;
                let key: Key = found.get::<_, String>(5).ok()?.parse().ok()?;
                row::value(found, &tenant, &key).ok()
            };
            if is_good().is_none() {
                // Keys hold ids of messages, so it is told by its place.
                self.found(
                    "state",
                    format!("value {number} in the order of keys is not as written"),
                );
            }
        }
        Ok(())
    }

    fn sessions(&mut self) -> Result<(), StorageError> {
        let mut select = self.connection.prepare(
            "SELECT tenant, user, socket_id, epoch, start, rooms, checksum, key FROM session",
        )?;
        let mut rows = select.query([])?;
        while let Some(found) = rows.next()? {
            self.verdict.sessions += 1;
            let number = self.verdict.sessions;
            let key: Option<[u8; 32]> = found.get(7).ok();
            let session = key.and_then(|key| SessionRow::check(found, &key));
            if session.is_none_or(|session| session.into_session().is_err()) {
                let problem = format!("session {number} in the order of keys is not as written");
                self.found("session", problem);
            }
        }
        Ok(())
    }

    fn leases(&mut self) -> Result<(), StorageError> {
        let mut select = self.connection.prepare("SELECT tenant, name FROM lease")?;
        let mut rows = select.query([])?;
        while let Some(found) = rows.next()? {
            let is_good = || {
                TenantId::from_stored(&found.get::<_, String>(0).ok()?).ok()?;
                found.get::<_, String>(1).ok()?.parse::<Key>().ok()
            };
            if is_good().is_none() {
                self.found("lease", "a lease is not as written");
            }
        }
        Ok(())
    }

    fn count(&self, sql: &str) -> Result<u64, StorageError> {
        Ok(self
            .connection
            .query_row(sql, [], |row| row.get(0).map(row::number))?)
    }
}

/// After how many records progress is told.
const PROGRESS_RECORDS: u64 = 100_000;
