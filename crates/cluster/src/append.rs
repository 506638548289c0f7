//! How a batch becomes durable: one script, which does all of it or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::{Cmd, Value};
use switchboard_event::{Offset, Position, Room, Timestamp};
use switchboard_journal::implement::event_bytes;
use switchboard_journal::{AppendError, Appended, Batch, Change, Expect};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::codec::encode_event;
use crate::core::{Core, ROOM_UNIT};
use crate::error::Failure;
use crate::reply::{self, Meta};
use crate::script::APPEND;
use crate::shard::random;

impl Core {
    /// Room for a batch on its way, or the refusal.
    pub(crate) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT).max(1)).unwrap_or(u32::MAX);
        if self.is_closed() {
            return Err(AppendError::Closed);
        }
        let room = Arc::clone(&self.room).try_acquire_many_owned(units);
        room.map_err(|_| {
            if self.is_closed() {
                AppendError::Closed
            } else {
                AppendError::Overloaded
            }
        })
    }

    /// Appends a batch. Goes on when nobody waits for it any more.
    pub(crate) async fn append(
        self: Arc<Self>,
        batch: Batch,
        now: Timestamp,
        room: OwnedSemaphorePermit,
    ) -> Result<Vec<Appended>, AppendError> {
        self.tell(now);
        let shard = Arc::clone(&self.shards[usize::from(batch.partition().index())]);
        let begun_at = Instant::now();
        let salt = random()? & 0xffff;
        let fill = Fill::new(&batch, now, salt, &self);
        for _ in 0..ATTEMPTS_MAX {
            let mut call = shard.call(&APPEND, KEYS)?;
            fill.write(&mut call);
            let replicas = self.config.wait_replicas;
            let answer = if replicas == 0 {
                self.router.run(&shard.place, &APPEND, &call).await?
            } else {
                self.router
                    .run_and_wait(&shard.place, &APPEND, &call, replicas)
                    .await?
            };
            let Some((word, meta, rest)) = self.understand(&shard, answer).await? else {
                continue;
            };
            let outcome = outcome(word, &meta, &rest, &batch);
            if let Ok(appended) = &outcome {
                let new = appended.iter().filter(|one| !one.duplicate).count();
                self.appended.add(new as u64);
                self.commits.observe(begun_at.elapsed());
            }
            drop(room);
            return outcome;
        }
        Err(Failure::Away("the partition keeps no history".to_owned()).into())
    }
}

/// The arguments of a batch, encoded once.
struct Fill<'a> {
    batch: &'a Batch,
    now: Timestamp,
    old: i64,
    bytes_max: u64,
    salt: u64,
    touches: bool,
    records: Vec<Vec<u8>>,
}

impl<'a> Fill<'a> {
    fn new(batch: &'a Batch, now: Timestamp, salt: u64, core: &Core) -> Self {
        Self {
            batch,
            now,
            old: core.old(now.as_millis()),
            bytes_max: core.level.load(Ordering::Relaxed),
            salt,
            touches: core.config.wait_replicas > 0,
            records: batch.events().iter().map(encode_event).collect(),
        }
    }

    fn write(&self, call: &mut Cmd) {
        let (events, changes) = (self.batch.events(), self.batch.changes());
        call.arg(self.now.as_millis())
            .arg(self.old)
            .arg(self.bytes_max)
            .arg(self.salt)
            .arg(self.batch.tenant().as_str())
            .arg(events.len())
            .arg(changes.len())
            .arg(u8::from(self.touches));
        for (event, record) in events.iter().zip(&self.records) {
            let rooms: Vec<&str> = event.audience().rooms.iter().map(Room::name).collect();
            let receipt_by = event.receipt_by();
            call.arg(event.id().as_str())
                .arg(&event.fingerprint()[..])
                .arg(event_bytes(event))
                .arg(rooms.join("\n"))
                .arg(millis(receipt_by))
                .arg(record);
        }
        for change in changes {
            write_change(call, change);
        }
    }
}

fn write_change(call: &mut Cmd, change: &Change) {
    call.arg(change.key.as_str());
    match change.expect {
        Expect::Anything => call.arg(""),
        Expect::Absent => call.arg("absent"),
        Expect::Version(version) => call.arg(version.number()),
    };
    match &change.value {
        Some(value) => call.arg("put").arg(&value[..]),
        None => call.arg("delete").arg(""),
    };
    call.arg(millis(change.expires_at));
    match change.event {
        Some(index) => call.arg(index),
        None => call.arg(-1),
    };
}

/// A time as the scripts read it; nothing for none.
fn millis(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.as_millis().to_string())
}

fn outcome(
    word: &str,
    meta: &Meta,
    rest: &[Value],
    batch: &Batch,
) -> Result<Vec<Appended>, AppendError> {
    let strange = || AppendError::from(Failure::strange("an append"));
    let index = || {
        let index = rest.first().and_then(reply::number);
        index.and_then(|index| usize::try_from(index).ok())
    };
    match word {
        "reused" => {
            let index = index().ok_or_else(strange)?;
            let event = batch.events().get(index).ok_or_else(strange)?;
            let id = event.id().clone();
            Err(AppendError::IdReused { index, id })
        }
        "conflict" => {
            let change = index().and_then(|index| batch.changes().get(index));
            let key = change.ok_or_else(strange)?.key.clone();
            Err(AppendError::Conflict { key })
        }
        _ if rest.len() != batch.events().len() => Err(strange()),
        _ => {
            let place = |value: &Value| {
                let place = reply::integer(value).ok_or_else(strange)?;
                Ok(Appended {
                    position: Position {
                        epoch: meta.epoch,
                        offset: Offset::new(place.unsigned_abs()),
                    },
                    duplicate: place < 0,
                })
            };
            rest.iter().map(place).collect()
        }
    }
}

/// What the script reads and writes, in its order.
pub(crate) const KEYS: &[&str] = &["meta", "log", "ids", "rooms", "state", "due", "await"];
const ATTEMPTS_MAX: usize = 3;
