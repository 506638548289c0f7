use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use switchboard_event::{Offset, Room, TenantId, Timestamp};

use crate::disk::families::Changed;
use crate::disk::kinds::{Kinds, Swept};
use crate::disk::ledger::Ledger;
use crate::disk::schema::{Synchronous, set_synchronous};
use crate::disk::scrub::give_back;
use crate::disk::session::Table;
use crate::disk::{DiskConfig, StorageError, row};
use crate::{Key, Partition, Partitions};

/// Takes what is too old or too much, in slices between the groups of appends.
///
/// Its commits are not synced by themselves: if the power fails, what was taken is back, and is
/// taken again.
#[derive(Debug)]
pub(super) struct Retention {
    age: Duration,
    bytes: u64,
    sessions_max: NonZeroU32,
    clock: Option<Told>,
    /// When ages were last looked at, in the writes' time.
    checked: Option<Timestamp>,
    kinds: Kinds,
    pace: Pace,
}

/// The time as the last write told it, and when it did.
#[derive(Clone, Copy, Debug)]
struct Told {
    time: Timestamp,
    at: Instant,
}

/// Whether a slice was not enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    Resting,
    Trimming,
}

impl Retention {
    pub(super) fn new(config: &DiskConfig) -> Self {
        let (age, bytes) = (config.retention_age, config.retention_bytes);
        Self {
            age,
            bytes,
            sessions_max: config.sessions_max,
            clock: None,
            checked: None,
            kinds: Kinds::new(config.retention_events.clone()),
            pace: Pace::Resting,
        }
    }

    /// Learns the time.
    pub(super) fn told(&mut self, time: Timestamp) {
        self.clock = Some(Told {
            time,
            at: instant(),
        });
    }

    /// Whether to call [`step`](Self::step) now.
    pub(super) fn is_due(&self, ledger: &Ledger) -> bool {
        self.is_busy()
            || ledger.bytes > self.bytes
            || self.now().is_some_and(|now| self.is_time_to_check(now))
    }

    /// Also after the clock went back, by however much.
    fn is_time_to_check(&self, now: Timestamp) -> bool {
        let Some(checked) = self.checked else {
            return true;
        };
        now < checked
            || checked
                .checked_add(CHECK_INTERVAL)
                .is_some_and(|next| next <= now)
    }

    /// The time, if a write has told it since the start.
    fn now(&self) -> Option<Timestamp> {
        let Told { time, at } = self.clock?;
        time.checked_add(at.elapsed())
    }

    /// Whether there is more to do as soon as there is time.
    pub(super) fn is_busy(&self) -> bool {
        self.pace == Pace::Trimming
    }

    /// Takes one slice: at most about twice the records that were just `appended`, so that the
    /// retention keeps up with any load. Answers what came of it, once it is committed.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        ledger: &Ledger,
        partitions: Partitions,
        appended: usize,
    ) -> Result<Trimmed, StorageError> {
        let Some(now) = self.now() else {
            return Ok(Trimmed {
                ledger: ledger.clone(),
                buried: Vec::new(),
                expired: Vec::new(),
            });
        };
        self.checked = Some(now);
        // If this step fails, the next one waits for its interval.
        let pace = std::mem::replace(&mut self.pace, Pace::Resting);
        let slice = Slice {
            now,
            age: self.age,
            bytes_max: match pace {
                Pace::Resting => self.bytes,
                // A little below the limit, so that not every append at the limit trims.
                Pace::Trimming => self.bytes - self.bytes / HEADROOM,
            },
            records_max: appended.saturating_mul(2).clamp(SLICE_MIN, SLICE_MAX),
            sessions_max: self.sessions_max,
        };
        set_synchronous(connection, Synchronous::Normal)?;
        let outcome = slice.take(connection, ledger, partitions, &self.kinds);
        // Appends never run in the other mode, so this is done before anything else is looked at.
        set_synchronous(connection, Synchronous::Full)?;
        let (swept, trimmed, more) = outcome?;
        self.kinds.keep(&swept);
        if more {
            self.pace = Pace::Trimming;
        }
        let buried = swept.buried;
        Ok(Trimmed { buried, ..trimmed })
    }
}

/// What a step came to.
#[derive(Debug)]
pub(super) struct Trimmed {
    pub(super) ledger: Ledger,
    /// Records whose payloads went before them.
    pub(super) buried: Vec<(Partition, Offset)>,
    /// Values that are gone.
    pub(super) expired: Vec<Changed>,
}

struct Slice {
    now: Timestamp,
    age: Duration,
    bytes_max: u64,
    records_max: usize,
    sessions_max: NonZeroU32,
}

/// What a slice takes, before it is taken.
#[derive(Debug, Default)]
struct Taken {
    seq: i64,
    count: usize,
    bytes: u64,
    floors: HashMap<i64, Offset>,
    /// The rooms of the records, and up to where their index goes.
    rooms: HashMap<(i64, String, Room), Offset>,
}

impl Slice {
    fn take(
        &self,
        connection: &mut Connection,
        before: &Ledger,
        partitions: Partitions,
        kinds: &Kinds,
    ) -> Result<(Swept, Trimmed, bool), StorageError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut ledger = before.clone();
        let taken = self.choose(&transaction, partitions, before)?;
        delete_records(&transaction, &taken)?;
        let expired = delete_values(&transaction, self.now)?;
        ledger.bytes = before.bytes.saturating_sub(taken.bytes);
        for (partition, floor) in taken.floors {
            let partition = known_partition(partitions, partition)?;
            ledger.partition_mut(partition).floor = floor;
        }
        let mut sessions = Table {
            connection: &transaction,
            ledger: &mut ledger,
            count_max: self.sessions_max,
        };
        let more_sessions = sessions.trim(self.now, SESSIONS_SLICE)?;
        let swept = kinds.sweep(&transaction, partitions, self.now, &mut ledger)?;
        ledger.store(&transaction, before)?;
        transaction.commit()?;
        let is_full = taken.count == self.records_max || expired.len() == VALUES_MAX;
        let more = is_full || more_sessions || swept.more;
        let shrinking = !more && shrink(connection)?;
        let trimmed = Trimmed {
            ledger,
            buried: Vec::new(),
            expired,
        };
        Ok((swept, trimmed, more || shrinking))
    }

    /// The oldest records that are over the limits.
    fn choose(
        &self,
        connection: &Connection,
        partitions: Partitions,
        before: &Ledger,
    ) -> Result<Taken, StorageError> {
        let mut select = connection.prepare_cached(
            "SELECT seq, partition, offset, tenant, rooms, bytes, appended_at FROM record \
             ORDER BY seq LIMIT ?1",
        )?;
        let mut rows = select.query([row::stored(self.records_max)])?;
        let (mut taken, mut bytes) = (Taken::default(), before.bytes);
        while let Some(row) = rows.next()? {
            let appended_at = Timestamp::from_millis(row.get(6)?);
            let is_old = appended_at
                .checked_add(self.age)
                .is_some_and(|end| end <= self.now);
            if !is_old && bytes <= self.bytes_max {
                break;
            }
            let size = row::number(row.get(5)?);
            bytes = bytes.saturating_sub(size);
            taken.add(row, partitions, before, size)?;
        }
        Ok(taken)
    }
}

impl Taken {
    fn add(
        &mut self,
        row: &rusqlite::Row<'_>,
        partitions: Partitions,
        before: &Ledger,
        size: u64,
    ) -> Result<(), StorageError> {
        self.seq = row.get(0)?;
        self.count += 1;
        self.bytes += size;
        let (partition, offset) = (row.get(1)?, row::offset(row.get(2)?));
        let known = known_partition(partitions, partition)?;
        let floor = self.floors.insert(partition, offset);
        let floor = floor.unwrap_or_else(|| before.partition(known).floor);
        let tenant: String = row.get(3)?;
        // What is next is so whatever became of its tenant, and is not kept for ever.
        if offset != floor.next() {
            check_owner(partitions, known, &tenant, offset)?;
        }
        let text = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
        // Rooms that cannot be read leave index entries behind, but never stop the retention.
        for room in row::parse_rooms(text).unwrap_or_default() {
            self.rooms.insert((partition, tenant.clone(), room), offset);
        }
        Ok(())
    }
}

fn delete_records(connection: &Connection, taken: &Taken) -> Result<(), StorageError> {
    if taken.count == 0 {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM record WHERE seq <= ?1")?
        .execute([taken.seq])?;
    let mut entries = connection.prepare_cached(
        "DELETE FROM room_record WHERE offset <= ?4 AND room = \
         (SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3)",
    )?;
    // A room whose last record is gone goes too: there is no end to contacts.
    let mut room = connection.prepare_cached(
        "DELETE FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3 \
         AND NOT EXISTS (SELECT 1 FROM room_record WHERE room = room.id)",
    )?;
    for ((partition, tenant, name), offset) in &taken.rooms {
        entries.execute((partition, tenant, name.name(), row::stored(offset.as_u64())))?;
        room.execute((partition, tenant, name.name()))?;
    }
    Ok(())
}

/// Forgets values whose time is over. They counted as absent already, unless a clock goes back.
fn delete_values(connection: &Connection, now: Timestamp) -> Result<Vec<Changed>, StorageError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM state WHERE (tenant, key) IN \
         (SELECT tenant, key FROM state WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2) \
         RETURNING tenant, key",
    )?;
    let mut rows = delete.query((now.as_millis(), row::stored(VALUES_MAX)))?;
    let mut deleted = Vec::new();
    while let Some(row) = rows.next()? {
        deleted.push((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    }
    // What cannot be read was never known of.
    let changed = |(tenant, key): (String, String)| {
        Some(Changed {
            tenant: TenantId::from_stored(&tenant).ok()?,
            key: key.parse::<Key>().ok()?,
            value: None,
        })
    };
    Ok(deleted.into_iter().filter_map(changed).collect())
}

/// Gives some pages back to the file system if much of the file is unused. Answers whether there
/// is more to give.
fn shrink(connection: &Connection) -> Result<bool, StorageError> {
    let count = |pragma| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, pragma, |row| row.get(0))
    };
    let (free, all) = (count("freelist_count")?, count("page_count")?);
    if free < FREE_PAGES_MIN || free * FREE_SHARE < all {
        return Ok(false);
    }
    give_back(connection, VACUUM_PAGES)?;
    Ok(count("freelist_count")? < free)
}

pub(super) fn known_partition(
    partitions: Partitions,
    stored: i64,
) -> Result<Partition, StorageError> {
    let partition = u16::try_from(stored)
        .ok()
        .and_then(|index| partitions.at(index));
    partition.ok_or_else(|| StorageError::Damaged(format!("a record is of partition {stored}")))
}

/// A row that was altered must not move the floor of a partition that is not its tenant's.
fn check_owner(
    partitions: Partitions,
    partition: Partition,
    tenant: &str,
    offset: Offset,
) -> Result<(), StorageError> {
    let owns =
        TenantId::from_stored(tenant).is_ok_and(|tenant| partitions.allow(&tenant, partition));
    owns.then_some(()).ok_or_else(|| {
        let reason = format!("record {offset} of partition {partition} is not as written");
        StorageError::Damaged(reason)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "elapsed time only; what time it is, writes tell"
)]
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// How often the age of the oldest record is looked at, at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many records a slice takes.
const SLICE_MIN: usize = 256;
const SLICE_MAX: usize = 4_096;
/// How many expired values a slice takes.
const VALUES_MAX: usize = 256;
/// How many sessions a slice takes.
const SESSIONS_SLICE: u32 = 256;
/// One part in so many of the limit is freed at once.
const HEADROOM: u64 = 64;
/// The file shrinks when at least so many pages, and one in so many, are unused.
const FREE_PAGES_MIN: i64 = 1_024;
const FREE_SHARE: i64 = 4;
/// How many pages a slice gives back.
const VACUUM_PAGES: u64 = 256;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use switchboard_event::Epoch;

    use super::*;
    use crate::disk::schema;

    #[test]
    fn commits_are_synced_again_after_a_step_however_it_went() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        std::fs::File::create_new(&path).unwrap();
        let partitions = Partitions::new(NonZeroU16::MIN);
        let (mut connection, _) =
            schema::open_writer(&path, partitions, Epoch::new(1), None).unwrap();
        let ledger = Ledger::load(&connection).unwrap();
        let mut retention = Retention::new(&DiskConfig::new(directory.path()));
        retention.told(Timestamp::from_millis(1_762_336_800_000));
        let full = |connection: &Connection| {
            let mode: i64 = connection
                .pragma_query_value(None, "synchronous", |row| row.get(0))
                .unwrap();
            mode == 2
        };
        assert!(full(&connection));

        retention
            .step(&mut connection, &ledger, partitions, 0)
            .unwrap();
        assert!(full(&connection));

        connection
            .execute_batch("ALTER TABLE record RENAME TO elsewhere")
            .unwrap();
        retention
            .step(&mut connection, &ledger, partitions, 0)
            .unwrap_err();
        assert!(full(&connection));
        assert!(connection.is_autocommit());
    }
}
