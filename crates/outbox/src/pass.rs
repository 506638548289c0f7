//! One look at the table: which tenants wait, and some rows of each.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use switchboard_ingest::{Ingest, PublishError, Refusal, Refused, Unavailable};
use switchboard_postgres::Connector;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::lease::Leases;
use crate::row::{self, Row};
use crate::stats::Stats;
use crate::store::{HEADS_MAX, Settlement, Statements, Store, StoreError};

/// What one node does with one table.
#[derive(Debug)]
pub(crate) struct Worker {
    config: Config,
    holder: String,
    connector: Arc<Connector>,
    statements: Arc<Statements>,
    stats: Arc<Stats>,
    heard: Arc<Notify>,
    leases: Leases,
    /// None while there is no connection.
    store: Option<Store>,
    /// What is in the journal, and could not be written down in the table.
    unsettled: Mutex<Vec<Settlement>>,
    /// The tenant that the next look begins with.
    from: String,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Passed {
    /// There was something, so there may be more.
    Took,
    /// There is nothing for this node.
    Idle,
    /// The journal takes nothing right now.
    Unavailable(Unavailable),
}

impl Passed {
    /// What two looks came to together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (unavailable @ Self::Unavailable(_), _) | (_, unavailable @ Self::Unavailable(_)) => {
                unavailable
            }
            (Self::Idle, Self::Idle) => Self::Idle,
            _ => Self::Took,
        }
    }
}

impl Worker {
    pub(crate) fn new(
        config: Config,
        holder: String,
        connector: Arc<Connector>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            statements: Arc::new(Statements::new(&config)),
            leases: Leases::new(config.lease),
            config,
            holder,
            connector,
            stats,
            heard: Arc::default(),
            store: None,
            unsettled: Mutex::default(),
            from: String::new(),
        }
    }

    /// Woken when there are rows.
    pub(crate) fn heard(&self) -> &Notify {
        &self.heard
    }

    /// Looks once. After an error the next look is over a new connection.
    pub(crate) async fn pass(&mut self, ingest: &Ingest) -> Result<Passed, StoreError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.open().await?,
        };
        store.listen(&self.connector, &self.heard).await;
        let passed = self.pass_over(&store, ingest).await?;
        self.store = Some(store);
        Ok(passed)
    }

    /// Gives up all tenants, so that another node goes on with them at once.
    pub(crate) async fn release(&mut self) {
        if let Some(store) = self.store.take()
            && let Err(error) = store.release(&self.holder).await
        {
            warn!(%error, "tenants of the outbox were not given up, and wait for their leases");
        }
    }

    async fn open(&self) -> Result<Store, StoreError> {
        let Self {
            connector,
            statements,
            heard,
            config,
            ..
        } = self;
        Store::open(connector, statements, heard, config.timeout).await
    }

    async fn pass_over(&mut self, store: &Store, ingest: &Ingest) -> Result<Passed, StoreError> {
        // First, so that they are not appended once more, however long ago that was.
        while let Some(settlement) = self.unsettled.get_mut().last() {
            store.settle(settlement).await?;
            self.unsettled.get_mut().pop();
        }
        let heads = store.heads(&self.holder, &self.from).await?;
        let lag = heads.iter().map(|head| head.age).max();
        if self.stats.read(lag.unwrap_or_default()) {
            info!(table = %self.config.table, "the outbox is read");
        }
        self.leases.sweep();
        self.from = match heads.last() {
            Some(last) if heads.len() == HEADS_MAX => last.tenant.clone(),
            _ => String::new(),
        };

        let worker = &*self;
        let mut taking = Vec::new();
        for head in heads {
            if !head.is_elsewhere {
                taking.push(worker.take(store, ingest, head.tenant));
            }
        }
        let taken: Vec<_> = stream::iter(taking)
            .buffer_unordered(TENANTS_AT_ONCE_MAX)
            .collect()
            .await;
        // The rest of them is looked at next, and then it begins anew.
        let mut passed = if self.from.is_empty() {
            Passed::Idle
        } else {
            Passed::Took
        };
        for one in taken {
            passed = passed.and(one?);
        }
        Ok(passed)
    }

    /// Takes some rows of a tenant, in order.
    async fn take(
        &self,
        store: &Store,
        ingest: &Ingest,
        tenant: String,
    ) -> Result<Passed, StoreError> {
        let name = &*tenant;
        let until = match self.leases.fresh(name) {
            Some(until) => until,
            None => match store.claim(name, &self.holder, self.config.lease).await? {
                Some(asked_at) => self.leases.hold(name, asked_at),
                None => return Ok(Passed::Idle),
            },
        };
        let rows = store.rows(name, self.config.batch).await?;
        // Whoever slept through its lease looks again. That it may sleep after this line is why ids
        // and not leases keep rows from being doubled.
        if rows.is_empty() || Instant::now() >= until {
            return Ok(Passed::Took);
        }
        let (settlement, unavailable) = self.append(ingest, name, &rows).await;
        if let Err(error) = store.settle(&settlement).await {
            self.unsettled.lock().push(settlement);
            return Err(error);
        }
        Ok(unavailable.map_or(Passed::Took, Passed::Unavailable))
    }

    /// Makes events of rows. What is left out of the settlement was not tried to the end, and stays.
    async fn append(
        &self,
        ingest: &Ingest,
        name: &str,
        rows: &[Row],
    ) -> (Settlement, Option<Unavailable>) {
        let mut settlement = Settlement {
            tenant: name.to_owned(),
            ..Settlement::default()
        };
        let mut refused = Vec::new();
        let tenant = match row::tenant(&self.config.reach, name) {
            Ok(tenant) => tenant,
            Err(refusal) => {
                let all = rows.iter().map(|row| (row, refusal.clone()));
                self.refuse(ingest, all.collect(), &mut settlement);
                return (settlement, None);
            }
        };
        let (mut drafted, mut drafts) = (Vec::new(), Vec::new());
        for row in rows {
            match row.draft() {
                Ok(draft) => {
                    drafted.push(row);
                    drafts.push(draft);
                }
                Err(refusal) => refused.push((row, refusal)),
            }
        }
        let mut unavailable = None;
        match ingest.publish(&tenant, drafts).await {
            Ok(outcomes) => {
                for (row, outcome) in drafted.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(receipt) => {
                            settlement.taken.push(row.seq);
                            let (taken, again) = (&self.stats.taken, &self.stats.duplicates);
                            if receipt.duplicate { again } else { taken }.increment();
                        }
                        Err(Refused {
                            refusal: Refusal::Unavailable(why),
                            ..
                        }) => unavailable = Some(why),
                        Err(Refused { refusal, .. }) => refused.push((row, refusal)),
                    }
                }
            }
            Err(PublishError::Unavailable(why)) => unavailable = Some(why),
            // A batch is at most as many as one call takes.
            Err(_) => unavailable = Some(Unavailable::Overloaded),
        }
        self.refuse(ingest, refused, &mut settlement);
        (settlement, unavailable)
    }

    /// Rows that will never be events: they are not tried again, and hold up nobody.
    fn refuse(&self, ingest: &Ingest, refused: Vec<(&Row, Refusal)>, settlement: &mut Settlement) {
        let count = refused.len();
        for (index, (row, refusal)) in refused.into_iter().enumerate() {
            let (code, field) = (refusal.code(), refusal.logged_field());
            if index < REFUSALS_LOGGED_MAX {
                let event = ingest.known_event(&row.event);
                warn!(
                    seq = row.seq,
                    code, event, field, "refused a row of the outbox"
                );
            }
            self.stats.refused.increment(code);
            settlement.refused.push(row.seq);
            settlement.errors.push(told(&refusal));
        }
        if count > REFUSALS_LOGGED_MAX {
            warn!(count, "refused rows of the outbox");
        }
    }
}

/// A refusal as it is written into the table.
fn told(refusal: &Refusal) -> String {
    let told = match refusal.field() {
        Some(field) => format!("{} ({field}): {refusal}", refusal.code()),
        None => format!("{}: {refusal}", refusal.code()),
    };
    // Postgres takes no text with a NUL.
    let told = told.chars().filter(|letter| *letter != '\0');
    told.take(ERROR_CHARS_MAX).collect()
}

/// How many tenants' rows are taken at the same time.
const TENANTS_AT_ONCE_MAX: usize = 16;
/// How many refused rows of a batch have a line of their own in the log.
const REFUSALS_LOGGED_MAX: usize = 10;
/// How much of a refusal is written into the table.
const ERROR_CHARS_MAX: usize = 500;
/// How long to wait at first, and at most, when the database or the journal is not there.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(100);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);
