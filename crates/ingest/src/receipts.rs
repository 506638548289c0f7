//! Receipts: opened in the batch of their events, and told to who asks.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use switchboard_event::{Event, EventId, ReceiptKey, ReceiptState, ReceiptView, TenantId};
use switchboard_journal::{Change, Expect, Key, ReadError};
use tracing::error;

use crate::events::tenant_of;
use crate::ingest::Ingest;
use crate::outcome::{Refusal, Unavailable};
use crate::problem::Problem;
use crate::producer::Producer;
use crate::scope::Scope;

/// Whose event it is, for a key for all tenants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    tenant: Option<String>,
}

/// `GET /v1/events/{id}/receipt`: who got an event so far, or in the end.
pub(crate) async fn get_receipt(
    State(ingest): State<Ingest>,
    producer: Producer,
    Path(id): Path<String>,
    whose: Result<Query<Whose>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ReceiptView>, Problem> {
    producer.require(Scope::Read)?;
    let Query(Whose { tenant }) = whose.map_err(|_| {
        let detail = "the query may name a tenant, and nothing else";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    })?;
    let tenant = tenant_of(producer.reach(), tenant.as_deref());
    let tenant = tenant.map_err(|refusal: Refusal| Problem::from(&refusal))?;
    // What is no id is of no event.
    let id: EventId = id.parse().map_err(|_| no_receipt())?;
    match ingest.receipt(&tenant, &id).await {
        Ok(Some(receipt)) => Ok(Json(receipt)),
        Ok(None) => Err(no_receipt()),
        Err(unavailable) => Err((&unavailable).into()),
    }
}

impl Ingest {
    /// Who got an event of `tenant` so far, or in the end; none if its producer did not ask, or so
    /// long ago that it is forgotten.
    pub async fn receipt(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<ReceiptView>, Unavailable> {
        let now = self.clock().now();
        let values = self.journal().values(tenant, &[key(id)], now).await;
        let mut values = values.map_err(|failure| {
            if failure == ReadError::Closed {
                return Unavailable::Closed;
            }
            error!(error = %failure, "could not read a receipt");
            Unavailable::Failing
        })?;
        let Some(value) = values.pop().flatten() else {
            return Ok(None);
        };
        match ReceiptState::from_bytes(&value.bytes) {
            Ok(state) => Ok(Some(state.view(id.clone(), now))),
            Err(invalid) => {
                error!(error = %invalid, "a receipt is not readable");
                Err(Unavailable::Failing)
            }
        }
    }
}

/// Opens the receipts of a batch's events, each along with its event: of a duplicate it is open, or
/// closed, already.
pub(crate) fn changes(
    events: &[Event],
    retention: Duration,
) -> impl Iterator<Item = Change> + use<'_> {
    let change = move |(index, event): (usize, &Event)| {
        let state = ReceiptState::of(event)?;
        Some(Change {
            key: key(event.id()),
            expect: Expect::Anything,
            value: Some(state.to_bytes()),
            expires_at: state.deadline().checked_add(retention),
            event: Some(index),
        })
    };
    events.iter().enumerate().filter_map(change)
}

/// The key as journals have it.
fn key(event: &EventId) -> Key {
    let key = ReceiptKey::new(event);
    (key.as_str().parse()).expect("an id with a prefix is shorter than a key may be")
}

fn no_receipt() -> Problem {
    let detail = "no event with this id has a receipt";
    Problem::new(StatusCode::NOT_FOUND, "no_receipt", detail)
}
