//! A JSON object with few fields, each of which is read or refused by its name.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use switchboard_event::TenantId;

use crate::events::tenant_of;
use crate::outcome::Refusal;
use crate::problem::Problem;
use crate::producer::Producer;

/// The fields of a request that are not taken yet.
#[derive(Debug)]
pub(crate) struct Form(Map<String, Value>);

impl Form {
    /// Reads a body; an empty one has no fields.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                "the body is not an object",
            )),
            Err(error) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                format!("malformed JSON: {error}"),
            )),
        }
    }

    /// The field `name`, if it is there and not null.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| invalid(name, &error.to_string())),
        }
    }

    /// Whose request it is: the tenant of the key, or with a key for all tenants the one in `tenant`.
    pub(crate) fn tenant(&mut self, producer: &Producer) -> Result<TenantId, Problem> {
        let named = match self.0.remove("tenant") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => return Err(invalid("tenant", "it is neither text nor a number")),
        };
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
pub(crate) fn invalid(field: &'static str, reason: &str) -> Problem {
    let detail = format!("`{field}` is not valid: {reason}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail).with_field(Some(field))
}

/// How much of a field's name that we do not know goes into an answer.
const FIELD_CHARS_MAX: usize = 64;
