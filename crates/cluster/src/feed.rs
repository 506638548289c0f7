//! Following a partition: its new records come to every node that wants them, each once, in order.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use switchboard_event::{Offset, Position};
use switchboard_journal::implement::{Ring, RingLimits};
use switchboard_journal::{Record, TAIL_BATCH_MAX};
use tracing::{debug, error, warn};

use crate::core::Core;
use crate::dial;
use crate::error::Failure;
use crate::read::{record, unpack};
use crate::reply::{self, Answer, Entry, Meta};
use crate::script::{LOOK, RECORDS};
use crate::shard::{Feed, Mark, Shard};

/// Follows a partition on a connection of its own, for as long as the journal is open. After any
/// outage it goes on from where it was, once it has proved that this is still there.
pub(crate) async fn follow(core: Arc<Core>, shard: Arc<Shard>) {
    let mut place = None;
    let mut pause = PAUSE_MIN;
    loop {
        let before = place.as_ref().map(|place: &Step| place.mark.offset);
        let failure = tokio::select! {
            failure = run(&core, &shard, &mut place) => failure,
            () = shard.kick.notified() => continue,
        };
        if place.as_ref().map(|place| place.mark.offset) != before {
            pause = PAUSE_MIN;
        }
        let (partition, reason) = (shard.partition, failure.reason());
        debug!(%partition, %reason, "the partition is not followed");
        if core.config.cluster {
            // Another server may have it by now.
            let _ = core.router.refresh().await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Redis answers somebody else, and with another history.
            () = shard.kick.notified() => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Brings what is in memory up to the head, for the last time.
pub(crate) async fn finish(core: &Core, shard: &Shard) -> Result<(), Failure> {
    let ring = match shard.ring() {
        Some(ring) => ring,
        None => begin(core, shard, core.look(shard).await?).await?,
    };
    loop {
        let extent = ring.extent();
        let head = core.look(shard).await?.head;
        let after = extent.position(extent.head);
        if head <= extent.head {
            return Ok(());
        }
        let records = core.records(shard, after, head).await;
        ring.publish(records.map_err(|error| Failure::Damaged(error.to_string()))?);
    }
}

/// How far a partition was followed.
struct Step {
    mark: Mark,
    /// What the next record names as its predecessor. That, record by record, proves that it
    /// belongs to this history, whoever we are connected to by now.
    link: Vec<u8>,
}

impl Step {
    fn of(meta: &Meta) -> Self {
        Self {
            mark: Mark::of(meta),
            link: meta.link.clone(),
        }
    }
}

async fn run(core: &Core, shard: &Shard, place: &mut Option<Step>) -> Failure {
    match try_run(core, shard, place).await {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

async fn try_run(
    core: &Core,
    shard: &Shard,
    place: &mut Option<Step>,
) -> Result<std::convert::Infallible, Failure> {
    let mut connection = core.router.dedicated(&shard.place, None).await?;
    let log = shard.place.key("log");
    let mut is_doubtful = false;
    loop {
        // Before each wait: what is behind it must be what we know, and what is new has to come.
        let mark = place.as_ref().map(|place| &place.mark);
        let meta = prove(core, shard, &mut connection, mark).await?;
        let ring = match (shard.ring(), &*place) {
            (Some(ring), Some(known)) if known.mark.epoch == meta.epoch => ring,
            (_, known) => {
                if known.is_some() {
                    error!(partition = %shard.partition, head = %meta.head, "following anew");
                }
                let ring = begin(core, shard, meta.clone()).await?;
                *place = Some(Step::of(&meta));
                ring
            }
        };
        let Some(known) = place.as_mut() else {
            return Err(Failure::strange("where it is"));
        };
        ring.trim(meta.floor);
        if meta.floor > known.mark.offset {
            // We were away for longer than records are kept: tails say so.
            warn!(partition = %shard.partition, floor = %meta.floor, "fell behind what is kept");
            ring.catch_up(meta.floor, meta.head);
            *known = Step::of(&meta);
        }
        let before = known.mark.offset;
        loop {
            let read = read(&log, known.mark.offset);
            let answer = send(core, &mut connection, &read, BLOCK).await?;
            let entries = reply::entries(answer).ok_or_else(|| Failure::strange("XREAD"))?;
            if entries.is_empty() {
                is_doubtful = false;
                break;
            }
            if !take(shard, &meta, &ring, known, entries)? {
                if is_doubtful && before == known.mark.offset {
                    let reason = format!("nothing continues offset {before}");
                    return Err(Failure::Damaged(reason));
                }
                is_doubtful = true;
                break;
            }
        }
    }
}

/// Waits for what follows an offset.
fn read(log: &str, after: Offset) -> Cmd {
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT")
        .arg(READ_MAX)
        .arg("BLOCK")
        .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
        .arg("STREAMS")
        .arg(log)
        .arg(format!("{after}-0"));
    read
}

/// Publishes what came, as far as it continues what we know. False if something does not.
fn take(
    shard: &Shard,
    meta: &Meta,
    ring: &Ring,
    known: &mut Step,
    entries: Vec<Entry>,
) -> Result<bool, Failure> {
    let mut records: Vec<Arc<Record>> = Vec::with_capacity(entries.len());
    let mut continues = true;
    for entry in entries {
        continues = entry.offset == known.mark.offset.next() && entry.link == known.link;
        if !continues {
            break;
        }
        let record = record(shard, meta, entry.offset.as_u64(), entry.record)
            .map_err(|error| Failure::Damaged(error.to_string()))?;
        records.push(record);
        known.mark.offset = entry.offset;
        known.mark.token.clone_from(&entry.token);
        known.link = entry.token;
    }
    if !records.is_empty() {
        ring.publish(records);
    }
    Ok(continues)
}

async fn prove(
    core: &Core,
    shard: &Shard,
    connection: &mut MultiplexedConnection,
    mark: Option<&Mark>,
) -> Result<Meta, Failure> {
    for _ in 0..2 {
        let call = shard.call_with(&LOOK, &["meta", "log"], mark)?;
        let answer = match send(core, connection, &call, Duration::ZERO).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                send(core, connection, &LOOK.load(), Duration::ZERO).await?;
                continue;
            }
            answer => answer?,
        };
        match reply::answer(answer)? {
            Answer::Some(_, meta, _) => {
                shard.expect(meta.epoch);
                shard.observe(&meta);
                return Ok(meta);
            }
            // The shared connection has it made.
            Answer::None => {
                core.look(shard).await?;
            }
        }
    }
    Err(Failure::Away("the partition keeps no history".to_owned()))
}

/// Begins to hold the newest records, with a few of those that are there.
async fn begin(core: &Core, shard: &Shard, meta: Meta) -> Result<Arc<Ring>, Failure> {
    let limits = RingLimits {
        records_max: RECENT_RECORDS_MAX,
        bytes_max: core.config.recent_bytes / core.shards.len().max(1),
    };
    let warm = meta.head.as_u64().saturating_sub(TAIL_BATCH_MAX as u64);
    let mut after = meta.floor.max(Offset::new(warm));
    let ring = Ring::new(meta.epoch, meta.floor, after, limits);
    while after < meta.head {
        let (_, now, found) = core
            .ask(shard, &RECORDS, &["meta", "log"], |call: &mut Cmd| {
                call.arg(after.as_u64())
                    .arg(meta.head.as_u64())
                    .arg(TAIL_BATCH_MAX)
                    .arg(WARM_BYTES_MAX);
            })
            .await?;
        let records = unpack(shard, &now, found);
        let records = records.map_err(|error| Failure::Damaged(error.to_string()))?;
        let position = |record: &Arc<Record>| record.position;
        let expected = Position {
            epoch: meta.epoch,
            offset: after.next(),
        };
        if records.first().map(position) != Some(expected) {
            return Err(Failure::Away("the partition changes too fast".to_owned()));
        }
        core.reads.increment("recent");
        core.records_read.add(records.len() as u64);
        after = records.last().map_or(after, |last| last.position.offset);
        ring.publish(records);
    }
    let ring = Arc::new(ring);
    shard.feed.send_replace(Feed::Live(Arc::clone(&ring)));
    Ok(ring)
}

/// Sends a command that may take so much longer than others.
async fn send(
    core: &Core,
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    more: Duration,
) -> Result<Value, Failure> {
    let limit = core.config.command_timeout + more;
    dial::ask(connection, command, limit).await
}

/// How long a wait for new records is at most. As often it is proved that nothing was lost.
const BLOCK: Duration = Duration::from_secs(1);
/// How many records come at once.
const READ_MAX: usize = 64;
const RECENT_RECORDS_MAX: usize = 16_384;
/// How many bytes of older records are taken into memory at a time.
const WARM_BYTES_MAX: usize = 1024 * 1024;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
