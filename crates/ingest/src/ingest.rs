//! The producers' side as a whole: what it is made of, and the path that programs call.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};
use parking_lot::RwLock;
use switchboard_event::{Catalogue, Clock, Draft, Maker, TenantId};
use switchboard_journal::{Fleeting, Journal};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tracing::{debug, warn};

use crate::accounts::Heard;
use crate::alarms::Alarms;
use crate::api_key::ApiKey;
use crate::body::BodyReader;
use crate::campaigns;
use crate::config::Config;
use crate::draft::DRAFTS_MAX;
use crate::erasures;
use crate::events;
use crate::history;
use crate::in_flight::InFlight;
use crate::key_store::KeyStore;
use crate::keys::Keys;
use crate::limits::{Limits, ProducerLimits};
use crate::orders;
use crate::outcome::{Published, Refusal, Refused, Unavailable};
use crate::problem::Problem;
use crate::producers;
use crate::publish::Publication;
use crate::receipts;
use crate::source::Item;
use crate::stats::{IngestCounts, IngestStats};
use crate::turns::Turns;
use crate::waiting::Noted;
use crate::webhook::{self, Endpoints};

/// Takes events from producers and webhooks into the journal. Cheap to clone.
#[derive(Clone)]
pub struct Ingest(Arc<Shared>);

/// What the producers' side is made of.
pub struct Parts {
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// Where those go that are so for a moment.
    pub fleeting: Arc<dyn Fleeting>,
    /// Which events there are, and who hears them.
    pub catalogue: Arc<Catalogue>,
    /// Who may publish, by the settings; others are made while it runs.
    pub keys: Vec<ApiKey>,
    /// The only tenant, if there is one: then keys are made for no other.
    pub single_tenant: Option<TenantId>,
    /// Who may call back.
    pub endpoints: Endpoints,
    /// What time it is.
    pub clock: Clock,
    /// Limits.
    pub config: Config,
}

struct Shared {
    journal: Arc<dyn Journal>,
    fleeting: Arc<dyn Fleeting>,
    catalogue: Arc<Catalogue>,
    keys: Keys,
    single_tenant: Option<TenantId>,
    endpoints: RwLock<Arc<Endpoints>>,
    clock: Clock,
    config: Config,
    limits: Limits,
    stats: IngestStats,
    bodies: BodyReader,
    webhook_bodies: BodyReader,
    in_flight: InFlight,
    turns: Turns,
    alarms: Alarms,
    heard: Heard,
    noted: Noted,
}

impl Ingest {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            journal,
            fleeting,
            catalogue,
            keys,
            single_tenant,
            endpoints,
            clock,
            config,
        } = parts;
        let Config {
            body_len_max,
            webhook_body_len_max,
            bodies_len_max,
            body_timeout,
            appends_max,
            append_bytes_max,
            ..
        } = config;
        Self(Arc::new(Shared {
            journal,
            fleeting,
            catalogue,
            keys: Keys::new(keys),
            single_tenant,
            endpoints: RwLock::new(Arc::new(endpoints)),
            clock,
            in_flight: InFlight::new(appends_max, append_bytes_max),
            limits: Limits::new(&config.limits),
            config,
            turns: Turns::default(),
            alarms: Alarms::default(),
            heard: Heard::default(),
            noted: Noted::default(),
            stats: IngestStats::default(),
            bodies: BodyReader::new(body_len_max, bodies_len_max, body_timeout),
            webhook_bodies: BodyReader::new(webhook_body_len_max, bodies_len_max, body_timeout),
        }))
    }

    /// Publishes drafts of one tenant, and answers once they are durable: one outcome per draft, in
    /// order.
    ///
    /// The good ones go into as few batches as possible; each keeps its own outcome. With
    /// [`TenantId::everyone`] the events go to every partition, and a position is that of the
    /// first. An error means that nothing was appended. Fleeting events are passed on and have no
    /// position.
    pub async fn publish(
        &self,
        tenant: &TenantId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Published, Refused>>, PublishError> {
        self.take(tenant, drafts, Maker::Producer).await
    }

    /// The same for what another server has told its clients: it passes as it is, whatever the
    /// catalogue says of it, which whoever calls has asked before.
    pub async fn relay(
        &self,
        tenant: &TenantId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Published, Refused>>, PublishError> {
        self.take(tenant, drafts, Maker::Relay).await
    }

    async fn take(
        &self,
        tenant: &TenantId,
        drafts: Vec<Draft>,
        maker: Maker,
    ) -> Result<Vec<Result<Published, Refused>>, PublishError> {
        if drafts.len() > DRAFTS_MAX {
            return Err(PublishError::TooMany {
                count: drafts.len(),
            });
        }
        let items = drafts.into_iter().map(Item::from).collect();
        let outcomes = self.append(tenant, items, maker).await;
        for outcome in &outcomes {
            match outcome {
                Ok(published) => self.stats().take(published),
                Err(refused) => self.stats().refuse(refused.refusal.code()),
            }
        }
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        debug!(%tenant, count = outcomes.len(), taken, "published");

        let unavailable = outcomes.iter().find_map(|outcome| match outcome {
            Err(Refused {
                refusal: Refusal::Unavailable(unavailable),
                ..
            }) => Some(unavailable),
            _ => None,
        });
        match unavailable {
            Some(unavailable) if taken == 0 => Err(PublishError::Unavailable(*unavailable)),
            _ => Ok(outcomes),
        }
    }

    /// The routes of producers and webhooks. They have no fallback, so that they can be merged.
    pub fn router(&self) -> Router {
        let no_method = || async { Problem::method_not_allowed() };
        let routes = routes().into_iter();
        routes
            .fold(Router::new(), |router, (path, methods)| {
                router.route(path, methods.fallback(no_method))
            })
            .with_state(self.clone())
    }

    /// The paths of the routes: every way in that there is on this side.
    pub fn paths() -> impl Iterator<Item = &'static str> {
        routes().into_iter().map(|(path, _)| path)
    }

    /// Reads the API keys that are stored. Until this was done once, only those of the settings
    /// are known.
    pub async fn learn_keys(&self) -> Result<(), KeysUnreadable> {
        let store = self.key_store();
        let learned = timeout(KEYS_TIMEOUT, store.refresh(self.0.clock.now())).await;
        learned
            .map_err(|_| KeysUnreadable(format!("no answer within {KEYS_TIMEOUT:?}")))?
            .map_err(|error| KeysUnreadable(error.to_string()))
    }

    /// Goes on learning of API keys that are made and revoked, on whichever node, and writes down
    /// when keys are used; for ever. What was revoked elsewhere is refused within
    /// [`KEYS_INTERVAL`] and the time of one read.
    pub async fn follow_keys(&self) {
        let mut due = tokio::time::interval(KEYS_INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut write_at = Instant::now() + USED_INTERVAL;
        let mut is_readable = true;
        loop {
            due.tick().await;
            let learned = self.learn_keys().await;
            if is_readable && let Err(error) = &learned {
                warn!(%error, "API keys of before stay in force");
            }
            is_readable = learned.is_ok();
            if Instant::now() < write_at {
                continue;
            }
            write_at = Instant::now() + USED_INTERVAL;
            if let Err(error) = self.key_store().write_used(self.0.clock.now()).await {
                debug!(%error, "the use of API keys was not written down");
            }
        }
    }

    /// Takes other keys from the settings; those that are stored stay.
    pub fn set_keys(&self, keys: Vec<ApiKey>) {
        self.0.keys.configure(keys);
    }

    /// Lets others call back.
    pub fn set_endpoints(&self, endpoints: Endpoints) {
        *self.0.endpoints.write() = Arc::new(endpoints);
    }

    /// Holds producers to other limits from now on.
    pub fn set_limits(&self, limits: &ProducerLimits) {
        self.0.limits.set(limits);
    }

    /// What has been counted so far.
    pub fn counts(&self) -> IngestCounts {
        IngestCounts {
            limited: self.0.limits.counts(),
            in_flight: self.0.in_flight.counts(),
            overloaded: self.0.in_flight.refused(),
            ..self.stats().counts()
        }
    }

    /// The counters.
    pub fn stats(&self) -> &IngestStats {
        &self.0.stats
    }

    /// Appends what belongs to one tenant, or nothing of it if too much is being appended already.
    ///
    /// In a task of its own: a caller that goes away leaves nothing half done, and finds the outcome
    /// again by the same ids.
    pub(crate) async fn append(
        &self,
        tenant: &TenantId,
        items: Vec<Item>,
        maker: Maker,
    ) -> Vec<Result<Published, Refused>> {
        let drafts = items.iter().flat_map(|item| &item.drafts);
        let ids: Vec<_> = drafts.map(|draft| draft.id.clone()).collect();
        let refused = |unavailable: Unavailable| {
            let refused = |id| {
                Err(Refused {
                    id,
                    refusal: unavailable.into(),
                })
            };
            ids.into_iter().map(refused).collect()
        };
        let share = match self.0.in_flight.take(&items) {
            Ok(share) => share,
            Err(overloaded) => return refused(overloaded),
        };
        let (ingest, tenant) = (self.clone(), tenant.clone());
        let appending = tokio::spawn(async move {
            let outcomes = ingest.publication(&tenant, maker).run(items).await;
            drop(share);
            outcomes
        });
        appending
            .await
            .unwrap_or_else(|_| refused(Unavailable::Failing))
    }

    /// A publication of this tenant, now.
    pub(crate) fn publication<'a>(&'a self, tenant: &'a TenantId, maker: Maker) -> Publication<'a> {
        let Shared {
            journal,
            fleeting,
            catalogue,
            clock,
            config,
            ..
        } = &*self.0;
        Publication {
            ingest: self,
            journal: &**journal,
            fleeting: &**fleeting,
            catalogue,
            config,
            stats: self.stats(),
            tenant,
            now: clock.now(),
            maker,
        }
    }

    /// The event's name, if it is one of ours: anything else is a word that a producer made up.
    pub fn known_event(&self, name: &str) -> Option<&str> {
        self.0.catalogue.names().find(|known| *known == name)
    }

    pub(crate) fn journal(&self) -> &dyn Journal {
        &*self.0.journal
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn key_store(&self) -> KeyStore<'_> {
        KeyStore {
            journal: &*self.0.journal,
            keys: &self.0.keys,
        }
    }

    pub(crate) fn single_tenant(&self) -> Option<&TenantId> {
        self.0.single_tenant.as_ref()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.0.endpoints.read())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn alarms(&self) -> &Alarms {
        &self.0.alarms
    }

    pub(crate) fn noted(&self) -> &Noted {
        &self.0.noted
    }

    pub(crate) fn last_heard(&self) -> &Heard {
        &self.0.heard
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn bodies(&self) -> &BodyReader {
        &self.0.bodies
    }

    pub(crate) fn webhook_bodies(&self) -> &BodyReader {
        &self.0.webhook_bodies
    }
}

/// The API keys that are stored cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the API keys in the journal cannot be read: {0}")]
pub struct KeysUnreadable(String);

/// How often it is looked whether API keys were made or revoked.
pub const KEYS_INTERVAL: Duration = Duration::from_millis(500);
/// How long reading the keys may take.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is written down that keys were used.
const USED_INTERVAL: Duration = Duration::from_mins(1);

fn routes() -> [(&'static str, MethodRouter<Ingest>); 10] {
    [
        (
            "/v1/events",
            get(history::get_events).post(events::post_events),
        ),
        ("/v1/campaigns/{id}/{verb}", post(campaigns::post_campaign)),
        ("/v1/events/{id}/receipt", get(receipts::get_receipt)),
        ("/v1/revocations", post(orders::post_revocations)),
        ("/v1/users/{id}/disconnect", post(orders::post_disconnect)),
        ("/v1/access/invalidate", post(orders::post_invalidate)),
        ("/v1/erasures", post(erasures::post_erasures)),
        (
            "/v1/producers",
            get(producers::get_producers).post(producers::post_producers),
        ),
        ("/v1/producers/{id}", delete(producers::delete_producer)),
        (
            "/webhooks/meta/{endpoint}",
            get(webhook::get_meta).post(webhook::post_meta),
        ),
    ]
}

/// Why nothing of a call was appended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// More drafts than one call may have.
    #[error("{count} events at once, the limit is {DRAFTS_MAX}")]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// The journal takes nothing right now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
