//! `switchboard publish`

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::address::Address;
use super::{Failure, say};
use crate::settings::Environment;

/// Publish one event over HTTP, and print its id and position once it is durable
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  export SWITCHBOARD_KEY=...      # the API key that `switchboard init` printed
  switchboard publish contact:updated '{\"contactId\":\"42\",\"updates\":{\"name\":\"Ana\"}}'")]
pub(crate) struct Publish {
    /// The server; http only
    #[arg(long, value_name = "URL", default_value = "http://localhost:5000")]
    url: Address,

    /// The producer's API key; without it SWITCHBOARD_KEY counts, which `ps` does not show
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// The event's name, such as message:received
    event: String,

    /// The payload, a JSON object
    #[arg(value_name = "JSON", value_parser = object)]
    data: Box<RawValue>,

    /// The event's id: publishing it again is no second event
    #[arg(long)]
    id: Option<String>,

    /// A room that hears it, instead of the default audience (repeatable)
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,

    /// A room that hears it beside the default audience (repeatable)
    #[arg(long = "add-room", value_name = "ROOM")]
    add_rooms: Vec<String>,

    /// The tenant; needed with a key for all tenants, where `*` is every one and needs an --id
    #[arg(long)]
    tenant: Option<String>,

    /// Print what the server answers as it came, also when it refuses
    #[arg(long)]
    json: bool,
}

/// What a refusal says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    field: Option<String>,
}

/// The body of `POST /v1/events`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Draft<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rooms: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    add_rooms: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
}

impl Publish {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let key = self
            .key
            .as_deref()
            .or_else(|| environment.variable("SWITCHBOARD_KEY"));
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            Failure::refused("no API key")
                .advise("give --key KEY, or set SWITCHBOARD_KEY to what `switchboard init` printed")
        })?;
        let request = self.request(key)?;
        let (status, body) = timeout(ANSWER_TIMEOUT, send(&self.url, request))
            .await
            .map_err(|_| {
                Failure::new(format_args!("no answer within {ANSWER_TIMEOUT:?}")).advise(
                    "try again with the same --id: an event that was taken is not taken twice",
                )
            })??;
        if status == StatusCode::ACCEPTED {
            return say(body.trim());
        }
        let as_it_came = self.json || !io::stderr().is_terminal();
        let failure = refusal(status, body.trim(), as_it_came);
        Err(match advice(status) {
            Some(advice) => failure.advise(advice),
            None => failure,
        })
    }

    fn request(&self, key: &str) -> Result<Request<Full<Bytes>>, Failure> {
        let body = serde_json::to_vec(&Draft {
            id: self.id.as_deref(),
            event: &self.event,
            data: &self.data,
            rooms: &self.rooms,
            add_rooms: &self.add_rooms,
            tenant: self.tenant.as_deref(),
        })?;
        let request = Request::post("/v1/events")
            .header(header::HOST, self.url.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .body(Full::from(body));
        request
            .map_err(|_| Failure::refused("the API key holds characters that no header may hold"))
    }
}

async fn send(
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

/// For people: what is wrong and where. For programs: what came.
fn refusal(status: StatusCode, body: &str, as_it_came: bool) -> Failure {
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
        StatusCode::UNAUTHORIZED => Some("the API key is not one of the server's [[producers]]"),
        StatusCode::NOT_FOUND => Some("is this the address of a Switchboard?"),
        StatusCode::CONFLICT => {
            Some("another event has this id: leave --id away, or give another one")
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Some("try again later, with the same --id")
        }
        _ => None,
    }
}

fn object(text: &str) -> Result<Box<RawValue>, String> {
    let value: Box<RawValue> =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if value.get().starts_with('{') {
        Ok(value)
    } else {
        Err("a payload is a JSON object".to_owned())
    }
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_LEN_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        publish: Publish,
    }

    #[tokio::test]
    async fn the_request_is_a_draft_with_the_key() {
        let line = [
            "publish",
            "a:b",
            r#"{"x":1.0}"#,
            "--id",
            "7",
            "--add-room",
            "team:acme",
        ];
        let Line { publish } = Line::try_parse_from(line).unwrap();

        let request = publish.request("sb_key").unwrap();

        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer sb_key");
        assert_eq!(request.headers()[header::HOST], "localhost:5000");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            r#"{"id":"7","event":"a:b","data":{"x":1.0},"addRooms":["team:acme"]}"#
        );
    }

    #[test]
    fn a_refusal_is_a_sentence_for_people_and_as_it_came_for_programs() {
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

    #[test]
    fn a_payload_that_is_no_object_is_refused() {
        for data in ["1", "[]", "{", ""] {
            assert!(
                Line::try_parse_from(["publish", "a:b", data]).is_err(),
                "{data}"
            );
        }
    }
}
