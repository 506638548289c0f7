//! What `POST /v1/events` does not even look into.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use serde_json::{Value, json};
use switchboard_ingest::Config;

use crate::world::{World, paused, post};

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_and_while_it_is_read() {
    let world = World::with_config(Config {
        body_len_max: 64,
        ..Config::default()
    });
    let announced = post()
        .header("content-length", "65")
        .body(Body::new(Silence))
        .unwrap();
    let streamed = post().body(Body::new(Spaces)).unwrap();

    let announced = world.ask(announced).await;
    let streamed = world.ask(streamed).await;

    announced.assert_problem(413, "body_too_large", None);
    streamed.assert_problem(413, "body_too_large", None);
    assert!(
        streamed.text.contains("the limit of 64 bytes"),
        "{}",
        streamed.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let world = World::new();

    let answer = world.ask(post().body(Body::new(Silence)).unwrap()).await;

    answer.assert_problem(408, "body_timeout", None);
}

#[tokio::test]
async fn bodies_share_a_budget() {
    let world = World::with_config(Config {
        bodies_len_max: 2048,
        ..Config::default()
    });
    let draft =
        json!({"event": "campaign:paused", "data": {"campaignId": "c", "more": "x".repeat(3000)}});

    world
        .publish(&draft)
        .await
        .assert_problem(503, "overloaded", None);
    assert_eq!(world.publish(&paused("small")).await.status, 202);
    assert_eq!(world.publish(&paused("again")).await.status, 202);
}

#[tokio::test]
async fn an_array_has_at_most_a_thousand_drafts() {
    let world = World::new();
    let drafts = |count: usize| {
        (0..count)
            .map(|n| paused(&n.to_string()))
            .collect::<Value>()
    };

    world
        .publish(&drafts(1001))
        .await
        .assert_problem(413, "too_many_drafts", None);
    assert!(world.records().await.is_empty());
    assert_eq!(world.publish(&drafts(1000)).await.status, 202);
    assert_eq!(world.records().await.len(), 1000);
}

#[tokio::test]
async fn requests_that_cannot_be_read_say_why() {
    let world = World::new();
    let json = "application/json";
    let draft = paused("x").to_string();
    for (key, content_type, body, status, code) in [
        (None, Some(json), draft.as_str(), 401, "unauthorized"),
        (
            Some("Bearer nobody"),
            Some(json),
            draft.as_str(),
            401,
            "unauthorized",
        ),
        (
            Some("Basic a2V5"),
            Some(json),
            draft.as_str(),
            401,
            "unauthorized",
        ),
        (
            Some(BEARER),
            None,
            draft.as_str(),
            415,
            "unsupported_media_type",
        ),
        (
            Some(BEARER),
            Some("text/plain"),
            draft.as_str(),
            415,
            "unsupported_media_type",
        ),
        (Some(BEARER), Some(json), "", 400, "malformed_json"),
        (
            Some(BEARER),
            Some(json),
            "{\"event\":",
            400,
            "malformed_json",
        ),
        (Some(BEARER), Some(json), "{} {}", 400, "malformed_json"),
        (Some(BEARER), Some(json), "\"text\"", 400, "invalid_draft"),
        (Some(BEARER), Some(json), "[]", 422, "no_drafts"),
    ] {
        let mut request = Request::post("/v1/events");
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }

        let answer = world
            .ask(request.body(Body::from(body.to_owned())).unwrap())
            .await;

        answer.assert_problem(status, code, None);
    }
    assert!(world.records().await.is_empty());
}

#[tokio::test]
async fn malformed_json_is_refused_with_its_position() {
    let world = World::new();
    let request = post()
        .body(Body::from("{\"event\": \"a\",\n  nothing}"))
        .unwrap();

    let answer = world.ask(request).await;

    assert!(answer.text.contains("at line 2 column"), "{}", answer.text);
}

#[tokio::test]
async fn another_method_is_a_405_that_says_which_are_allowed() {
    let world = World::new();

    let answer = world
        .ask(Request::put("/v1/events").body(Body::empty()).unwrap())
        .await;

    answer.assert_problem(405, "method_not_allowed", None);
    assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
}

/// A body without end.
struct Spaces;

impl http_body::Body for Spaces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

/// A body that never comes.
struct Silence;

impl http_body::Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

const BEARER: &str = "Bearer key-of-acme";
