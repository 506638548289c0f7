//! `switchboard publish`

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde_json::value::RawValue;

use super::address::Address;
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
        let key = api_key(self.key.as_deref(), environment)?;
        let request = self.request(key)?;
        let (status, body) = send(&self.url, request).await.map_err(|failure| {
            failure
                .advise("try again with the same --id: an event that was taken is not taken twice")
        })?;
        if status == StatusCode::ACCEPTED {
            return say(body.trim());
        }
        let failure = refusal(status, &body, self.json);
        Err(match status {
            StatusCode::CONFLICT => {
                failure.advise("another event has this id: leave --id away, or give another one")
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                failure.advise("try again later, with the same --id")
            }
            _ => failure,
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
            .header(header::AUTHORIZATION, bearer(key)?)
            .body(Full::from(body));
        Ok(request?)
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
