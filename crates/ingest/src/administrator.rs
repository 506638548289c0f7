//! Who may end rights: the extractor that is the check.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use crate::ingest::Ingest;
use crate::problem::Problem;
use crate::producer::Producer;
use crate::scope::Scope;

/// Proof that a request came with an API key that may end rights and connections. Made only by the
/// check.
#[derive(Clone, Debug)]
pub(crate) struct Administrator(Producer);

impl Administrator {
    /// Whose key it is.
    pub(crate) fn producer(&self) -> &Producer {
        &self.0
    }

    /// The one place that says which keys may do so.
    fn check(producer: Producer) -> Result<Self, Problem> {
        producer.require(Scope::Admin)?;
        Ok(Self(producer))
    }
}

impl<S> FromRequestParts<S> for Administrator
where
    Ingest: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Producer::from_request_parts(parts, state)
            .await
            .and_then(Self::check)
    }
}
