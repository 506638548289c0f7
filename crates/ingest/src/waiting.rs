//! Whose alarms there may be: by this, another process finds what has to wait where one has ended.

use std::collections::{BTreeSet, HashSet};

use parking_lot::Mutex;
use switchboard_event::machine::campaign::{Campaign, campaign_key};
use switchboard_event::machine::connection::{Connection, ConnectionTimes, connection_key};
use switchboard_event::{Id, TenantId, Timestamp};
use switchboard_journal::{AppendError, Batch, Change, Expect, Key, VALUES_MAX, Value};
use tracing::debug;

use crate::accounts;
use crate::alarms::Alarm;
use crate::ingest::Ingest;
use crate::messages::unavailable;
use crate::outcome::{Refusal, Unavailable};

/// What this node knows to be written down.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    names: Mutex<HashSet<(TenantId, Box<str>)>>,
    /// Whoever writes on this node does so after the other.
    writing: tokio::sync::Mutex<()>,
}

/// Names under a state key, of which the oldest gives way to one too many.
#[derive(Debug, Default)]
struct Names {
    stored: Option<Value>,
    names: Vec<Box<str>>,
}

impl Ingest {
    /// Writes down that there may be this alarm, before there is: the accounts of a tenant are known
    /// already.
    pub(crate) async fn note(&self, alarm: &Alarm) {
        match alarm {
            Alarm::Campaign(tenant, campaign) => {
                self.note_tenant(tenant).await;
                let list = (campaigns_key(), CAMPAIGNS_MAX);
                self.note_name(tenant, list, campaign.as_str()).await;
            }
            Alarm::Account(tenant, _) => self.note_tenant(tenant).await,
        }
    }

    /// Writes down that this tenant may have alarms.
    pub(crate) async fn note_tenant(&self, tenant: &TenantId) {
        let list = (tenants_key(), TENANTS_MAX);
        self.note_name(&TenantId::system(), list, tenant.as_str())
            .await;
    }

    /// Writes down a name. If that cannot be done now, it is done along with the next alarm: one that
    /// nobody sets again costs a delay and nothing else.
    async fn note_name(&self, tenant: &TenantId, list: (Key, usize), name: &str) {
        let noted = (tenant.clone(), name.into());
        if self.noted().names.lock().contains(&noted) {
            return;
        }
        let _writing = self.noted().writing.lock().await;
        match self.write_name(tenant, list, name).await {
            Ok(()) => {
                let mut names = self.noted().names.lock();
                if names.len() >= NOTED_MAX {
                    names.clear();
                }
                names.insert(noted);
            }
            Err(code) => debug!(%tenant, code, "could not note that there is an alarm"),
        }
    }

    async fn write_name(
        &self,
        tenant: &TenantId,
        (key, count_max): (Key, usize),
        name: &str,
    ) -> Result<(), &'static str> {
        let now = self.clock().now();
        for _ in 0..ATTEMPTS_MAX {
            let keys = std::slice::from_ref(&key);
            let values = self.journal().values(tenant, keys, now).await;
            let values = values.map_err(|failure| unavailable(&failure).code())?;
            let known = Names::of(values.into_iter().next().flatten());
            let Some(change) = known.with(name, key.clone(), count_max) else {
                return Ok(());
            };
            let partition = self.journal().partitions().of(tenant);
            let batch = Batch::new(partition, tenant.clone(), Vec::new(), vec![change]);
            let batch = batch.map_err(|_| "too_long")?;
            match self.journal().append(batch, now).await {
                Ok(_) => return Ok(()),
                Err(AppendError::Conflict { .. }) => {}
                Err(_) => return Err(Unavailable::Failing.code()),
            }
        }
        Err(Unavailable::Overloaded.code())
    }

    /// Looks after everything that may have to wait, on whichever node it was put off: what is due is
    /// told, and of the rest this node has an alarm too.
    pub(crate) async fn resume(&self) -> Result<(), Refusal> {
        let (system, now) = (TenantId::system(), self.clock().now());
        let values = self.journal().values(&system, &[tenants_key()], now).await;
        let values = values.map_err(|failure| unavailable(&failure))?;
        let noted = Names::of(values.into_iter().next().flatten());
        let mut tenants: BTreeSet<_> = self.endpoints().tenants();
        let noted = noted.names.iter();
        tenants.extend(noted.filter_map(|name| TenantId::from_stored(name).ok()));
        for tenant in tenants {
            let keys = [accounts::index_key(), campaigns_key()];
            let values = self.journal().values(&tenant, &keys, now).await;
            let mut values = values.map_err(|failure| unavailable(&failure))?.into_iter();
            let accounts = accounts::known(values.next().flatten());
            let campaigns = Names::of(values.next().flatten());
            let campaigns = campaigns.names.iter().filter_map(|name| name.parse().ok());
            let campaigns: Vec<Id> = campaigns.collect();
            self.resume_accounts(&tenant, &accounts, now).await?;
            self.resume_campaigns(&tenant, &campaigns, now).await?;
        }
        Ok(())
    }

    async fn resume_accounts(
        &self,
        tenant: &TenantId,
        accounts: &[Id],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let times = ConnectionTimes {
            silence_max: self.config().account_silence_max,
        };
        for accounts in accounts.chunks(VALUES_MAX) {
            let states = self.states(tenant, accounts, connection_key, now).await?;
            for (account, stored) in accounts.iter().zip(states) {
                let Some(connection) = stored.and_then(|it| Connection::from_bytes(&it.bytes).ok())
                else {
                    continue;
                };
                let (_, step) = connection.tick(now, &times);
                if !step.news.is_empty() {
                    self.revisit_account(tenant, account).await?;
                } else if let Some(at) = step.wake_at {
                    let alarm = Alarm::Account(tenant.clone(), account.clone());
                    self.alarms().ring_at(alarm, at);
                }
            }
        }
        Ok(())
    }

    async fn resume_campaigns(
        &self,
        tenant: &TenantId,
        campaigns: &[Id],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let states = self.states(tenant, campaigns, campaign_key, now).await?;
        for (campaign, stored) in campaigns.iter().zip(states) {
            let stored = stored.and_then(|it| Campaign::from_bytes(&it.bytes).ok());
            if stored.is_some_and(|campaign| campaign.owes_stats()) {
                self.revisit_campaign(tenant, campaign)
                    .await
                    .map_err(|_| Unavailable::Failing)?;
            }
        }
        Ok(())
    }

    async fn states(
        &self,
        tenant: &TenantId,
        ids: &[Id],
        key_of: fn(&Id) -> String,
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, Unavailable> {
        let keys: Vec<_> = ids.iter().map(|id| key(&key_of(id))).collect();
        let values = self.journal().values(tenant, &keys, now).await;
        values.map_err(|failure| unavailable(&failure))
    }
}

impl Names {
    fn of(stored: Option<Value>) -> Self {
        let names = stored
            .as_ref()
            .and_then(|stored| serde_json::from_slice(&stored.bytes).ok());
        Self {
            names: names.unwrap_or_default(),
            stored,
        }
    }

    /// The change that adds `name`, unless it is there.
    fn with(mut self, name: &str, key: Key, count_max: usize) -> Option<Change> {
        if self.names.iter().any(|known| **known == *name) {
            return None;
        }
        self.names.push(name.into());
        let surplus = self.names.len().saturating_sub(count_max);
        self.names.drain(..surplus);
        let bytes = serde_json::to_vec(&self.names).expect("names are always JSON");
        Some(Change {
            key,
            expect: (self.stored).map_or(Expect::Absent, |stored| Expect::Version(stored.version)),
            value: Some(bytes.into()),
            expires_at: None,
            event: None,
        })
    }
}

/// The key of the campaigns of a tenant that had something to tell later.
fn campaigns_key() -> Key {
    key("campaigns")
}

fn tenants_key() -> Key {
    key("alarms")
}

fn key(text: &str) -> Key {
    text.parse()
        .expect("an id with a prefix is shorter than a key may be")
}

/// The most campaigns of a tenant that are looked after again.
const CAMPAIGNS_MAX: usize = 1_000;
/// The most tenants whose alarms are set again, beside those of webhooks.
const TENANTS_MAX: usize = 10_000;
/// How much that is written down a node remembers not to write again; then it looks anew.
const NOTED_MAX: usize = 10_000;
/// How often a name is written down again because other nodes do so at the same time.
const ATTEMPTS_MAX: usize = 8;
