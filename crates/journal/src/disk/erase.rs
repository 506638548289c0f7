//! Taking a room's payloads, slice by slice between the appends, and then their bytes.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use switchboard_event::{Event, Offset, TenantId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::sleep;

use crate::disk::queue::{Job, Refused, SessionJob, WRITER_ENDED};
use crate::disk::scrub::Scrubbed;
use crate::disk::session::Table;
use crate::disk::tombstone::bury;
use crate::disk::{DiskJournal, Shared, StorageError, row};
use crate::erasure::{Companion, Traces, companions};
use crate::{EraseError, Erased, Partition, TenantRoom};

impl DiskJournal {
    pub(super) async fn erase_room(&self, room: &TenantRoom) -> Result<Erased, EraseError> {
        let mut erased = Erased::default();
        for partition in self.shared.partitions.all() {
            if !self.shared.partitions.allow(&room.tenant, partition) {
                continue;
            }
            let ring = self
                .shared
                .ring(partition)
                .map_err(|_| EraseError::Closed)?;
            let slice = Slice::Records {
                partition,
                after: Offset::ZERO,
                through: ring.extent().head,
            };
            self.erase_from(room, slice, &mut erased).await?;
        }
        for prefix in Traces::PREFIXES {
            let after = prefix.to_owned();
            let slice = Slice::Values { prefix, after };
            self.erase_from(room, slice, &mut erased).await?;
        }
        self.scrub().await?;
        Ok(erased)
    }

    async fn erase_from(
        &self,
        room: &TenantRoom,
        slice: Slice,
        erased: &mut Erased,
    ) -> Result<(), EraseError> {
        let mut next = Some(slice);
        while let Some(slice) = next {
            let permit = self.queue.room(SLICE_BYTES)?;
            let (answer, outcome) = oneshot::channel();
            self.queue.put(Job::Session(Box::new(Erasing {
                room: room.clone(),
                slice,
                shared: Arc::clone(&self.shared),
                taken: Taken::default(),
                answer,
                permit,
            })))?;
            let taken = outcome
                .await
                .unwrap_or_else(|_| Err(Refused::Ended.into()))?;
            erased.records += taken.buried.len() as u64;
            erased.values += taken.values;
            next = taken.next;
        }
        Ok(())
    }

    /// Gives back what of the file is unused, and empties the log: both may hold what was erased.
    async fn scrub(&self) -> Result<(), EraseError> {
        let (mut pages, mut refusals) = (None, 0);
        loop {
            let (answer, outcome) = oneshot::channel();
            self.queue.put(Job::Scrub { pages, answer })?;
            let scrubbed = outcome
                .await
                .unwrap_or_else(|_| Err(WRITER_ENDED.to_owned()));
            match scrubbed.map_err(|reason| EraseError::Unavailable { reason })? {
                Scrubbed::Whole => return Ok(()),
                Scrubbed::More(left) => pages = Some(left),
                Scrubbed::Read if refusals < REFUSALS_MAX => {
                    (pages, refusals) = (Some(0), refusals + 1);
                    sleep(REFUSAL_PAUSE).await;
                }
                Scrubbed::Read => {
                    let reason = "the payloads are gone, and their bytes still in the log, which \
                                  somebody reads";
                    return Err(EraseError::Unavailable {
                        reason: reason.to_owned(),
                    });
                }
            }
        }
    }
}

/// A part of what is to be looked through.
#[derive(Clone, Debug)]
enum Slice {
    Records {
        partition: Partition,
        after: Offset,
        through: Offset,
    },
    Values {
        prefix: &'static str,
        after: String,
    },
}

/// What a slice came to.
#[derive(Debug, Default)]
struct Taken {
    buried: Vec<(Partition, Offset)>,
    values: u64,
    next: Option<Slice>,
}

/// A slice on its way to the writer.
struct Erasing {
    room: TenantRoom,
    slice: Slice,
    shared: Arc<Shared>,
    taken: Taken,
    answer: oneshot::Sender<Result<Taken, EraseError>>,
    permit: OwnedSemaphorePermit,
}

impl SessionJob for Erasing {
    fn bytes(&self) -> usize {
        SLICE_BYTES
    }

    fn now(&self) -> Option<switchboard_event::Timestamp> {
        None
    }

    fn write(&mut self, table: &mut Table<'_>) -> Result<(), StorageError> {
        // What is freed is overwritten, for as long as this lasts also whole pages.
        set_secure_delete(table.connection, "ON")?;
        let outcome = match self.slice.clone() {
            Slice::Records {
                partition,
                after,
                through,
            } => self.bury(table, partition, after, through),
            Slice::Values { prefix, after } => self.forget(table.connection, prefix, after),
        };
        set_secure_delete(table.connection, "FAST")?;
        self.taken = outcome?;
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), &str>) {
        let Self {
            shared,
            taken,
            answer,
            permit,
            ..
        } = *self;
        let outcome = match committed {
            Ok(()) => {
                for (partition, offset) in &taken.buried {
                    shared.rings[usize::from(partition.index())].bury(*offset);
                }
                if taken.values > 0 {
                    shared.families.clear();
                }
                Ok(taken)
            }
            Err(reason) => Err(EraseError::Unavailable {
                reason: reason.to_owned(),
            }),
        };
        drop(permit);
        // Who does not wait any more needs no answer.
        let _ = answer.send(outcome);
    }
}

impl Erasing {
    fn bury(
        &self,
        table: &mut Table<'_>,
        partition: Partition,
        after: Offset,
        through: Offset,
    ) -> Result<Taken, StorageError> {
        let connection = table.connection;
        let TenantRoom { tenant, room } = &self.room;
        let mut select = connection.prepare_cached(
            "SELECT offset, seq FROM room_record WHERE offset > ?4 AND offset <= ?5 AND room = \
             (SELECT id FROM room WHERE partition = ?1 AND tenant = ?2 AND name = ?3) \
             ORDER BY offset LIMIT ?6",
        )?;
        let bounds = (
            partition.index(),
            tenant.as_str(),
            room.name(),
            row::stored(after.as_u64()),
            row::stored(through.as_u64()),
            row::stored(RECORDS_MAX),
        );
        let entries = select.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let entries: Vec<(i64, i64)> = entries.collect::<Result<_, _>>()?;
        let mut taken = Taken::default();
        let partitions = self.shared.partitions;
        // An index that was altered must not lead to somebody else's record.
        let is_of_room =
            |event: &Event| event.tenant() == tenant && event.audience().rooms.contains(room);
        for (_, seq) in &entries {
            let Some(buried) = bury(connection, partitions, *seq, table.ledger, is_of_room)? else {
                continue;
            };
            for companion in buried.event.iter().flat_map(companions) {
                taken.values += forget_companion(connection, tenant, &companion)?;
            }
            taken.buried.push((buried.partition, buried.offset));
        }
        if entries.len() == RECORDS_MAX {
            taken.next = entries.last().map(|(offset, _)| Slice::Records {
                partition,
                after: row::offset(*offset),
                through,
            });
        }
        Ok(taken)
    }

    fn forget(
        &self,
        connection: &Connection,
        prefix: &'static str,
        after: String,
    ) -> Result<Taken, StorageError> {
        let TenantRoom { tenant, room } = &self.room;
        let traces = Traces::of(room);
        // The character after `:`, with which every prefix ends.
        let end = format!("{};", prefix.trim_end_matches(':'));
        let mut select = connection.prepare_cached(
            "SELECT key, value FROM state WHERE tenant = ?1 AND key > ?2 AND key < ?3 \
             ORDER BY key LIMIT ?4",
        )?;
        let bounds = (tenant.as_str(), after, end, row::stored(VALUES_MAX));
        let mut rows = select.query(bounds)?;
        let (mut count, mut last, mut named) = (0, None, Vec::new());
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            let value = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if traces.are_in(&key, value) {
                named.push(key.clone());
            }
            (count, last) = (count + 1, Some(key));
        }
        drop(rows);
        let mut taken = Taken::default();
        for key in &named {
            taken.values += delete(connection, tenant, key)?;
        }
        if count == VALUES_MAX {
            taken.next = last.map(|after| Slice::Values { prefix, after });
        }
        Ok(taken)
    }
}

fn forget_companion(
    connection: &Connection,
    tenant: &TenantId,
    Companion { key, value }: &Companion,
) -> Result<u64, StorageError> {
    if let Some(value) = value {
        let mut select =
            connection.prepare_cached("SELECT value FROM state WHERE tenant = ?1 AND key = ?2")?;
        let stored = select.query_row((tenant.as_str(), key), |row| row.get::<_, Vec<u8>>(0));
        if stored.optional()?.as_deref() != Some(&value[..]) {
            return Ok(0);
        }
    }
    delete(connection, tenant, key)
}

fn delete(connection: &Connection, tenant: &TenantId, key: &str) -> Result<u64, StorageError> {
    let mut delete =
        connection.prepare_cached("DELETE FROM state WHERE tenant = ?1 AND key = ?2")?;
    Ok(delete.execute((tenant.as_str(), key))? as u64)
}

pub(super) fn set_secure_delete(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "secure_delete", mode, |_| Ok(()))
}

/// How many records a slice takes, so that appends wait for a few milliseconds.
const RECORDS_MAX: usize = 64;
/// How many values a slice looks at.
const VALUES_MAX: usize = 1_024;
/// What a slice takes up in the queue.
const SLICE_BYTES: usize = 64 * 1024;
/// How often the log is tried to be emptied while somebody reads, and how long is waited each time.
const REFUSALS_MAX: u32 = 20;
const REFUSAL_PAUSE: Duration = Duration::from_millis(500);
