//! A JSON object with few fields, each of which is read or refused by its name.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use switchboard_event::TenantId;

use crate::events::{malformed, tenant_of};
use crate::outcome::Refusal;
use crate::problem::Problem;
use crate::producer::Producer;

/// The fields of a request that are not taken yet.
pub(crate) struct Form<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Form<'a> {
    /// Reads a body; an empty one has no fields.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let fields = serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                let (status, code) = (StatusCode::BAD_REQUEST, "malformed_json");
                Problem::new(status, code, "the body is not an object")
            } else {
                malformed(&error)
            }
        });
        fields.map(Self)
    }

    /// The field `name`, if it is there and not null; `expected` is what it must be, in words of JSON.
    pub(crate) fn take<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, Problem> {
        let value = self.0.remove(name).filter(|value| value.get() != "null");
        let value = value.map(|value| serde_json::from_str(value.get()));
        let value = value.transpose();
        value.map_err(|_| invalid(name, &format!("it must be {expected}")))
    }

    /// The field `name`, which has to be there.
    pub(crate) fn need<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<T, Problem> {
        self.take(name, expected)?.ok_or_else(|| missing(name))
    }

    /// Whose request it is: the tenant of the key, or with a key for all tenants the one in `tenant`.
    pub(crate) fn tenant(&mut self, producer: &Producer) -> Result<TenantId, Problem> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Named {
            Text(String),
            Number(serde_json::Number),
        }
        let named = self.take("tenant", "text or a number")?;
        let named = named.map(|named| match named {
            Named::Text(text) => text,
            Named::Number(number) => number.to_string(),
        });
        let tenant = tenant_of(producer.reach(), named.as_deref());
        let tenant = tenant.map_err(|refusal| Problem::from(&refusal))?;
        // Rights belong to one tenant each.
        let tenant: Result<TenantId, _> = tenant.as_str().parse();
        tenant.map_err(|reason| Problem::from(&Refusal::InvalidTenant(reason)))
    }

    /// Refuses what was not taken: a field that is misspelt must not be a silent loss.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let Some(field) = self.0.keys().next() else {
            return Ok(());
        };
        let field: String = field.chars().take(FIELD_CHARS_MAX).collect();
        let detail = format!("there is no field `{field}`");
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_field", detail);
        Err(problem.with_field(Some(field)).with_made_up_field(true))
    }
}

/// A field whose value cannot be taken.
pub(crate) fn invalid(field: &str, reason: &str) -> Problem {
    let detail = format!("`{field}` is not valid: {reason}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail).with_field(Some(field))
}

/// A field that has to be there.
pub(crate) fn missing(field: &str) -> Problem {
    let detail = format!("`{field}` is missing");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "missing_field", detail).with_field(Some(field))
}

/// What an id must be.
pub(crate) const AN_ID: &str =
    "an id: text of 1 to 128 bytes without white space and control characters, or a whole number";

/// How much of a field's name that we do not know goes into an answer.
const FIELD_CHARS_MAX: usize = 64;
