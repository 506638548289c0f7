//! Who publishes: the extractor that is the check of an API key.

use std::net::SocketAddr;

use axum::extract::{FromRef, FromRequestParts};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use switchboard_event::TenantId;
use tracing::{debug, error};

use crate::api_key::{ApiKey, KeyId};
use crate::ingest::Ingest;
use crate::problem::Problem;
use crate::scope::Scope;

/// Proof that a request came with a known API key. Made only by the check.
#[derive(Clone, Debug)]
pub struct Producer {
    id: KeyId,
    key: ApiKey,
}

/// Whose events a producer may publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Those of one tenant, which its drafts need not name.
    Tenant(TenantId),
    /// Those of any tenant, which its drafts must name.
    Everyone,
}

impl Reach {
    /// The reach of a key for `tenant`, which may be [`TenantId::everyone`].
    pub fn of(tenant: TenantId) -> Self {
        if tenant.is_everyone() {
            Self::Everyone
        } else {
            Self::Tenant(tenant)
        }
    }

    /// The tenant; everyone for all of them.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Tenant(tenant) => tenant.clone(),
            Self::Everyone => TenantId::everyone(),
        }
    }

    /// Whether whoever has this may also speak for `other`.
    pub fn covers(&self, other: &Self) -> bool {
        *self == Self::Everyone || self == other
    }
}

impl Producer {
    pub(crate) fn new(key: ApiKey) -> Self {
        Self {
            id: key.hash.id(),
            key,
        }
    }

    /// What its API key is called.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The producer's name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Whose events it may publish.
    pub fn reach(&self) -> &Reach {
        &self.key.reach
    }

    /// Refuses what the API key is not for.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.key.scopes.contain(scope) {
            return Ok(());
        }
        debug!(producer = self.name(), key = %self.id, %scope, "a scope is missing");
        Err(Problem::forbidden(format!(
            "the API key has not the scope `{scope}`"
        )))
    }
}

impl<S> FromRequestParts<S> for Producer
where
    Ingest: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ingest = Ingest::from_ref(state);
        let client = parts.extensions.get().copied();
        let producer = ingest.producer(client, &parts.headers);
        if let Err(problem) = &producer {
            ingest.stats().answer(Err(problem));
        }
        producer
    }
}

impl Ingest {
    /// The producer whose API key a request bears: the check, for routes outside of this crate too.
    /// Refuses a key that is not known, and one that is used beyond its limits; and every key of a
    /// client, if that is known, that came with too many of those.
    pub fn producer(
        &self,
        client: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Producer, Problem> {
        let key = headers
            .get(AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()));
        let address = client.map(|client| client.ip());
        if key.is_some() {
            self.limits().look(address)?;
        }
        let producer = key.and_then(|key| self.keys().producer(key, self.clock().now()));
        let producer = producer.ok_or_else(|| {
            self.stats().refuse("unauthorized");
            if key.is_some() {
                self.limits().unknown(address);
            }
            // Of a client behind a proxy the port is not known.
            let port = client.map(|client| client.port()).filter(|port| *port != 0);
            let client = address.map(tracing::field::display);
            if self.limits().is_worth_a_line(address) {
                error!(client, port, code = "unauthorized", "refused a producer");
            }
            Problem::unauthorized()
        })?;
        self.limits().request(&producer)?;
        Ok(producer)
    }
}

/// The token of a `Bearer` authorization.
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_authorization_holds_a_key() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc "), Some("abc"));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer "), None);
        assert_eq!(bearer(b"abc"), None);
        assert_eq!(bearer(b"Bearer \xff"), None);
    }

    #[test]
    fn a_key_for_everyone_covers_all_and_one_for_a_tenant_itself() {
        let acme = || Reach::of("acme".parse().unwrap());
        let globex = Reach::of("globex".parse().unwrap());

        assert!(Reach::Everyone.covers(&acme()));
        assert!(Reach::Everyone.covers(&Reach::Everyone));
        assert!(acme().covers(&acme()));
        assert!(!acme().covers(&globex));
        assert!(!acme().covers(&Reach::Everyone));
    }
}
