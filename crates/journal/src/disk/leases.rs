use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use switchboard_event::{TenantId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::disk::queue::{Job, Refused, SessionJob, WRITER_ENDED};
use crate::disk::reader::LEASES;
use crate::disk::session::Table;
use crate::disk::{DiskJournal, StorageError, row};
use crate::lease::LeaseCursor;
use crate::leases::{check, check_count};
use crate::{Holder, LEASES_MAX, Lease, LeaseError, LeaseName, Leases, Partition, ReadError};

#[async_trait]
impl Leases for DiskJournal {
    async fn hold(&self, leases: &[Lease]) -> Result<(), LeaseError> {
        check(leases)?;
        let partitions = self.shared.partitions;
        let leases: Vec<_> = leases
            .iter()
            .map(|lease| (partitions.of(&lease.name.tenant), lease.clone()))
            .collect();
        self.change(leases.len(), move |connection| {
            let mut replace = connection.prepare_cached(
                "INSERT INTO lease (partition, tenant, name, holder, expires_at, value) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (partition, tenant, name, holder) \
                 DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value",
            )?;
            for (partition, lease) in &leases {
                replace.execute((
                    partition.index(),
                    lease.name.tenant.as_str(),
                    lease.name.name.as_str(),
                    lease.holder.number().cast_signed(),
                    lease.expires_at.as_millis(),
                    &*lease.value,
                ))?;
            }
            Ok(())
        })
        .await
    }

    async fn renew(
        &self,
        holder: Holder,
        names: &[LeaseName],
        expires_at: Timestamp,
    ) -> Result<Vec<usize>, LeaseError> {
        let names = self.placed(names)?;
        self.change(names.len(), move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE lease SET expires_at = max(expires_at, ?5) \
                 WHERE partition = ?1 AND tenant = ?2 AND name = ?3 AND holder = ?4",
            )?;
            let mut gone = Vec::new();
            for (index, (partition, name)) in names.iter().enumerate() {
                let renewed = update.execute((
                    partition.index(),
                    name.tenant.as_str(),
                    name.name.as_str(),
                    holder.number().cast_signed(),
                    expires_at.as_millis(),
                ))?;
                if renewed == 0 {
                    gone.push(index);
                }
            }
            Ok(gone)
        })
        .await
    }

    async fn release(&self, holder: Holder, names: &[LeaseName]) -> Result<(), LeaseError> {
        let names = self.placed(names)?;
        self.change(names.len(), move |connection| {
            for (partition, name) in &names {
                delete(connection, *partition, name, holder)?;
            }
            Ok(())
        })
        .await
    }

    async fn held(
        &self,
        partition: Partition,
        prefix: &str,
        after: Option<&LeaseCursor>,
    ) -> Result<Vec<Lease>, LeaseError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        let read =
            move |connection: &Connection| select(connection, partition, &prefix, after.as_ref());
        Ok(self.readers.run(LEASES, read).await?)
    }

    async fn take_expired(
        &self,
        partition: Partition,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Lease>, LeaseError> {
        // Most of the time there is none, and a look costs no write.
        let (wanted, due) = (prefix.to_owned(), now.as_millis());
        let look = move |connection: &Connection| {
            let mut select = connection.prepare_cached(
                "SELECT 1 FROM lease WHERE partition = ?1 AND expires_at <= ?2 \
                 AND substr(name, 1, length(?3)) = ?3 LIMIT 1",
            )?;
            let found = select.query_row((partition.index(), due, &wanted), |_| Ok(()));
            Ok(found.optional()?.is_some())
        };
        if !self.readers.run(LEASES, look).await? {
            return Ok(Vec::new());
        }
        let prefix = prefix.to_owned();
        self.change(LEASES_MAX, move |connection| {
            take(connection, partition, &prefix, now)
        })
        .await
    }
}

impl DiskJournal {
    /// These names and where they lie.
    fn placed(&self, names: &[LeaseName]) -> Result<Vec<(Partition, LeaseName)>, LeaseError> {
        check_count(names.len())?;
        let partitions = self.shared.partitions;
        let placed = |name: &LeaseName| (partitions.of(&name.tenant), name.clone());
        Ok(names.iter().map(placed).collect())
    }

    /// Lets the writer change so many leases, and waits until it is committed.
    async fn change<T: Send + 'static>(
        &self,
        count: usize,
        work: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, LeaseError> {
        let bytes = count * LEASE_BYTES;
        let room = self.queue.room(bytes)?;
        let (answer, answered) = oneshot::channel();
        self.queue.put(Job::Session(Box::new(Ticket {
            bytes,
            work: Some(work),
            value: None,
            answer,
            room,
        })))?;
        let ended = |_| Err(Refused::Ended.into());
        answered.await.unwrap_or_else(ended)
    }
}

/// Work on its way to the writer, and what came of it until the group is committed.
struct Ticket<W, T> {
    bytes: usize,
    work: Option<W>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, LeaseError>>,
    room: OwnedSemaphorePermit,
}

impl<W, T> SessionJob for Ticket<W, T>
where
    W: FnOnce(&Connection) -> Result<T, StorageError> + Send,
    T: Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn write(&mut self, table: &mut Table<'_>) -> Result<(), StorageError> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(table.connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), &str>) {
        let outcome = match (committed, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(Refused::Ended.into()),
            (Err(reason), _) => Err(LeaseError::Unavailable {
                reason: reason.to_owned(),
            }),
        };
        drop(self.room);
        // Who does not wait any more needs no answer.
        let _ = self.answer.send(outcome);
    }
}

fn select(
    connection: &Connection,
    partition: Partition,
    prefix: &str,
    after: Option<&LeaseCursor>,
) -> Result<Vec<Lease>, StorageError> {
    let mut select = connection.prepare_cached(
        "SELECT tenant, name, holder, expires_at, value FROM lease WHERE partition = ?1 \
         AND (tenant, name, holder) > (?2, ?3, ?4) AND substr(name, 1, length(?5)) = ?5 \
         ORDER BY tenant, name, holder LIMIT ?6",
    )?;
    let (tenant, name, holder) = match after {
        Some((name, holder)) => (
            name.tenant.as_str(),
            name.name.as_str(),
            holder.number().cast_signed(),
        ),
        None => ("", "", i64::MIN),
    };
    let limit = row::stored(LEASES_MAX);
    let mut rows = select.query((partition.index(), tenant, name, holder, prefix, limit))?;
    let mut leases = Vec::new();
    while let Some(row) = rows.next()? {
        leases.push(lease(row)?);
    }
    Ok(leases)
}

fn take(
    connection: &Connection,
    partition: Partition,
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<Lease>, StorageError> {
    let mut select = connection.prepare_cached(
        "SELECT tenant, name, holder, expires_at, value FROM lease WHERE partition = ?1 \
         AND expires_at <= ?2 AND substr(name, 1, length(?3)) = ?3 ORDER BY expires_at LIMIT ?4",
    )?;
    let limit = row::stored(LEASES_MAX);
    let mut rows = select.query((partition.index(), now.as_millis(), prefix, limit))?;
    let mut leases = Vec::new();
    while let Some(row) = rows.next()? {
        leases.push(lease(row)?);
    }
    drop(rows);
    for lease in &leases {
        delete(connection, partition, &lease.name, lease.holder)?;
    }
    Ok(leases)
}

fn delete(
    connection: &Connection,
    partition: Partition,
    name: &LeaseName,
    holder: Holder,
) -> Result<(), StorageError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM lease WHERE partition = ?1 AND tenant = ?2 AND name = ?3 AND holder = ?4",
    )?;
    delete.execute((
        partition.index(),
        name.tenant.as_str(),
        name.name.as_str(),
        holder.number().cast_signed(),
    ))?;
    Ok(())
}

fn lease(row: &Row<'_>) -> Result<Lease, StorageError> {
    let damaged = || StorageError::Damaged("a lease is not as written".to_owned());
    let text = |column| row.get_ref(column)?.as_str().map_err(|_| damaged());
    let name = LeaseName {
        tenant: TenantId::from_stored(text(0)?).map_err(|_| damaged())?,
        name: text(1)?.parse().map_err(|_| damaged())?,
    };
    Ok(Lease {
        name,
        holder: Holder::new(row.get::<_, i64>(2)?.cast_unsigned()),
        expires_at: Timestamp::from_millis(row.get(3)?),
        value: Bytes::copy_from_slice(row.get_ref(4)?.as_blob().map_err(|_| damaged())?),
    })
}

impl From<Refused> for LeaseError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::Overloaded,
            Refused::Closed => Self::Closed,
            Refused::Ended => Self::Unavailable {
                reason: WRITER_ENDED.to_owned(),
            },
        }
    }
}

impl From<ReadError> for LeaseError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            other => Self::Unavailable {
                reason: other.to_string(),
            },
        }
    }
}

/// What a lease takes up in the queue, about.
const LEASE_BYTES: usize = 256;
