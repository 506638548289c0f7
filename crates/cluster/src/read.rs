//! How records and values are read back.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::Value as Reply;
use switchboard_event::{Offset, Position, TenantId, Timestamp};
use switchboard_journal::implement::{Extent, PageBuilder, admit};
use switchboard_journal::{
    AWAITING_MAX, Key, Page, Query, ReadError, Record, TAIL_BATCH_MAX, TenantRoom, Value, Version,
};

use crate::codec::decode_event;
use crate::core::Core;
use crate::error::Failure;
use crate::reply::{self, Meta};
use crate::script::{FETCH, INDEX, LOOK, RECORDS};
use crate::shard::Shard;

impl Core {
    /// How far the partition is.
    pub(crate) async fn look(&self, shard: &Shard) -> Result<Meta, Failure> {
        let (_, meta, _) = self.ask(shard, &LOOK, &["meta", "log"], |_| {}).await?;
        Ok(meta)
    }

    /// Answers a query: from memory if all of it is there.
    pub(crate) async fn page(&self, shard: &Shard, query: &Query) -> Result<Page, ReadError> {
        if let Some(ring) = shard.ring() {
            let extent = ring.extent();
            // What another node told is perhaps not here yet.
            let covers = extent.epoch == query.after.epoch
                && query.after.offset.max(query.through) <= extent.head;
            if covers && let Some(page) = ring.read(query).await? {
                return Ok(page);
            }
        }
        self.reads.increment("page");
        let meta = self.look(shard).await?;
        let Some(through) = admit(query, &extent(&meta))? else {
            return Ok(Page {
                records: Vec::new(),
                next: None,
            });
        };
        let mut page = PageBuilder::new(query, through);
        let mut cursor = query.after.offset;
        while cursor < through {
            let (horizon, offsets) = self.index(shard, query, cursor, through).await?;
            let offsets: Vec<u64> = offsets.into_iter().collect();
            for some in offsets.chunks(FETCH_MAX) {
                let mut some = some;
                while !some.is_empty() {
                    let records = self.fetch(shard, query.after, some).await?;
                    some = &some[records.len().min(some.len())..];
                    for record in records {
                        if page.offer(record).is_break() {
                            return Ok(page.finish());
                        }
                    }
                }
            }
            cursor = horizon;
        }
        Ok(page.finish())
    }

    /// Offsets of the query's rooms behind `cursor`, and up to where they are all there are.
    async fn index(
        &self,
        shard: &Shard,
        query: &Query,
        cursor: Offset,
        through: Offset,
    ) -> Result<(Offset, BTreeSet<u64>), ReadError> {
        let of_each = query.records_max().saturating_mul(2) / query.rooms.len().max(1);
        let count = of_each.clamp(ENTRIES_MIN, query.records_max().max(ENTRIES_MIN));
        let (mut horizon, mut offsets) = (through.as_u64(), BTreeSet::new());
        for rooms in query.rooms.chunks(ROOMS_MAX) {
            let names = ["meta", "log", "rooms"];
            let answer = self.ask(shard, &INDEX, &names, |call| {
                call.arg(cursor.as_u64()).arg(through.as_u64()).arg(count);
                for TenantRoom { tenant, room } in rooms {
                    call.arg(format!("{}\n{}", tenant.as_str(), room.name()));
                }
            });
            let (_, meta, found) = answer.await?;
            // What retention took meanwhile would be missing without a word.
            extent(&meta).check(Position {
                offset: cursor,
                ..query.after
            })?;
            let found: Option<Vec<u64>> = found.iter().map(reply::number).collect();
            let found = found.ok_or_else(|| Failure::strange("an index"))?;
            let (first, found) = found
                .split_first()
                .ok_or_else(|| Failure::strange("an index"))?;
            horizon = horizon.min(*first);
            offsets.extend(found);
        }
        offsets.retain(|offset| *offset <= horizon);
        Ok((Offset::new(horizon), offsets))
    }

    /// Records by their offsets: the first of them, as many as are not too long.
    async fn fetch(
        &self,
        shard: &Shard,
        after: Position,
        offsets: &[u64],
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let answer = self.ask(shard, &FETCH, &["meta", "log"], |call| {
            call.arg(Query::BYTES_MAX).arg(offsets);
        });
        let (_, meta, found) = answer.await?;
        let Some(first) = offsets.first() else {
            return Ok(Vec::new());
        };
        let before = Offset::new(first.saturating_sub(1));
        extent(&meta).check(Position {
            offset: before,
            ..after
        })?;
        if found.is_empty() {
            return Err(Failure::strange("for records").into());
        }
        self.records_read.add(found.len() as u64);
        let record = |(offset, stored): (&u64, Reply)| {
            let stored = reply::bytes(stored).ok_or_else(|| missing(shard, *offset))?;
            record(shard, &meta, *offset, stored)
        };
        offsets.iter().zip(found).map(record).collect()
    }

    /// What follows a position, through an offset, as much as a tail returns at once.
    pub(crate) async fn records(
        &self,
        shard: &Shard,
        after: Position,
        through: Offset,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let answer = self.ask(shard, &RECORDS, &["meta", "log"], |call| {
            call.arg(after.offset.as_u64())
                .arg(through.as_u64())
                .arg(TAIL_BATCH_MAX)
                .arg(Query::BYTES_MAX);
        });
        let (_, meta, found) = answer.await?;
        extent(&meta).check(after)?;
        let records = unpack(shard, &meta, found)?;
        self.reads.increment("tail");
        self.records_read.add(records.len() as u64);
        if records.is_empty() && through > after.offset {
            return Err(missing(shard, after.offset.next().as_u64()));
        }
        Ok(records)
    }

    pub(crate) async fn awaiting(
        &self,
        shard: &Shard,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.reads.increment("receipts");
        let mut list = redis::cmd("ZRANGEBYSCORE");
        list.arg(shard.place.key("await"))
            .arg(format!("({}", since.as_millis()))
            .arg("+inf")
            .arg("LIMIT")
            .arg(0)
            .arg(AWAITING_MAX);
        let found = self.router.send(&shard.place, &list).await?;
        let found = reply::list(found).ok_or_else(|| Failure::strange("who waits"))?;
        let offsets: Option<Vec<u64>> = found.iter().map(reply::number).collect();
        let offsets = offsets.ok_or_else(|| Failure::strange("who waits"))?;
        let (mut records, mut payload): (Vec<Arc<Record>>, usize) = (Vec::new(), 0);
        let mut rest = &offsets[..];
        while !rest.is_empty() && payload <= Query::BYTES_MAX {
            let some = &rest[..rest.len().min(FETCH_MAX)];
            let fetched = self.fetch_kept(shard, some).await?;
            rest = &rest[fetched.len().clamp(1, some.len())..];
            for record in fetched.into_iter().flatten() {
                if payload > Query::BYTES_MAX {
                    break;
                }
                payload += record.event.data().len();
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Records by their offsets; none for those that retention took meanwhile.
    async fn fetch_kept(
        &self,
        shard: &Shard,
        offsets: &[u64],
    ) -> Result<Vec<Option<Arc<Record>>>, ReadError> {
        let answer = self.ask(shard, &FETCH, &["meta", "log"], |call| {
            call.arg(Query::BYTES_MAX).arg(offsets);
        });
        let (_, meta, found) = answer.await?;
        self.records_read.add(found.len() as u64);
        let record = |(offset, stored): (&u64, Reply)| match reply::bytes(stored) {
            Some(stored) => record(shard, &meta, *offset, stored).map(Some),
            None => Ok(None),
        };
        offsets.iter().zip(found).map(record).collect()
    }

    pub(crate) async fn values(
        &self,
        shard: &Shard,
        tenant: &TenantId,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        self.reads.increment("values");
        let mut read = redis::cmd("HMGET");
        read.arg(shard.place.key("state"));
        for key in keys {
            read.arg(format!("{}\n{}", tenant.as_str(), key.as_str()));
        }
        let found = self.router.send(&shard.place, &read).await?;
        let found = reply::list(found).filter(|found| found.len() == keys.len());
        let found = found.ok_or_else(|| Failure::strange("for values"))?;
        let value = |stored: Reply| match reply::bytes(stored) {
            Some(stored) => value(stored)
                .map(|value| {
                    value
                        .expires_at
                        .is_none_or(|end| end > now)
                        .then_some(value)
                })
                .ok_or_else(|| Failure::Damaged("a value is not as written".to_owned()).into()),
            None => Ok(None),
        };
        found.into_iter().map(value).collect()
    }
}

/// What a partition holds, as the rules of reading want it.
pub(crate) fn extent(meta: &Meta) -> Extent {
    Extent {
        epoch: meta.epoch,
        floor: meta.floor,
        head: meta.head,
    }
}

/// Reads what records.lua found: each after the one before.
pub(crate) fn unpack(
    shard: &Shard,
    meta: &Meta,
    found: Vec<Reply>,
) -> Result<Vec<Arc<Record>>, ReadError> {
    let mut records = Vec::with_capacity(found.len() / 4);
    let mut found = found.into_iter();
    while let (Some(offset), Some(_), Some(_), Some(stored)) =
        (found.next(), found.next(), found.next(), found.next())
    {
        let offset = reply::number(&offset).ok_or_else(|| Failure::strange("for records"))?;
        let stored = reply::bytes(stored).ok_or_else(|| missing(shard, offset))?;
        records.push(record(shard, meta, offset, stored)?);
    }
    Ok(records)
}

/// A record as it was stored.
pub(crate) fn record(
    shard: &Shard,
    meta: &Meta,
    offset: u64,
    stored: Vec<u8>,
) -> Result<Arc<Record>, ReadError> {
    let event = decode_event(stored).ok_or_else(|| {
        let partition = shard.partition;
        let reason = format!("record {offset} of partition {partition} is not as written");
        ReadError::Damaged { reason }
    })?;
    let position = Position {
        epoch: meta.epoch,
        offset: Offset::new(offset),
    };
    Ok(Arc::new(Record { position, event }))
}

fn missing(shard: &Shard, offset: u64) -> ReadError {
    let partition = shard.partition;
    let reason = format!("record {offset} of partition {partition} is missing");
    ReadError::Damaged { reason }
}

/// Reads `version:end:bytes`.
fn value(stored: Vec<u8>) -> Option<Value> {
    let mut parts = stored.splitn(3, |byte| *byte == b':');
    let version = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let ends = std::str::from_utf8(parts.next()?).ok()?;
    let expires_at = match ends {
        "" => None,
        millis => Some(Timestamp::from_millis(millis.parse().ok()?)),
    };
    let len = parts.next()?.len();
    let bytes = bytes::Bytes::from(stored);
    Some(Value {
        bytes: bytes.slice(bytes.len() - len..),
        version: Version::new(version),
        expires_at,
    })
}

/// How many rooms one look at the index asks for.
const ROOMS_MAX: usize = 512;
/// How many entries of each room it asks for at least.
const ENTRIES_MIN: usize = 8;
/// How many records are fetched at once.
const FETCH_MAX: usize = 256;
