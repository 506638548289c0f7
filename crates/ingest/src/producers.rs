//! `/v1/producers`: making, listing and revoking API keys while the server runs.

use std::fmt::Write as _;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderMap};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use switchboard_event::{TenantId, Timestamp};
use tracing::{info, warn};

use crate::api_key::{KeyHash, KeyId};
use crate::events::{require_json, tenant_named};
use crate::form::Form;
use crate::ingest::Ingest;
use crate::key_store::{KeyStoreError, StoredKey};
use crate::keys::Known;
use crate::outcome::Unavailable;
use crate::problem::Problem;
use crate::producer::{Producer, Reach};
use crate::scope::{Scope, Scopes};

/// The body of `POST /v1/producers`.
struct Wish {
    name: String,
    tenant: Option<String>,
    scopes: Scopes,
}

impl Wish {
    fn read(text: &[u8]) -> Result<Self, Problem> {
        let mut form = Form::parse(text)?;
        let read = || {
            let wish = Self {
                name: form.need("name", "text")?,
                tenant: form.take("tenant", "text")?,
                scopes: form.take("scopes", SCOPES)?.unwrap_or_default(),
            };
            form.finish().map(|()| wish)
        };
        read().map_err(|problem: Problem| problem.with_code(INVALID))
    }
}

/// An API key as it is told; the key itself only once, when it is made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    id: KeyId,
    name: String,
    tenant: TenantId,
    scopes: Scopes,
    /// `settings`, or `api` if it was made here.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct All {
    producers: Vec<Told>,
}

/// `POST /v1/producers`: makes a key, and tells it this once.
pub(crate) async fn post_producers(
    State(ingest): State<Ingest>,
    producer: Producer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let made = make(&ingest, &producer, &headers, body).await;
    made.inspect_err(|problem| {
        let (code, field) = (problem.code(), problem.logged_field());
        warn!(
            producer = producer.name(),
            code, field, "refused an API key"
        );
    })
}

async fn make(
    ingest: &Ingest,
    producer: &Producer,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    producer.require(Scope::Admin)?;
    require_json(headers)?;
    let body = ingest.bodies().read(headers, body).await?;
    let wish = Wish::read(&body.bytes)?;
    check_name(&wish.name)?;
    let reach = reach(ingest, producer, wish.tenant.as_deref())?;

    let key = fresh_key()?;
    let now = ingest.clock().now();
    let stored = StoredKey {
        name: wish.name,
        sha256: KeyHash::of(&key),
        tenant: reach.tenant().as_str().to_owned(),
        scopes: wish.scopes,
        created_at: now.as_millis(),
    };
    let id = stored.sha256.id();
    ingest.key_store().add(stored.clone(), now).await?;
    info!(by = producer.name(), key = %id, name = stored.name, tenant = stored.tenant, "API key made");
    audit(producer, "producer_create", id, &stored.tenant);
    let told = Told {
        id,
        name: stored.name,
        tenant: reach.tenant(),
        scopes: stored.scopes,
        source: SOURCE_API,
        key: Some(key),
        created_at: Some(now),
        last_used_at: None,
    };
    let mut response = (StatusCode::CREATED, Json(told)).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// `GET /v1/producers`: the keys that the asking one may revoke, none of them itself.
pub(crate) async fn get_producers(
    State(ingest): State<Ingest>,
    producer: Producer,
) -> Result<Response, Problem> {
    producer.require(Scope::Admin)?;
    let now = ingest.clock().now();
    let store = ingest.key_store();
    // What another node made or revoked just now is told too.
    store.refresh(now).await?;
    let all = ingest.keys().all();
    let reached = all
        .iter()
        .filter(|known| producer.reach().covers(&known.key.reach));
    let reached: Vec<_> = reached.cloned().collect();
    let used = store.used(&reached, now).await?;
    let producers = reached.into_iter().zip(used);
    let producers = producers.map(|(known, used)| told(known, used)).collect();
    Ok(Json(All { producers }).into_response())
}

/// `DELETE /v1/producers/{id}`: the key is good for nothing from now on.
pub(crate) async fn delete_producer(
    State(ingest): State<Ingest>,
    producer: Producer,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    producer.require(Scope::Admin)?;
    let now = ingest.clock().now();
    let store = ingest.key_store();
    store.refresh(now).await?;
    let all = ingest.keys().all();
    let known = id.parse::<KeyId>().ok().and_then(|id| {
        let is_meant = |known: &&Known| known.id == id && producer.reach().covers(&known.key.reach);
        all.iter().find(is_meant)
    });
    let Some(Known {
        id,
        key,
        created_at,
        ..
    }) = known
    else {
        return Err(KeyStoreError::Unknown.into());
    };
    if created_at.is_none() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "producer_of_settings",
            "the API key is one of the settings: take it out there, and let the server read them again",
        ));
    }
    store.remove(*id, now).await?;
    info!(by = producer.name(), key = %id, name = key.name, "API key revoked");
    audit(
        &producer,
        "producer_revoke",
        *id,
        key.reach.tenant().as_str(),
    );
    Ok(StatusCode::NO_CONTENT)
}

fn told(known: Known, used: Option<Timestamp>) -> Told {
    Told {
        id: known.id,
        tenant: known.key.reach.tenant(),
        name: known.key.name,
        scopes: known.key.scopes,
        source: if known.created_at.is_some() {
            SOURCE_API
        } else {
            SOURCE_SETTINGS
        },
        key: None,
        created_at: known.created_at,
        last_used_at: used,
    }
}

/// For whom the key is to be: nobody gives away more than their own tenant.
fn reach(ingest: &Ingest, producer: &Producer, named: Option<&str>) -> Result<Reach, Problem> {
    let single = ingest.single_tenant();
    let tenant = match (named, producer.reach(), single) {
        (Some(named), ..) => tenant_named(named).map_err(|error| {
            invalid(format!("the tenant is not valid: {error}")).with_field(Some("tenant"))
        })?,
        (None, Reach::Tenant(tenant), _) | (None, _, Some(tenant)) => tenant.clone(),
        (None, Reach::Everyone, None) => {
            return Err(invalid("the API key must be for a tenant, or for all: `*`")
                .with_field(Some("tenant")));
        }
    };
    if let Some(single) = single.filter(|single| tenant != **single) {
        let detail = format!(
            "there is a single tenant here, `{}`, and `tenant` names another one",
            single.as_str()
        );
        return Err(invalid(detail).with_field(Some("tenant")));
    }
    let reach = Reach::of(tenant);
    if !producer.reach().covers(&reach) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "other_tenant",
            "the API key would be for another tenant than yours",
        )
        .with_field(Some("tenant")));
    }
    Ok(reach)
}

fn check_name(name: &str) -> Result<(), Problem> {
    let is_good = (1..=NAME_LEN_MAX).contains(&name.len())
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    let detail = format!("a name is 1 to {NAME_LEN_MAX} bytes without control characters");
    Err(invalid(detail).with_field(Some("name")))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID, detail)
}

/// 256 bits as hexadecimal digits: a double click marks it all.
fn fresh_key() -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| Problem::from(&Unavailable::NoRandomness))?;
    let mut key = KEY_PREFIX.to_owned();
    for byte in bytes {
        write!(key, "{byte:02x}").expect("writing to text never fails");
    }
    Ok(key)
}

/// A line as those of the gateway, whose module says what they hold.
fn audit(producer: &Producer, action: &str, key: KeyId, tenant: &str) {
    info!(
        target: "switchboard::audit",
        action,
        code = "ok",
        tenant,
        producer = producer.name(),
        key = %key,
    );
}

impl From<KeyStoreError> for Problem {
    fn from(error: KeyStoreError) -> Self {
        let detail = error.to_string();
        match error {
            KeyStoreError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_producers", detail),
            KeyStoreError::Unknown => Self::new(StatusCode::NOT_FOUND, "unknown_producer", detail),
            KeyStoreError::Unavailable(error) => (&error).into(),
            KeyStoreError::Read(_) | KeyStoreError::Unreadable(_) => {
                warn!(%error, "API keys cannot be read");
                Self::unavailable("unavailable", "the API keys cannot be read right now")
            }
        }
    }
}

const INVALID: &str = "invalid_producer";
const SCOPES: &str = "a list of at least one of \"publish\", \"read\" and \"admin\"";
const SOURCE_API: &str = "api";
const SOURCE_SETTINGS: &str = "settings";
const KEY_PREFIX: &str = "sb_";
const NAME_LEN_MAX: usize = 64;
