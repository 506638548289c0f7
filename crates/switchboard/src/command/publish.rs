//! `switchboard publish`

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard_event::ReceiptTimeout;
use tokio::time::{Instant, sleep};

use super::address::Address;
use super::dial::{Authorities, Dialer};
use super::http::{api_key, bearer, refusal, send};
use super::{Failure, say};
use crate::settings::Environment;

/// Publish one event over HTTP, and print its id and position once it is durable
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  export SWITCHBOARD_KEY=...      # the API key that `switchboard init` printed
  switchboard publish contact:updated '{\"contactId\":\"42\",\"updates\":{\"name\":\"Ana\"}}'")]
pub(crate) struct Publish {
    /// The server, http:// or https://
    #[arg(long, value_name = "URL", default_value = "http://localhost:5000")]
    url: Address,

    #[command(flatten)]
    authorities: Authorities,

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

    /// Ask who gets it within this time, 1s to 1h, and print that when it is over
    #[arg(long, value_name = "DURATION", value_parser = receipt)]
    receipt: Option<ReceiptTimeout>,

    /// Print what the server answers as it came, also when it refuses
    #[arg(long)]
    json: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Wish>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    timeout_ms: u128,
}

/// What is read of the answer.
#[derive(Deserialize)]
struct Taken {
    id: String,
}

/// What is read of a receipt.
#[derive(Deserialize)]
struct Receipt {
    state: String,
}

impl Publish {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let key = api_key(self.key.as_deref(), environment)?;
        let request = self.request(key)?;
        let server = self.authorities.dialer(&self.url)?;
        let (status, body) = send(&server, request).await.map_err(|failure| {
            if self.id.is_none() {
                return failure;
            }
            failure
                .advise("try again with the same --id: an event that was taken is not taken twice")
        })?;
        if status == StatusCode::ACCEPTED {
            say(body.trim())?;
            return match self.receipt {
                Some(timeout) => self.await_receipt(&server, key, &body, timeout).await,
                None => Ok(()),
            };
        }
        let failure = refusal(status, &body, self.json);
        Err(match status {
            StatusCode::CONFLICT => {
                failure.advise("another event has this id: leave --id away, or give another one")
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                if self.id.is_some() =>
            {
                failure.advise("try again later, with the same --id")
            }
            _ => failure,
        })
    }

    /// Asks until the receipt is closed, and prints it.
    async fn await_receipt(
        &self,
        server: &Dialer,
        key: &str,
        taken: &str,
        timeout: ReceiptTimeout,
    ) -> Result<(), Failure> {
        let Taken { id } = serde_json::from_str(taken)?;
        let deadline = Instant::now() + timeout.as_duration() + RECEIPT_SLACK;
        while Instant::now() < deadline {
            sleep(RECEIPT_INTERVAL).await;
            let (status, body) = send(server, self.receipt_request(key, &id)?).await?;
            if status != StatusCode::OK {
                return Err(refusal(status, &body, self.json));
            }
            let Receipt { state } = serde_json::from_str(&body)?;
            if state == "closed" {
                return say(body.trim());
            }
        }
        Err(Failure::new("the receipt was not closed in time"))
    }

    fn receipt_request(&self, key: &str, id: &str) -> Result<Request<Full<Bytes>>, Failure> {
        let mut path = format!("/v1/events/{}/receipt", escaped(id));
        if let Some(tenant) = &self.tenant {
            path = format!("{path}?tenant={}", escaped(tenant));
        }
        let request = Request::get(path)
            .header(header::HOST, self.url.authority())
            .header(header::AUTHORIZATION, bearer(key)?)
            .body(Full::default());
        Ok(request?)
    }

    fn request(&self, key: &str) -> Result<Request<Full<Bytes>>, Failure> {
        let body = serde_json::to_vec(&Draft {
            id: self.id.as_deref(),
            event: &self.event,
            data: &self.data,
            rooms: &self.rooms,
            add_rooms: &self.add_rooms,
            tenant: self.tenant.as_deref(),
            receipt: self.receipt.map(|timeout| Wish {
                timeout_ms: timeout.as_duration().as_millis(),
            }),
        })?;
        let request = Request::post("/v1/events")
            .header(header::HOST, self.url.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer(key)?)
            .body(Full::from(body));
        Ok(request?)
    }
}

fn receipt(text: &str) -> Result<ReceiptTimeout, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    ReceiptTimeout::new(timeout).map_err(|error| error.to_string())
}

/// A text as a part of a path or a query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
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

/// How often it is asked whether a receipt is closed.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(500);
/// How much later than its deadline a receipt is closed at the latest.
const RECEIPT_SLACK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use clap::Parser;
    use http_body_util::BodyExt as _;

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

    #[tokio::test]
    async fn a_receipt_is_asked_for_and_found_under_the_id() {
        let line = [
            "publish",
            "a:b",
            "{}",
            "--receipt",
            "10s",
            "--tenant",
            "a&b",
        ];
        let Line { publish } = Line::try_parse_from(line).unwrap();

        let request = publish.request("sb_key").unwrap();
        let asked = publish.receipt_request("sb_key", "order/7:\u{e9}").unwrap();

        let body = request.into_body().collect().await.unwrap().to_bytes();
        let draft = r#"{"event":"a:b","data":{},"tenant":"a&b","receipt":{"timeoutMs":10000}}"#;
        assert_eq!(body, draft);
        let path = "/v1/events/order%2F7%3A%C3%A9/receipt?tenant=a%26b";
        assert_eq!(asked.uri(), path);
        for time in ["999ms", "2h", "soon"] {
            let line = ["publish", "a:b", "{}", "--receipt", time];
            assert!(Line::try_parse_from(line).is_err(), "{time}");
        }
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
