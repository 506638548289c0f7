//! `POST /v1/events`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;
use serde_json::value::RawValue;
use switchboard_event::{Draft, EventId, InvalidId, TenantId};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::draft::{self, DRAFTS_MAX, Submission};
use crate::ingest::{Ingest, PublishError};
use crate::outcome::{Published, Refusal, Refused};
use crate::problem::Problem;
use crate::producer::{Producer, Reach};
use crate::scope::Scope;

/// `POST /v1/events`: answers 2xx once the events are durable, and never before.
pub(crate) async fn post_events(
    State(ingest): State<Ingest>,
    producer: Producer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = answer(&ingest, &producer, &headers, body).await;
    ingest.stats().answer(answer.as_ref().map(Response::status));
    if let Err(problem) = &answer {
        warn!(
            producer = producer.name(),
            code = problem.code(),
            event = problem.event(),
            field = problem.logged_field(),
            "refused a request"
        );
    }
    answer
}

async fn answer(
    ingest: &Ingest,
    producer: &Producer,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    producer.require(Scope::Publish)?;
    require_json(headers)?;
    let key = idempotency_key(headers)?;
    let body = ingest.bodies().read(headers, body).await?;
    let submission = Submission::parse(&body.bytes).map_err(|error| malformed(&error))?;
    ingest.limits().events(producer, submission.count())?;
    match submission {
        Submission::One(json) => one(ingest, producer, key, json).await,
        Submission::Many(_) if key.is_some() => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_for_many",
            "Idempotency-Key is for one event; in an array each has its own `id`",
        )),
        Submission::Many(all) if all.is_empty() => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_drafts",
            "the array holds no event",
        )),
        Submission::Many(all) => many(ingest, producer, &all).await,
        Submission::TooMany => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_drafts",
            format!("the array is longer than the limit of {DRAFTS_MAX} events"),
        )),
    }
}

async fn one(
    ingest: &Ingest,
    producer: &Producer,
    key: Option<EventId>,
    json: &RawValue,
) -> Result<Response, Problem> {
    let outcome = match read(producer, json) {
        Err(refused) => {
            ingest.stats().refuse(refused.refusal.code());
            Err(refused)
        }
        Ok((tenant, mut draft)) => {
            draft.id = agreed_id(key, draft.id)?;
            let mut outcomes = publish(ingest.clone(), tenant, vec![draft]).await;
            outcomes.remove(0)
        }
    };
    match outcome {
        Ok(published) => Ok((StatusCode::ACCEPTED, Json(Taken::from(published))).into_response()),
        Err(refused) => {
            let event = draft::event_of(json);
            let event = event.and_then(|event| ingest.known_event(&event));
            Err(Problem::from(&refused.refusal).with_event(event))
        }
    }
}

/// Each draft keeps its own outcome; those of one tenant are published together.
async fn many(
    ingest: &Ingest,
    producer: &Producer,
    all: &[&RawValue],
) -> Result<Response, Problem> {
    let mut outcomes = Vec::with_capacity(all.len());
    let mut by_tenant: BTreeMap<TenantId, Vec<(usize, Draft)>> = BTreeMap::new();
    for (index, json) in all.iter().enumerate() {
        outcomes.push(None);
        match read(producer, json) {
            Ok((tenant, draft)) => by_tenant.entry(tenant).or_default().push((index, draft)),
            Err(refused) => {
                ingest.stats().refuse(refused.refusal.code());
                outcomes[index] = Some(Err(refused));
            }
        }
    }

    let mut publishing = JoinSet::new();
    let mut waiting = by_tenant.into_iter();
    loop {
        while publishing.len() < TENANTS_AT_ONCE_MAX
            && let Some((tenant, drafts)) = waiting.next()
        {
            let (indices, drafts): (Vec<_>, Vec<_>) = drafts.into_iter().unzip();
            let ingest = ingest.clone();
            publishing.spawn(async move { (indices, publish(ingest, tenant, drafts).await) });
        }
        let Some(published) = publishing.join_next().await else {
            break;
        };
        let (indices, published) = published.map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "publishing broke off",
            )
        })?;
        for (index, outcome) in indices.into_iter().zip(published) {
            outcomes[index] = Some(outcome);
        }
    }
    let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    log_refused(ingest, producer, all, &outcomes);
    answer_to_many(outcomes)
}

/// A line for each refused draft of an array, for whoever looks closely, and one for all of them.
fn log_refused(
    ingest: &Ingest,
    producer: &Producer,
    all: &[&RawValue],
    outcomes: &[Result<Published, Refused>],
) {
    let producer = producer.name();
    let mut refused = 0_usize;
    for (json, outcome) in all.iter().zip(outcomes) {
        let Err(Refused { refusal, .. }) = outcome else {
            continue;
        };
        refused += 1;
        let (code, field) = (refusal.code(), refusal.logged_field());
        let event = draft::event_of(json);
        let event = event.and_then(|event| ingest.known_event(&event));
        debug!(producer, code, event, field, "refused an event");
    }
    if refused > 0 {
        warn!(
            producer,
            refused,
            count = all.len(),
            "refused events of a request"
        );
    }
}

fn answer_to_many(outcomes: Vec<Result<Published, Refused>>) -> Result<Response, Problem> {
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let unavailable = outcomes.iter().find_map(|outcome| match outcome {
        Err(Refused {
            refusal: Refusal::Unavailable(unavailable),
            ..
        }) => Some(unavailable),
        _ => None,
    });
    if let (0, Some(unavailable)) = (taken, unavailable) {
        return Err(unavailable.into());
    }
    let status = match taken {
        0 => StatusCode::UNPROCESSABLE_ENTITY,
        taken if taken == outcomes.len() => StatusCode::ACCEPTED,
        _ => StatusCode::MULTI_STATUS,
    };
    let results = outcomes.into_iter().map(Entry::from).collect();
    Ok((status, Json(Results { results })).into_response())
}

/// One outcome per draft, also when nothing could be appended.
async fn publish(
    ingest: Ingest,
    tenant: TenantId,
    drafts: Vec<Draft>,
) -> Vec<Result<Published, Refused>> {
    let ids: Vec<_> = drafts.iter().map(|draft| draft.id.clone()).collect();
    let unavailable = match ingest.publish(&tenant, drafts).await {
        Ok(outcomes) => return outcomes,
        Err(PublishError::Unavailable(unavailable)) => unavailable,
        // The request was outlined with the same limit.
        Err(PublishError::TooMany { .. }) => crate::outcome::Unavailable::Overloaded,
    };
    ids.into_iter()
        .map(|id| {
            Err(Refused {
                id,
                refusal: Refusal::Unavailable(unavailable),
            })
        })
        .collect()
}

/// Reads a draft and decides whose it is.
fn read(producer: &Producer, json: &RawValue) -> Result<(TenantId, Draft), Refused> {
    let refused = |id, refusal| Refused { id, refusal };
    let draft = draft::read(json).map_err(|invalid| refused(draft::id_of(json), invalid.into()))?;
    match tenant_of(producer.reach(), draft.tenant.as_deref()) {
        Ok(tenant) => Ok((tenant, draft)),
        Err(refusal) => Err(refused(draft.id, refusal)),
    }
}

/// The tenant comes from the key. Only a key for all tenants leaves it to the draft.
pub fn tenant_of(reach: &Reach, named: Option<&str>) -> Result<TenantId, Refusal> {
    match (reach, named) {
        (Reach::Tenant(tenant), None) => Ok(tenant.clone()),
        (Reach::Tenant(tenant), Some(named)) if named == tenant.as_str() => Ok(tenant.clone()),
        (Reach::Tenant(_), Some(_)) => Err(Refusal::OtherTenant),
        (Reach::Everyone, None) => Err(Refusal::TenantRequired),
        (Reach::Everyone, Some(named)) => tenant_named(named).map_err(Refusal::InvalidTenant),
    }
}

pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|text| text.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the Content-Type must be application/json",
    ))
}

/// A tenant that a producer names: one of its own choice, or `*` for every one.
pub(crate) fn tenant_named(name: &str) -> Result<TenantId, InvalidId> {
    let everyone = TenantId::everyone();
    if name == everyone.as_str() {
        return Ok(everyone);
    }
    name.parse()
}

pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        format!("malformed JSON: {error}"),
    )
}

/// The id in `Idempotency-Key`: bare, or in the quotes that the header's draft standard wants.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    bare.parse().map(Some).map_err(|invalid: InvalidId| {
        let detail = format!("the Idempotency-Key is no event id: {invalid}");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
    })
}

/// The key is the id of a draft that has none, and must not contradict one that has.
fn agreed_id(key: Option<EventId>, id: Option<EventId>) -> Result<Option<EventId>, Problem> {
    match (key, id) {
        (Some(key), Some(id)) if key != id => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_mismatch",
            "the Idempotency-Key differs from the event's id",
        )
        .with_field(Some("id"))),
        (key, id) => Ok(key.or(id)),
    }
}

/// The answer for a draft that was taken.
#[derive(Serialize)]
struct Taken {
    id: EventId,
    /// A fleeting event has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

impl From<Published> for Taken {
    fn from(published: Published) -> Self {
        Self {
            id: published.id,
            position: published.position.map(|position| position.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Results {
    results: Vec<Entry>,
}

/// The answer for one draft of several.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Taken(Taken),
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<EventId>,
        error: EntryError,
    },
}

#[derive(Serialize)]
struct EntryError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl From<Result<Published, Refused>> for Entry {
    fn from(outcome: Result<Published, Refused>) -> Self {
        match outcome {
            Ok(published) => Self::Taken(published.into()),
            Err(Refused { id, refusal }) => Self::Refused {
                id,
                error: EntryError {
                    code: refusal.code(),
                    message: refusal.to_string(),
                    field: refusal.field().map(str::to_owned),
                },
            },
        }
    }
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How many tenants of one request are published for at the same time.
const TENANTS_AT_ONCE_MAX: usize = 16;
