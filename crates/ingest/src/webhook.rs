//! `/webhooks/meta/{endpoint}`: who may call back, and what becomes of what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS};
use switchboard_event::{Maker, TenantId};
use tracing::{debug, error, warn};

use crate::api_key::KeyHash;
use crate::hex::decode_hex;
use crate::ingest::Ingest;
use crate::lenient;
use crate::meta::{self, Accounts};
use crate::outcome::{Refusal, Refused, Unavailable};
use crate::problem::Problem;
use crate::source::{Ignored, Mapped};

/// A callback of Meta's Cloud API that was registered with us. Its secrets cannot be read back.
#[derive(Clone)]
pub struct MetaEndpoint {
    accounts: Accounts,
    app_secret: hmac::Key,
    verify_token: KeyHash,
}

impl MetaEndpoint {
    /// The callback of the app with this secret, whose owner chose this verify token.
    pub fn new(accounts: Accounts, app_secret: &str, verify_token: &str) -> Self {
        Self {
            accounts,
            app_secret: hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes()),
            verify_token: KeyHash::of(verify_token),
        }
    }

    /// Whether `X-Hub-Signature-256` is that of these very bytes, in constant time.
    fn signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let mut tag = [0; SIGNATURE_LEN];
        headers
            .get(SIGNATURE)
            .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
            .and_then(|hex| decode_hex(hex, &mut tag))
            .is_some_and(|()| hmac::verify(&self.app_secret, body, &tag).is_ok())
    }
}

impl fmt::Debug for MetaEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaEndpoint")
            .field("tenant", &self.accounts.tenant)
            .finish_non_exhaustive()
    }
}

/// All callbacks that were registered, by the last part of their path.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Those of Meta's Cloud API.
    pub meta: BTreeMap<String, MetaEndpoint>,
}

impl Endpoints {
    /// Whose accounts call back, each once.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantId> {
        let meta = self.meta.values();
        meta.map(|endpoint| endpoint.accounts.tenant.clone())
            .collect()
    }
}

/// `GET /webhooks/meta/{endpoint}`: answers Meta's challenge if the verify token is ours.
pub(crate) async fn get_meta(
    State(ingest): State<Ingest>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let endpoints = ingest.endpoints();
    let Some(endpoint) = endpoints.meta.get(&name) else {
        return unknown_endpoint(&name);
    };
    let parameter = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let verified = parameter("hub.verify_token")
        .is_some_and(|token| KeyHash::of(token) == endpoint.verify_token);
    match parameter("hub.challenge") {
        Some(challenge) if verified && parameter("hub.mode") == Some("subscribe") => (
            [
                (CONTENT_TYPE, "text/plain"),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            challenge.to_owned(),
        )
            .into_response(),
        _ => {
            warn!(
                endpoint = name,
                code = "challenge_refused",
                "refused a webhook"
            );
            StatusCode::FORBIDDEN.into_response()
        }
    }
}

/// `POST /webhooks/meta/{endpoint}`: answers 200 once everything that the body says is durable.
pub(crate) async fn post_meta(
    State(ingest): State<Ingest>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let endpoints = ingest.endpoints();
    let Some(endpoint) = endpoints.meta.get(&name) else {
        ingest.stats().refuse_webhook();
        return unknown_endpoint(&name);
    };
    match take_meta(&ingest, &name, endpoint, &headers, body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            ingest.stats().refuse_webhook();
            refusal.log(&name);
            refusal.into_response()
        }
    }
}

fn unknown_endpoint(name: &str) -> Response {
    let endpoint = &name[..name.floor_char_boundary(ENDPOINT_EXCERPT_LEN)];
    warn!(endpoint, code = "unknown_endpoint", "refused a webhook");
    StatusCode::NOT_FOUND.into_response()
}

async fn take_meta(
    ingest: &Ingest,
    name: &str,
    endpoint: &MetaEndpoint,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), WebhookRefusal> {
    let body = ingest
        .webhook_bodies()
        .read(headers, body)
        .await
        .map_err(Problem::from)?;
    if !endpoint.signed(headers, &body.bytes) {
        return Err(WebhookRefusal::Unsigned);
    }
    let json = lenient::read(&body.bytes).map_err(|error| {
        let detail = format!("malformed JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    let mapped = meta::map(&endpoint.accounts, &json, ingest.clock().now());
    append(ingest, name, &endpoint.accounts, mapped)
        .await
        .map_err(|error| Problem::from(&error).into())
}

/// Appends what a body made. What the catalogue refuses is counted, not answered: the source would
/// send it again for days and it would be refused again.
async fn append(
    ingest: &Ingest,
    endpoint: &str,
    accounts: &Accounts,
    mapped: Mapped,
) -> Result<(), Unavailable> {
    let tenant = &accounts.tenant;
    let Mapped {
        items,
        heard,
        ignored,
    } = mapped;
    let outcomes = ingest.append(tenant, items, Maker::Mapping).await;
    let count = outcomes.len();
    let mut unavailable = None;
    for outcome in outcomes {
        match outcome {
            Ok(published) => ingest.stats().take(&published),
            // Told again, maybe in other words, such as a changed profile name: the first stays.
            Err(Refused {
                refusal: Refusal::IdReused | Refusal::Told,
                ..
            }) => ingest.stats().accept(true),
            Err(Refused { refusal, .. }) => {
                let code = refusal.code();
                ingest.stats().refuse(code);
                warn!(endpoint, %tenant, code, "refused an event of a webhook");
                if let Refusal::Unavailable(error) = refusal {
                    unavailable = Some(error);
                }
            }
        }
    }
    if let Some(unavailable) = unavailable {
        return Err(unavailable);
    }
    ingest.heard(tenant, &heard).await;
    ingest.stats().accept_webhook(&ignored);
    if let Some(unknown) = ignored.get(&Ignored::UnknownAccount) {
        let total = ingest.stats().unknown_accounts();
        // Ever more rarely: a number that nobody registered may say as much as all others.
        if (total - unknown).leading_zeros() != total.leading_zeros() {
            warn!(endpoint, %tenant, total, "ignored a phone number that `accounts` does not list");
        }
    }
    let ignored: u64 = ignored.values().sum();
    debug!(endpoint, %tenant, count, ignored, "took a webhook");
    Ok(())
}

/// Why a webhook is not answered with 200.
enum WebhookRefusal {
    /// Not signed with the endpoint's secret. The answer says nothing more.
    Unsigned,
    /// Signed, or not looked at yet.
    Problem(Problem),
}

impl WebhookRefusal {
    fn log(&self, endpoint: &str) {
        match self {
            Self::Unsigned => error!(endpoint, code = "bad_signature", "refused a webhook"),
            Self::Problem(problem) => {
                warn!(endpoint, code = problem.code(), "refused a webhook");
            }
        }
    }
}

impl From<Problem> for WebhookRefusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for WebhookRefusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unsigned => StatusCode::UNAUTHORIZED.into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

/// As long as the name of an endpoint may be.
const ENDPOINT_EXCERPT_LEN: usize = 64;
const SIGNATURE: &str = "x-hub-signature-256";
const SIGNATURE_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_vector() {
        let endpoint = endpoint("fake-app-secret");
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        let hex = "fba0304b5bc26a376c2ff0b5a332da3307403347eb9ef25f5f4c0af76fb27df6";

        assert!(endpoint.signed(&signature(&format!("sha256={hex}")), body));
        assert!(!endpoint.signed(&signature(&format!("sha256={hex}")), &body[1..]));
        assert!(!endpoint.signed(&signature(&format!("sha1={hex}")), body));
        assert!(!endpoint.signed(&signature(hex), body));
        assert!(!endpoint.signed(&signature("sha256="), body));
        assert!(!endpoint.signed(&signature(&format!("sha256={hex}00")), body));
        assert!(!endpoint.signed(&HeaderMap::new(), body));
    }

    #[test]
    fn the_signature_is_that_of_the_bytes_and_not_of_their_meaning() {
        let endpoint = endpoint("secret");
        let body = "{\"event\":\"message\",\"payload\":{\"body\":\"ol\u{e1}\"}}";
        let hex = "9c5e7857815eaae5ae391ea1829b61231b97afcc91c816286cfd1c93ffaf4e61";

        assert!(endpoint.signed(&signature(&format!("sha256={hex}")), body.as_bytes()));
        let escaped = body.replace('\u{e1}', "\\u00e1");
        assert!(!endpoint.signed(&signature(&format!("sha256={hex}")), escaped.as_bytes()));
    }

    fn endpoint(secret: &str) -> MetaEndpoint {
        let accounts = Accounts {
            tenant: "acme".parse().unwrap(),
            by_phone_number: None,
        };
        MetaEndpoint::new(accounts, secret, "token")
    }

    fn signature(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(SIGNATURE.parse().unwrap(), value.parse().unwrap())])
    }
}
