//! What a producer is told when something is wrong: RFC 9457 problem documents.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use switchboard_event::machine::campaign::Phase;

/// A refusal on its way out: `application/problem+json`, with the headers that belong to it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Box<str>,
    field: Option<Box<str>>,
    /// The state of a campaign that does not allow what was asked.
    state: State,
    header: Option<Header>,
    /// The event that was refused, for the log.
    event: Option<Box<str>>,
    /// Whether the field is a word that the producer made up, which no log is to hold.
    is_field_made_up: bool,
}

/// The header that belongs to a problem.
#[derive(Clone, Copy, Debug)]
enum Header {
    Authenticate,
    RetryAfter { seconds: u32 },
}

/// What a request was refused for.
#[derive(Clone, Copy, Debug)]
enum State {
    Irrelevant,
    /// Where a campaign is, if it is known.
    Campaign(Option<Phase>),
}

impl Problem {
    /// A problem with a status, a stable code, and what is wrong in a sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into().into(),
            field: None,
            state: State::Irrelevant,
            header: None,
            event: None,
            is_field_made_up: false,
        }
    }

    /// 401: no known API key. Says nothing of which part was wrong.
    pub fn unauthorized() -> Self {
        let mut problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the Authorization header holds no known API key",
        );
        problem.header = Some(Header::Authenticate);
        problem
    }

    /// 403: the API key is known, and not for this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 429: too much in too short a time, with `Retry-After`.
    pub fn rate_limited(detail: impl Into<String>, wait: Duration) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
        // In whole seconds, of which 0 would be an invitation.
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        problem.header = Some(Header::RetryAfter { seconds });
        problem
    }

    /// 404: there is nothing at this path. For the fallback of the whole program.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this path",
        )
    }

    /// 405: there is something at this path, but not for this method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take this method",
        )
    }

    /// 503: what passes by itself, with `Retry-After`.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.header = Some(Header::RetryAfter {
            seconds: RETRY_AFTER_SECONDS,
        });
        problem
    }

    /// Names the field that is wrong, as a path like `data.message.id`.
    #[must_use]
    pub fn with_field(mut self, field: Option<impl Into<String>>) -> Self {
        self.field = field.map(|field| field.into().into());
        self
    }

    /// The same problem under the code of the route that it came to.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Names the state that does not allow what was asked.
    pub(crate) fn with_state(mut self, phase: Option<Phase>) -> Self {
        self.state = State::Campaign(phase);
        self
    }

    /// Names the event that was refused. It must be one of ours: this is for the log.
    pub(crate) fn with_event(mut self, event: Option<&str>) -> Self {
        self.event = event.map(Into::into);
        self
    }

    pub(crate) fn with_made_up_field(mut self, is_field_made_up: bool) -> Self {
        self.is_field_made_up = is_field_made_up;
        self
    }

    /// The event that was refused, for the log.
    pub(crate) fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The field that is wrong, for the log.
    pub(crate) fn logged_field(&self) -> Option<&str> {
        self.field.as_deref().filter(|_| !self.is_field_made_up)
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl State {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Irrelevant => None,
            Self::Campaign(phase) => Some(Phase::word(phase)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: format!("urn:switchboard:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
            state: self.state.word(),
        };
        let mut response = (self.status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match self.header {
            None => {}
            Some(Header::Authenticate) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Some(Header::RetryAfter { seconds }) => {
                headers.insert(RETRY_AFTER, seconds.into());
            }
        }
        response
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// Seconds until a producer tries again what was unavailable.
const RETRY_AFTER_SECONDS: u32 = 1;
