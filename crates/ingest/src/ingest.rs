//! The producers' side as a whole: what it is made of, and the path that programs call.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use switchboard_event::{Catalogue, Clock, Draft, Maker, TenantId};
use switchboard_journal::Journal;
use tracing::debug;

use crate::body::BodyReader;
use crate::config::Config;
use crate::draft::DRAFTS_MAX;
use crate::events;
use crate::outcome::{Receipt, Refusal, Refused, Unavailable};
use crate::problem::Problem;
use crate::producer::ApiKeys;
use crate::publish::Publication;
use crate::source::Item;
use crate::stats::IngestStats;
use crate::webhook::{self, Endpoints};

/// Takes events from producers and webhooks into the journal. Cheap to clone.
#[derive(Clone)]
pub struct Ingest(Arc<Shared>);

/// What the producers' side is made of.
pub struct Parts {
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// Which events there are, and who hears them.
    pub catalogue: Arc<Catalogue>,
    /// Who may publish.
    pub keys: ApiKeys,
    /// Who may call back.
    pub endpoints: Endpoints,
    /// What time it is.
    pub clock: Clock,
    /// Limits.
    pub config: Config,
}

struct Shared {
    parts: Parts,
    stats: IngestStats,
    bodies: BodyReader,
    webhook_bodies: BodyReader,
}

impl Ingest {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Config {
            body_len_max,
            webhook_body_len_max,
            bodies_len_max,
            body_timeout,
            ..
        } = parts.config;
        Self(Arc::new(Shared {
            parts,
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
    /// first. An error means that nothing was appended.
    pub async fn publish(
        &self,
        tenant: &TenantId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Receipt, Refused>>, PublishError> {
        if drafts.len() > DRAFTS_MAX {
            return Err(PublishError::TooMany {
                count: drafts.len(),
            });
        }
        let items = drafts.into_iter().map(Item::from).collect();
        let outcomes = self.append(tenant, items, Maker::Producer).await;
        for outcome in &outcomes {
            match outcome {
                Ok(receipt) => self.stats().accept(receipt.duplicate),
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
        Router::new()
            .route("/v1/events", post(events::post_events).fallback(no_method))
            .route(
                "/webhooks/meta/{endpoint}",
                get(webhook::get_meta)
                    .post(webhook::post_meta)
                    .fallback(no_method),
            )
            .with_state(self.clone())
    }

    /// The counters.
    pub fn stats(&self) -> &IngestStats {
        &self.0.stats
    }

    pub(crate) async fn append(
        &self,
        tenant: &TenantId,
        items: Vec<Item>,
        maker: Maker,
    ) -> Vec<Result<Receipt, Refused>> {
        let Parts {
            journal,
            catalogue,
            clock,
            config,
            ..
        } = &self.0.parts;
        let now = clock.now();
        Publication {
            journal: &**journal,
            catalogue,
            config,
            stats: self.stats(),
            tenant,
            now,
            maker,
        }
        .run(items)
        .await
    }

    /// The event's name, if it is one of ours: anything else is a word that a producer made up.
    pub(crate) fn known_event(&self, name: &str) -> Option<&str> {
        self.0.parts.catalogue.names().find(|known| *known == name)
    }

    pub(crate) fn keys(&self) -> &ApiKeys {
        &self.0.parts.keys
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.0.parts.endpoints
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    pub(crate) fn bodies(&self) -> &BodyReader {
        &self.0.bodies
    }

    pub(crate) fn webhook_bodies(&self) -> &BodyReader {
        &self.0.webhook_bodies
    }
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
