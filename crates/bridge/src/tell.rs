//! Records out: what happens here is told to clients of Node servers.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::value::RawValue;
use switchboard_dialect::classic;
use switchboard_event::{Position, Room, RoomKind, Timestamp};
use switchboard_journal::{ReadError, Record, TailError};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::bridge::Work;
use crate::dial::{Dial, Failure};
use crate::heard::{BACKOFF_MAX, BACKOFF_MIN};
use crate::place::{Place, PlaceError};
use crate::sighting::BRIDGED;

/// Tells a tenant's records while the seat is ours, for ever: in their order, and again from the last
/// place that was written down, if anything failed.
pub(crate) struct Teller {
    pub(crate) work: Work,
    pub(crate) dial: Dial,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) uid: String,
    pub(crate) place: Place,
}

/// Why telling ended for a while.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("another node has gone on")]
    Unseated,
    #[error(transparent)]
    Redis(#[from] Failure),
    #[error("how far it came: {0}")]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What Node servers are to be told, and where.
#[derive(Debug, Eq, PartialEq)]
struct Telling {
    channel: String,
    body: Vec<u8>,
}

impl Teller {
    pub(crate) async fn tell(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            self.work.seat.held().await;
            self.work.stats.begin(&self.name);
            match self.follow(&mut backoff).await {
                Err(Stopped::Redis(failure)) => {
                    self.work.stats.fail(&self.name, &failure.to_string());
                }
                Err(stopped) => {
                    self.work.stats.rest(&self.name);
                    debug!(reason = %stopped, "the bridge stopped telling");
                }
                Ok(()) => {}
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn follow(&mut self, backoff: &mut Duration) -> Result<(), Stopped> {
        let mut connection = self.dial.connect(|| None).await?;
        let mut written = self.begin().await?;
        self.work.stats.connect(&self.name);
        let partition = self.work.journal.partitions().of(&self.work.mapping.tenant);
        let mut tail = self.work.journal.tail(partition, written);
        let (mut told, mut write_at) = (written, Instant::now() + WRITE_INTERVAL);
        loop {
            if let Ok(records) = timeout(LOOK_INTERVAL, tail.next()).await {
                let records = match records {
                    Err(TailError::Read(ReadError::Unavailable { .. })) => {
                        sleep(*backoff).await;
                        continue;
                    }
                    Err(TailError::Read(ReadError::Closed)) => return Err(Stopped::Unseated),
                    Err(lost) => return self.lose(lost).await,
                    Ok(records) => records,
                };
                if !self.work.seat.is_held() {
                    return Err(Stopped::Unseated);
                }
                self.publish(&mut connection, &records).await?;
                if let Some(last) = records.last() {
                    told = last.position;
                }
                *backoff = BACKOFF_MIN;
            } else {
                let ping = redis::cmd("PING");
                self.dial.ask(&mut connection, &ping).await?;
            }
            if !self.work.seat.is_held() {
                return Err(Stopped::Unseated);
            }
            if told != written && Instant::now() >= write_at {
                self.place.store(told.to_string()).await?;
                (written, write_at) = (told, Instant::now() + WRITE_INTERVAL);
            }
        }
    }

    /// Where to go on: the first time at the end of what is there.
    async fn begin(&mut self) -> Result<Position, Stopped> {
        let stored = self.place.load().await?;
        if let Some(position) = stored.and_then(|text| text.parse().ok()) {
            return Ok(position);
        }
        self.restart().await
    }

    async fn restart(&mut self) -> Result<Position, Stopped> {
        let journal = &self.work.journal;
        let partition = journal.partitions().of(&self.work.mapping.tenant);
        let head = journal.head(partition).await?;
        self.place.store(head.to_string()).await?;
        Ok(head)
    }

    /// The records after the place are gone.
    async fn lose(&mut self, lost: TailError) -> Result<(), Stopped> {
        warn!(reason = %lost, "records were not told to Node servers");
        self.work.stats.gaps.increment();
        self.restart().await?;
        Err(lost.into())
    }

    /// Tells records, all in one go: of a part nobody would know which.
    async fn publish(
        &self,
        connection: &mut MultiplexedConnection,
        records: &[std::sync::Arc<Record>],
    ) -> Result<(), Failure> {
        let now = self.work.clock.now();
        let mut bytes = 0;
        let mut tellings = Vec::new();
        for record in records {
            match self.telling(record, now) {
                Ok(telling) => {
                    bytes += telling.body.len();
                    tellings.push(telling);
                }
                Err(reason) => self.work.stats.untold.increment(reason),
            }
            if bytes >= PUBLISHED_BYTES_MAX {
                self.publish_all(connection, std::mem::take(&mut tellings))
                    .await?;
                bytes = 0;
            }
        }
        self.publish_all(connection, tellings).await
    }

    async fn publish_all(
        &self,
        connection: &mut MultiplexedConnection,
        tellings: Vec<Telling>,
    ) -> Result<(), Failure> {
        if tellings.is_empty() {
            return Ok(());
        }
        let mut all = redis::pipe();
        for Telling { channel, body } in &tellings {
            all.cmd("PUBLISH").arg(channel).arg(&**body).ignore();
        }
        self.dial.ask_all(connection, &all).await?;
        self.work.stats.told.add(tellings.len() as u64);
        Ok(())
    }

    /// What is to be told of a record, or why nothing is.
    fn telling(&self, record: &Record, now: Timestamp) -> Result<Telling, &'static str> {
        let (mapping, event) = (&self.work.mapping, &record.event);
        if *event.tenant() != mapping.tenant && !event.tenant().is_everyone() {
            return Err("tenant");
        }
        if event.id().as_str().starts_with(BRIDGED) {
            // Node has heard it where we did.
            return Err("bridged");
        }
        if !self.work.catalogue.is_producible(event.name()) {
            return Err("server");
        }
        if event.expires_at().is_some() {
            // A code that pairs an account goes nowhere else.
            return Err("secret");
        }
        if event.at().checked_add(AGE_MAX).is_some_and(|end| end < now) {
            return Err("late");
        }
        let team = Room::team(&mapping.tenant);
        let name = |room: &Room| match room.kind() {
            RoomKind::Team => team.name().to_owned(),
            _ => room.name().to_owned(),
        };
        let names = |rooms: &[Room]| rooms.iter().map(name).collect::<Vec<_>>();
        let (rooms, except) = (
            names(&event.audience().rooms),
            names(&event.audience().except),
        );
        let rooms: Vec<_> = rooms.iter().map(String::as_str).collect();
        let except: Vec<_> = except.iter().map(String::as_str).collect();
        let data = str::from_utf8(event.data()).map_err(|_| "unencodable")?;
        let data: &RawValue = serde_json::from_str(data).map_err(|_| "unencodable")?;
        let body = classic::encode(
            &self.uid,
            &mapping.namespace,
            (event.name(), &[data]),
            &rooms,
            &except,
        );
        Ok(Telling {
            channel: classic::channel(&self.prefix, &mapping.namespace, &rooms),
            body: body.map_err(|_| "unencodable")?,
        })
    }
}

/// How often the place is written down: what came after it is told twice if this node dies.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How long nothing may come before Redis and the seat are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What is older is not told any more: clients of Node have moved on, and cannot tell it from news.
const AGE_MAX: Duration = Duration::from_mins(5);
/// How much is published at once.
const PUBLISHED_BYTES_MAX: usize = 4 << 20;
