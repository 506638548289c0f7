//! The connections of accounts, as gateways tell them: their machine, and when it is asked again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use switchboard_event::machine::connection::{
    Connection, ConnectionNews, ConnectionState, ConnectionTimes, Signal, StatusNews, Step,
    connection_key,
};
use switchboard_event::payload::{
    ConnectionStatus, WhatsappConnectionStatus, WhatsappDisconnected, WhatsappQrGenerated,
    WhatsappReady,
};
use switchboard_event::snapshot::{self, SnapshotEntry};
use switchboard_event::{Draft, Id, Maker, TenantId, Timestamp};
use switchboard_journal::{Change, Expect, Key, Value};
use tracing::{debug, warn};

use crate::alarms::Alarm;
use crate::ingest::Ingest;
use crate::messages::unavailable;
use crate::outcome::{Refusal, Unavailable};
use crate::publish::{CONFLICTS_MAX, Failure, Plan, Publication};
use crate::stage;

/// When something was last heard of which account, as far as this node wrote it down.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<(TenantId, Id), Timestamp>>);

/// What the journal holds of an account.
struct Account {
    place: Key,
    stored: Option<Value>,
    connection: Option<Connection>,
    known: Known,
}

/// The accounts of a tenant whose connections are known: by them, alarms are set after a start.
struct Known {
    stored: Option<Value>,
    accounts: Accounts,
}

#[derive(Default, Deserialize, Serialize)]
struct Accounts {
    accounts: BTreeSet<Id>,
}

impl Ingest {
    /// Takes what a gateway tells of an account's connection, and returns once it is durable.
    ///
    /// What has to wait, because too much is told at once, is durable as well, and told in a second.
    pub async fn signal(
        &self,
        tenant: &TenantId,
        account: &Id,
        signal: Signal,
    ) -> Result<(), Refusal> {
        self.connection(tenant, account, Some(signal)).await
    }

    /// Asks an account whether it has something to tell that had to wait.
    pub(crate) async fn revisit_account(
        &self,
        tenant: &TenantId,
        account: &Id,
    ) -> Result<(), Refusal> {
        self.connection(tenant, account, None).await
    }

    /// Notes that accounts are alive: now and then, so that a message costs no write.
    pub(crate) async fn heard(&self, tenant: &TenantId, accounts: &BTreeSet<Id>) {
        let Some(silence_max) = self.config().account_silence_max else {
            return;
        };
        let now = self.clock().now();
        for account in accounts {
            if !self.last_heard().is_news(tenant, account, now, silence_max) {
                continue;
            }
            if let Err(refusal) = self.signal(tenant, account, Signal::Heard).await {
                debug!(%tenant, code = refusal.code(), "could not note that an account is alive");
            }
        }
    }

    /// Runs the machine of an account on what came, or on the time alone.
    async fn connection(
        &self,
        tenant: &TenantId,
        account: &Id,
        signal: Option<Signal>,
    ) -> Result<(), Refusal> {
        let times = ConnectionTimes {
            silence_max: self.config().account_silence_max,
        };
        self.note_tenant(tenant).await;
        let _turn = self.turns().take(tenant, [account]).await;
        for _ in 0..=CONFLICTS_MAX {
            let publication = self.publication(tenant, Maker::Mapping);
            let now = publication.now;
            let stored = Account::read(self, tenant, account, now).await?;
            let (connection, step) = match (&signal, stored.connection.clone()) {
                (Some(signal), earlier) => Connection::apply(earlier, signal.clone(), now, &times),
                (None, Some(connection)) => connection.tick(now, &times),
                (None, None) => return Ok(()),
            };
            let wake_at = step.wake_at;
            let plan = stored.plan(&publication, account, &connection, step)?;
            let appended = match plan {
                Some(plan) => publication.append(plan).await.map(|_| ()),
                None => Ok(()),
            };
            match appended {
                Ok(()) => {
                    if let Some(at) = wake_at {
                        self.alarms()
                            .ring_at(Alarm::Account(tenant.clone(), account.clone()), at);
                    }
                    return Ok(());
                }
                Err(Failure::Conflict) => {}
                Err(Failure::Unavailable(reason)) => return Err(reason.into()),
                Err(Failure::TooLong) => return Err(Refusal::TooLong),
                Err(Failure::IdReused { .. }) => return Err(Refusal::IdReused),
            }
        }
        Err(Unavailable::Overloaded.into())
    }
}

impl Heard {
    /// Whether it was longer ago than a quarter of the time after which it counts.
    fn is_news(
        &self,
        tenant: &TenantId,
        account: &Id,
        now: Timestamp,
        silence_max: Duration,
    ) -> bool {
        let mut heard = self.0.lock();
        if heard.len() >= HEARD_MAX {
            heard.clear();
        }
        let place = (tenant.clone(), account.clone());
        let next = heard.get(&place);
        let next = next.and_then(|last| last.checked_add(silence_max / 4));
        let is_news = next.is_none_or(|next| next <= now);
        if is_news {
            heard.insert(place, now);
        }
        is_news
    }
}

impl Account {
    /// Reads what is known of an account, and learns what its producer has told since.
    async fn read(
        ingest: &Ingest,
        tenant: &TenantId,
        account: &Id,
        now: Timestamp,
    ) -> Result<Self, Unavailable> {
        let place = key(&connection_key(account));
        let mut keys = vec![place.clone(), index_key()];
        keys.extend(snapshot::connection_key(account).map(|shown| key(shown.as_str())));
        let values = ingest.journal().values(tenant, &keys, now).await;
        let mut values = values.map_err(|failure| unavailable(&failure))?.into_iter();
        let mut next = || values.next().flatten();
        let (stored, index, shown) = (next(), next(), next());
        let connection = stored.as_ref().and_then(|stored| {
            Connection::from_bytes(&stored.bytes)
                .inspect_err(
                    |invalid| warn!(error = %invalid, "left out what is known of an account"),
                )
                .ok()
        });
        let shown = shown.as_ref().and_then(shown_state);
        let connection = match (connection, shown) {
            (connection, None) => connection,
            (connection, Some(state)) => {
                let connection = connection.unwrap_or_else(|| Connection::new(now));
                Some(connection.learn(state, now))
            }
        };
        Ok(Self {
            place,
            stored,
            connection,
            known: Known::of(index),
        })
    }

    /// What is to be appended, if anything is.
    fn plan(
        self,
        publication: &Publication<'_>,
        account: &Id,
        connection: &Connection,
        step: Step,
    ) -> Result<Option<Plan>, Refusal> {
        let bytes = connection.to_bytes();
        if self
            .stored
            .as_ref()
            .is_some_and(|stored| stored.bytes == bytes)
        {
            return Ok(None);
        }
        let mut plan = Plan::default();
        for news in step.news {
            let draft = draft(account, news)?;
            let (tenant, now) = (publication.tenant, publication.now);
            let event = stage::event(publication.catalogue, tenant, draft, now)?;
            plan.events.push(event);
        }
        plan.changes.push(Change {
            key: self.place,
            expect: expect(self.stored.as_ref()),
            value: Some(bytes),
            expires_at: None,
            event: None,
        });
        plan.changes.extend(self.known.with(account));
        publication.show(&mut plan);
        Ok(Some(plan))
    }
}

impl Known {
    fn of(stored: Option<Value>) -> Self {
        let accounts = stored
            .as_ref()
            .and_then(|stored| serde_json::from_slice(&stored.bytes).ok());
        Self {
            accounts: accounts.unwrap_or_default(),
            stored,
        }
    }

    /// The change that makes an account known, unless it is or there are too many.
    fn with(mut self, account: &Id) -> Option<Change> {
        if self.accounts.accounts.len() >= ACCOUNTS_MAX
            || !self.accounts.accounts.insert(account.clone())
        {
            return None;
        }
        let bytes = serde_json::to_vec(&self.accounts).expect("ids are always JSON");
        Some(Change {
            key: index_key(),
            expect: expect(self.stored.as_ref()),
            value: Some(bytes.into()),
            expires_at: None,
            event: None,
        })
    }
}

/// The state that was last told to everybody, whoever told it.
fn shown_state(shown: &Value) -> Option<ConnectionState> {
    #[derive(Deserialize)]
    struct Shown<'a> {
        status: String,
        #[serde(borrow)]
        detail: Option<&'a RawValue>,
    }
    let entry = SnapshotEntry::from_bytes(&shown.bytes).ok()?;
    let Shown { status, detail } = serde_json::from_str(entry.data.get()).ok()?;
    let detail = detail.and_then(|detail| serde_json::from_str::<String>(detail.get()).ok());
    ConnectionState::of(&ConnectionStatus::from(status), detail.as_deref())
}

/// The draft that tells this of an account.
fn draft(account: &Id, news: ConnectionNews) -> Result<Draft, Refusal> {
    let (account_id, timestamp) = (account.clone(), None);
    match news {
        ConnectionNews::Status(status) => stage::draft(&status_payload(account_id, status)),
        ConnectionNews::Ready(account_info) => stage::draft(&WhatsappReady {
            account_id,
            account_info,
            timestamp,
        }),
        ConnectionNews::Disconnected(reason) => stage::draft(&WhatsappDisconnected {
            account_id,
            reason: Some(reason),
            timestamp,
        }),
        ConnectionNews::Qr { code, expires_at } => stage::draft(&WhatsappQrGenerated {
            account_id,
            qr_code: Some(code),
            expires_at: Some(expires_at.into()),
            timestamp,
        }),
    }
}

fn status_payload(account_id: Id, status: StatusNews) -> WhatsappConnectionStatus {
    let state = status.state;
    WhatsappConnectionStatus {
        account_id,
        status: state.status(),
        message: Some(state.message().to_owned()),
        detail: Some(state.as_str().into()),
        reason: status.reason.map(Into::into),
        reason_code: status.reason_code.map(Into::into),
        health: status.health.map(Into::into),
        since: Some(json!(status.since)),
        will_retry: Some(state.will_retry().into()),
        action: Some(state.action().into()),
        stale: status.is_stale.then(|| true.into()),
        timestamp: None,
    }
}

fn expect(stored: Option<&Value>) -> Expect {
    stored.map_or(Expect::Absent, |stored| Expect::Version(stored.version))
}

/// The accounts of a tenant, as the journal has them.
pub(crate) fn known(stored: Option<Value>) -> Vec<Id> {
    Known::of(stored).accounts.accounts.into_iter().collect()
}

pub(crate) fn index_key() -> Key {
    key("connections")
}

fn key(text: &str) -> Key {
    text.parse()
        .expect("an id with a prefix is shorter than a key may be")
}

/// The most accounts of a tenant that are looked after again after a start.
const ACCOUNTS_MAX: usize = 10_000;
/// Of how many accounts it is remembered when they were last heard; then it begins anew, which costs
/// each of them one write.
const HEARD_MAX: usize = 10_000;
