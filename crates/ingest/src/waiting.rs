//! Whose alarms there may be: by this, another process finds what has to wait where one has ended.

use std::collections::{BTreeSet, HashSet};

use parking_lot::Mutex;
use switchboard_event::machine::campaign::{Campaign, campaign_key};
use switchboard_event::machine::connection::{Connection, ConnectionTimes, connection_key};
use switchboard_event::{Id, TenantId, Timestamp};
use switchboard_journal::{Batch, Change, Expect, Key, VALUES_MAX, Value};
use tracing::debug;

use crate::accounts;
use crate::alarms::Alarm;
use crate::ingest::Ingest;
use crate::messages::unavailable;
use crate::outcome::{Refusal, Unavailable};

/// The tenants that this node knows to be written down.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<HashSet<TenantId>>);

/// Names under a state key, of which the oldest gives way to one too many.
#[derive(Debug, Default)]
pub(crate) struct Names {
    stored: Option<Value>,
    names: Vec<Box<str>>,
}

impl Ingest {
    /// Writes down that this tenant may have alarms. If that cannot be done now, it is done along with
    /// the next one: an alarm that nobody sets again costs a delay and nothing else.
    pub(crate) async fn note_tenant(&self, tenant: &TenantId) {
        if tenant.is_everyone() || self.noted().0.lock().contains(tenant) {
            return;
        }
        match self.write_tenant(tenant).await {
            Ok(()) => {
                let mut noted = self.noted().0.lock();
                if noted.len() >= TENANTS_MAX {
                    noted.clear();
                }
                noted.insert(tenant.clone());
            }
            Err(code) => debug!(%tenant, code, "could not note that a tenant has alarms"),
        }
    }

    async fn write_tenant(&self, tenant: &TenantId) -> Result<(), &'static str> {
        let (system, now) = (TenantId::system(), self.clock().now());
        for _ in 0..ATTEMPTS_MAX {
            let values = self.journal().values(&system, &[tenants_key()], now).await;
            let values = values.map_err(|failure| unavailable(&failure).code())?;
            let known = Names::of(values.into_iter().next().flatten());
            let Some(change) = known.with([tenant.as_str()], tenants_key(), TENANTS_MAX) else {
                return Ok(());
            };
            let partition = self.journal().partitions().of(&system);
            let batch = Batch::new(partition, system.clone(), Vec::new(), vec![change]);
            let batch = batch.map_err(|_| "too_long")?;
            if self.journal().append(batch, now).await.is_ok() {
                return Ok(());
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
    pub(crate) fn of(stored: Option<Value>) -> Self {
        let names = stored
            .as_ref()
            .and_then(|stored| serde_json::from_slice(&stored.bytes).ok());
        Self {
            names: names.unwrap_or_default(),
            stored,
        }
    }

    /// The change that adds what is missing of `names`, if anything is.
    pub(crate) fn with<'a>(
        mut self,
        names: impl IntoIterator<Item = &'a str>,
        key: Key,
        count_max: usize,
    ) -> Option<Change> {
        let before = self.names.len();
        for name in names {
            if self.names.iter().all(|known| **known != *name) {
                self.names.push(name.into());
            }
        }
        if self.names.len() == before {
            return None;
        }
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
pub(crate) fn campaigns_key() -> Key {
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
pub(crate) const CAMPAIGNS_MAX: usize = 1_000;
/// The most tenants whose alarms are set again, beside those of webhooks.
const TENANTS_MAX: usize = 10_000;
/// How often a tenant is written down again because others are at the same time.
const ATTEMPTS_MAX: usize = 8;
