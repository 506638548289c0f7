//! Asking a running server over HTTP.

use std::io::{self, IsTerminal as _};
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
use super::address::Address;
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
    url: &Address,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Failure> {
    let exchange = timeout(ANSWER_TIMEOUT, exchange(url, request)).await;
    exchange.map_err(|_| Failure::new(format_args!("no answer within {ANSWER_TIMEOUT:?}")))?
}

async fn exchange(
    url: &Address,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(url.connect().await?)).await?;
    let exchange = async {
        let response: Response<Incoming> = sender.send_request(request).await?;
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
            ended?;
            exchange.await
        }
    }
}

/// What a refusal says: for people what is wrong, where, and what to do; for programs what came.
pub(super) fn refusal(status: StatusCode, body: &str, is_for_programs: bool) -> Failure {
    let as_it_came = is_for_programs || !io::stderr().is_terminal();
    let failure = described(status, body.trim(), as_it_came);
    match advice(status) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

fn described(status: StatusCode, body: &str, as_it_came: bool) -> Failure {
    match serde_json::from_str(body) {
        Ok(Problem {
            code,
            detail,
            field,
        }) if !as_it_came => {
            let place = field.map(|field| format!(" in {field}"));
            let place = place.unwrap_or_default();
            Failure::new(format_args!("refused as {code}{place}: {detail}"))
        }
        _ => Failure::new(format_args!("the server answered {status}: {body}")),
    }
}

fn advice(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some("the server does not know this API key"),
        StatusCode::FORBIDDEN => Some("use an API key that is for this"),
        StatusCode::NOT_FOUND => Some("is this the address of a Switchboard?"),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some("try again later"),
        _ => None,
    }
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_LEN_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_sentence_for_people_and_as_it_came_for_programs() {
        let body = r#"{"type":"urn:x","status":422,"detail":"data.contactId is missing","code":"missing_field","field":"data.contactId"}"#;
        let said = |body, as_it_came| {
            described(StatusCode::UNPROCESSABLE_ENTITY, body, as_it_came).reason()
        };

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
