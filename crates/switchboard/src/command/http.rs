//! Asking a running server over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::timeout;

use super::Failure;
use super::dial::{DialError, Dialer};
use crate::settings::Environment;

/// What a refusal says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    field: Option<String>,
}

/// The API key of an option, or of SWITCHBOARD_KEY.
pub(super) fn api_key<'a>(
    option: Option<&'a str>,
    environment: &'a Environment,
) -> Result<&'a str, Failure> {
    let key = option.or_else(|| environment.variable("SWITCHBOARD_KEY"));
    key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Failure::refused("no API key")
            .advise("give --key KEY, or set SWITCHBOARD_KEY to what `switchboard init` printed")
    })
}

/// The header that holds an API key.
pub(super) fn bearer(key: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::try_from(format!("Bearer {key}"));
    value.map_err(|_| Failure::refused("the API key holds characters that no header may hold"))
}

/// Asks, and gives status and body of the answer, in bounded time.
pub(super) async fn send(
    server: &Dialer,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Failure> {
    let exchange = timeout(ANSWER_TIMEOUT, exchange(server, request)).await;
    exchange.map_err(|_| Failure::new(format_args!("no answer within {ANSWER_TIMEOUT:?}")))?
}

async fn exchange(
    server: &Dialer,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Failure> {
    let broken = |error| broken(server, error);
    let stream = server.connect().await.map_err(DialError::into_failure)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let exchange = async {
        let response: Response<Incoming> = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LEN_MAX)
            .collect()
            .await;
        let body =
            body.map_err(|error| Failure::new(format_args!("cannot read the answer: {error}")))?;
        Ok((
            status,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        ))
    };
    // The connection does the work; it ends after the exchange does.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            ended.map_err(broken)?;
            exchange.await
        }
    }
}

/// Says what to look at, if whoever answered hung up or speaks no HTTP: so do listeners that speak
/// TLS.
fn broken(server: &Dialer, error: hyper::Error) -> Failure {
    let is_other = error.is_incomplete_message() || error.is_parse();
    let failure = Failure::from(error);
    if is_other && !server.address().is_secure() {
        failure.advise("does the server speak https:// there?")
    } else {
        failure
    }
}

/// What a refusal says, where, and what to do about it; with `--json` what came.
pub(super) fn refusal(status: StatusCode, body: &str, as_it_came: bool) -> Failure {
    let body = body.trim();
    let problem: Option<Problem> = serde_json::from_str(body).ok();
    let advice = advice(status, problem.as_ref());
    let failure = match problem {
        Some(problem) if !as_it_came => problem.into(),
        _ => Failure::new(format_args!("the server answered {status}: {body}")),
    };
    match advice {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let Problem {
            code,
            detail,
            field,
        } = problem;
        let place = field.map(|field| format!(" in {field}"));
        let place = place.unwrap_or_default();
        Self::new(format_args!("refused as {code}{place}: {detail}"))
    }
}

fn advice(status: StatusCode, problem: Option<&Problem>) -> Option<&'static str> {
    let known = problem.map(|problem| (&*problem.code, problem.field.as_deref()));
    match (status, known) {
        (StatusCode::UNAUTHORIZED, _) => Some(
            "give a key that the server knows: `switchboard init` printed two, `switchboard producer create` makes more",
        ),
        (StatusCode::FORBIDDEN, _) => Some("use an API key that is for this"),
        (StatusCode::NOT_FOUND, None) => Some("is this the address of a Switchboard?"),
        (_, Some(("unknown_producer", _))) => {
            Some("`switchboard producer list` shows which there are")
        }
        (_, Some(("invalid_producer", Some("tenant")))) => {
            Some("leave --tenant away where there is a single tenant; else name one with it")
        }
        (_, Some(("tenant_required", _))) => Some("name the tenant with --tenant"),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
            Some("try again later")
        }
        _ => None,
    }
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_LEN_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_answers_without_a_code_of_ours_may_be_somebody_else() {
        let said = |body| refusal(StatusCode::NOT_FOUND, body, false).to_string();
        let unknown = r#"{"code":"unknown_producer","detail":"there is no such API key"}"#;

        assert!(said("<html>").contains("is this the address of a Switchboard?"));
        assert!(!said(unknown).contains("address"), "{}", said(unknown));
        assert!(said(unknown).contains("producer list"), "{}", said(unknown));
    }

    #[test]
    fn a_refusal_is_a_sentence_unless_it_is_wanted_as_it_came() {
        let body = r#"{"type":"urn:x","status":422,"detail":"data.contactId is missing","code":"missing_field","field":"data.contactId"}"#;
        let said =
            |body, as_it_came| refusal(StatusCode::UNPROCESSABLE_ENTITY, body, as_it_came).reason();

        assert_eq!(
            said(body, false),
            "refused as missing_field in data.contactId: data.contactId is missing"
        );
        assert!(said(body, true).ends_with(body));
        assert_eq!(
            said("no JSON", false),
            "the server answered 422 Unprocessable Entity: no JSON"
        );
    }
}
