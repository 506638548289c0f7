use rusqlite::{Connection, OptionalExtension};
use switchboard_event::Offset;

use crate::Partition;
use crate::disk::schema::meta;
use crate::disk::{StorageError, row};

/// What the writer counts: part of every commit, and rolled back with it.
///
/// A transaction works on a clone, which takes the original's place once COMMIT has returned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ledger {
    reaches: Vec<Extremes>,
    /// The last version given to a value. Never goes back, so that versions never repeat.
    pub(super) version: u64,
    /// What the records take up, as retention counts.
    pub(super) bytes: u64,
    /// How many sessions there are.
    pub(super) sessions: u64,
    /// How many commits were synced.
    pub(super) commit: u64,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Extremes {
    pub(super) floor: Offset,
    pub(super) head: Offset,
}

impl Ledger {
    pub(super) fn load(connection: &Connection) -> Result<Self, StorageError> {
        let mut select =
            connection.prepare_cached("SELECT id, floor, head FROM partition ORDER BY id")?;
        let mut rows = select.query([])?;
        let mut reaches = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if id != row::stored(reaches.len()) {
                let reason = format!("partition {} has no row", reaches.len());
                return Err(StorageError::Damaged(reason));
            }
            let (floor, head) = (row::offset(row.get(1)?), row::offset(row.get(2)?));
            reaches.push(Extremes { floor, head });
        }
        drop(rows);
        let version = row::number(meta(connection, "version")?);
        let bytes = row::number(meta(connection, "bytes")?);
        let sessions = row::number(meta(connection, "sessions")?);
        let commit = row::number(meta(connection, "commit")?);
        Ok(Self {
            reaches,
            version,
            bytes,
            sessions,
            commit,
        })
    }

    /// Proves that the partitions end where they say, which two looks at an index tell: from a wrong
    /// end on, records would be hidden or their offsets given again.
    pub(super) fn prove(&self, connection: &Connection) -> Result<(), StorageError> {
        let mut first = connection
            .prepare("SELECT offset FROM record WHERE partition = ?1 ORDER BY offset LIMIT 1")?;
        let mut last = connection.prepare(
            "SELECT offset FROM record WHERE partition = ?1 ORDER BY offset DESC LIMIT 1",
        )?;
        for (id, Extremes { floor, head }) in self.reaches.iter().enumerate() {
            let place = [row::stored(id)];
            let first = first.query_row(place, |row| row.get(0).map(row::offset));
            let last = last.query_row(place, |row| row.get(0).map(row::offset));
            let held = first.optional()?.zip(last.optional()?);
            let (first, last) = held.unwrap_or_else(|| (floor.next(), *floor));
            if (first, last) != (floor.next(), *head) {
                let (from, to) = (floor.next(), head);
                let reason =
                    format!("partition {id} holds offsets {first} to {last}, not {from} to {to}");
                return Err(StorageError::Damaged(reason));
            }
        }
        Ok(())
    }

    /// Writes what differs from `before`.
    pub(super) fn store(&self, connection: &Connection, before: &Self) -> Result<(), StorageError> {
        let mut update = connection
            .prepare_cached("UPDATE partition SET floor = ?2, head = ?3 WHERE id = ?1")?;
        for (id, (now, then)) in self.reaches.iter().zip(&before.reaches).enumerate() {
            if now != then {
                let (floor, head) = (now.floor.as_u64(), now.head.as_u64());
                update.execute((row::stored(id), row::stored(floor), row::stored(head)))?;
            }
        }
        let mut update = connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
        for (name, now, then) in [
            ("version", self.version, before.version),
            ("bytes", self.bytes, before.bytes),
            ("sessions", self.sessions, before.sessions),
            ("commit", self.commit, before.commit),
        ] {
            if now != then {
                update.execute((name, row::stored(now)))?;
            }
        }
        Ok(())
    }

    pub(super) fn partition_mut(&mut self, partition: Partition) -> &mut Extremes {
        &mut self.reaches[usize::from(partition.index())]
    }

    pub(super) fn partition(&self, partition: Partition) -> Extremes {
        self.reaches[usize::from(partition.index())]
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub(super) fn forget_sessions(&mut self, count: usize) {
        self.sessions = self.sessions.saturating_sub(count as u64);
    }
}
