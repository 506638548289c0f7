//! A journal with a long past, written in-process: over HTTP it would take hours.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use switchboard_event::{
    Accepted, Catalogue, CatalogueConfig, Context, Draft, Event, EventId, Maker, Offset, Position,
    TenantId, Timestamp,
};
use switchboard_journal::{Appended, Batch, DiskConfig, DiskJournal, Journal as _};
use tokio::task::JoinHandle;

use crate::identity::TENANT;
use crate::message;

/// The account whose past is replayed.
pub(crate) const ACCOUNT: &str = "past";
/// How many other accounts there are.
const OTHERS: u64 = 10_000;
/// Numbers of messages of other accounts begin here.
const OTHER_MESSAGES: u64 = 5_000_000_000;
/// How many batches are on their way: the journal commits them in groups.
const BATCHES_MAX: usize = 8;
const RETENTION_AGE: Duration = Duration::from_hours(7 * 24);
const RETENTION_BYTES: u64 = 1 << 40;

/// What is to be written.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The journal's directory
    #[arg(long)]
    path: PathBuf,
    /// How many records
    #[arg(long)]
    records: u64,
    /// How many of them are of the one account, evenly among the others
    #[arg(long)]
    events: u64,
}

/// A past that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Past {
    /// The position before the first record.
    pub(crate) start: String,
    pub(crate) time_s: f64,
}

/// Writes a journal and says on standard output where it begins.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()?;
    let past = runtime.block_on(write(options))?;
    serde_json::to_writer(std::io::stdout().lock(), &past)?;
    Ok(())
}

async fn write(options: &Options) -> anyhow::Result<Past> {
    let mut config = DiskConfig::new(&options.path);
    config.retention_age = RETENTION_AGE;
    config.retention_bytes = RETENTION_BYTES;
    let journal = Arc::new(DiskJournal::open(&config)?);
    let (begin, mut story) = (Instant::now(), Story::new(options)?);
    let mut under_way: VecDeque<JoinHandle<anyhow::Result<Vec<Appended>>>> = VecDeque::new();
    while let Some(events) = story.next_events()? {
        if under_way.len() == BATCHES_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await??;
        }
        let (journal, tenant, now) = (Arc::clone(&journal), story.tenant.clone(), story.now);
        under_way.push_back(tokio::spawn(async move {
            let partition = journal.partitions().of(&tenant);
            let batch = Batch::new(partition, tenant, events, Vec::new())?;
            Ok(journal.append(batch, now).await?)
        }));
    }
    for append in under_way {
        append.await??;
    }
    let head = journal.head(journal.partitions().of(&story.tenant)).await?;
    ensure!(
        head.offset == Offset::new(options.records),
        "{} records were written, not {}",
        head.offset,
        options.records
    );
    journal.close().await;
    let start = Position {
        offset: Offset::ZERO,
        ..head
    };
    Ok(Past {
        start: start.to_string(),
        time_s: begin.elapsed().as_secs_f64(),
    })
}

/// Makes events, one batch after the other.
struct Story {
    catalogue: Catalogue,
    tenant: TenantId,
    now: Timestamp,
    records: u64,
    /// Each so-manieth record is of the one account.
    stride: u64,
    written: u64,
}

impl Story {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let (records, events) = (options.records, options.events);
        ensure!(
            events > 0 && records.is_multiple_of(events),
            "{records} records cannot hold {events} events evenly"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        Ok(Self {
            catalogue: Catalogue::new(CatalogueConfig::default())?,
            tenant: TENANT.parse()?,
            now: Timestamp::from_millis(i64::try_from(now)?),
            records,
            stride: records / events,
            written: 0,
        })
    }

    fn next_events(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        let end = self.records.min(self.written + Batch::EVENTS_MAX as u64);
        let events = (self.written..end)
            .map(|number| self.event(number))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.written = end;
        Ok((!events.is_empty()).then_some(events))
    }

    fn event(&self, number: u64) -> anyhow::Result<Event> {
        let body = if number.is_multiple_of(self.stride) {
            message::body(ACCOUNT, number / self.stride + 1, 1)
        } else {
            let account = format!("other-{}", number % OTHERS);
            message::body(&account, OTHER_MESSAGES + number, 1)
        };
        let draft: Draft = serde_json::from_slice(&body)?;
        // In the order of their numbers: at random places of its index, ids would take far longer.
        let fresh_id: EventId = format!("bench-{number:012}").parse()?;
        let context = Context {
            tenant: self.tenant.clone(),
            fresh_id,
            at: self.now,
            maker: Maker::Producer,
        };
        match self.catalogue.accept(draft, context).context("a draft")? {
            Accepted::Event(accepted) => Ok(accepted.event),
            other => bail!("a draft became {other:?}"),
        }
    }
}
