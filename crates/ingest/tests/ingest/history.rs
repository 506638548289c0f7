//! `GET /v1/events`: what rooms said, to who may know.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{ACME_ADMIN_KEY, ACME_KEY, Answer, EVERYONE_KEY, World, notification, paused};

#[tokio::test]
async fn a_room_is_read_page_by_page_and_as_it_was_published() {
    let world = World::new();
    let mut draft = paused("one");
    draft["data"]["picture"] = json!({"$binary": "aGk="});
    draft["except"] = json!(["user:7"]);
    assert_eq!(world.publish(&draft).await.status, 202);
    for id in ["two", "three"] {
        world.publish(&paused(id)).await;
    }

    let first = get(&world, ACME_KEY, "room=campaign:c&limit=1")
        .await
        .json();
    let next = first["next"].as_str().unwrap();
    let rest = get(&world, ACME_KEY, &format!("room=campaign:c&after={next}"))
        .await
        .json();
    let end = rest["position"].as_str().unwrap();
    let nothing = get(&world, ACME_KEY, &format!("room=campaign:c&after={end}"))
        .await
        .json();

    let told = json!({
        "id": "one", "event": "campaign:paused",
        "data": {
            "campaignId": "c", "picture": {"$binary": "aGk="},
            "timestamp": "2026-01-15T10:00:00.000Z",
        },
        "rooms": ["campaign:c"], "except": ["user:7"],
        "position": "0000000000000007-1", "timestamp": "2026-01-15T10:00:00.000Z",
    });
    assert_eq!(
        first,
        json!({"events": [told], "position": next, "next": next})
    );
    assert_eq!(ids(&rest), ["two", "three"]);
    assert!(rest["next"].is_null());
    assert_eq!(nothing, json!({"events": [], "position": end}));
}

#[tokio::test]
async fn a_page_is_bounded_by_its_bytes_and_one_event_always_comes() {
    let world = World::new();
    for id in ["one", "two", "three"] {
        let mut draft = paused(id);
        draft["data"]["text"] = "x".repeat(700_000).into();
        assert_eq!(world.publish(&draft).await.status, 202);
    }

    let page = get(&world, ACME_KEY, "room=campaign:c").await.json();

    assert_eq!(ids(&page), ["one"]);
    assert!(page["next"].is_string());
}

#[tokio::test]
async fn a_room_that_nothing_was_said_in_is_empty_and_its_beginning_is_what_is_kept() {
    let world = World::new();
    world.publish(&paused("old")).await;
    world.pass(Duration::from_hours(25));
    world.publish(&paused("new")).await;

    let kept = get(&world, ACME_KEY, "room=campaign:c").await.json();
    let none = get(&world, ACME_KEY, "room=campaign:other").await.json();

    assert_eq!(ids(&kept), ["new"]);
    assert_eq!(none["events"], json!([]));
    assert_eq!(none["position"], "0000000000000007-2");
}

#[tokio::test]
async fn nobody_reads_another_tenant_or_what_pairs_an_account() {
    let world = World::new();
    let qr =
        json!({"event": "whatsapp:qr:generated", "data": {"accountId": "1", "qrCode": "secret"}});
    assert_eq!(world.publish(&qr).await.status, 202);
    world.publish(&paused("of-acme")).await;
    world
        .publish_as(EVERYONE_KEY, &notification("for-all"))
        .await;

    for (key, query) in [
        (EVERYONE_KEY, "room=campaign:c&tenant=globex"),
        (EVERYONE_KEY, "room=whatsapp:1&tenant=acme"),
        (ACME_KEY, "room=team:globex"),
        (ACME_KEY, "room=team:*"),
    ] {
        let answer = get(&world, key, query).await;
        assert!(
            !answer.text.contains("secret") && !answer.text.contains("of-acme"),
            "{query}"
        );
        assert_ne!(
            answer.json()["events"][0]["event"],
            "campaign:paused",
            "{query}"
        );
    }
    let team = get(&world, ACME_KEY, "room=team:acme").await.json();
    assert_eq!(ids(&team), ["for-all"]);
    let acme = get(&world, EVERYONE_KEY, "room=campaign:c&tenant=acme")
        .await
        .json();
    assert_eq!(ids(&acme), ["of-acme"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let world = World::new();
    world.publish(&paused("old")).await;
    world.pass(Duration::from_hours(25));
    world.publish(&paused("new")).await;

    for (key, query, status, code, field) in WRONG {
        get(&world, key, query)
            .await
            .assert_problem(status, code, field);
    }
}

/// A key, a query, and the problem that it is.
type Row = (
    &'static str,
    &'static str,
    u16,
    &'static str,
    Option<&'static str>,
);

const WRONG: [Row; 19] = [
    ("sb_unknown", "room=campaign:c", 401, "unauthorized", None),
    (ACME_ADMIN_KEY, "room=campaign:c", 403, "forbidden", None),
    (
        ACME_KEY,
        "room=whatsapp:1:link",
        403,
        "forbidden",
        Some("room"),
    ),
    (ACME_KEY, "", 400, "invalid_query", None),
    (
        ACME_KEY,
        "room=campaign:c&since=1",
        400,
        "invalid_query",
        None,
    ),
    (
        ACME_KEY,
        "room=campaign:c&room=campaign:d",
        400,
        "invalid_query",
        None,
    ),
    (
        ACME_KEY,
        "room=campaign:c&limit=many",
        400,
        "invalid_query",
        None,
    ),
    (
        ACME_KEY,
        "room=campaign:c&limit=0",
        422,
        "invalid_field",
        Some("limit"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&limit=1001",
        422,
        "invalid_field",
        Some("limit"),
    ),
    (ACME_KEY, "room=campaign", 422, "invalid_room", Some("room")),
    (
        ACME_KEY,
        "room=nothing:1",
        422,
        "invalid_room",
        Some("room"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&tenant=globex",
        403,
        "other_tenant",
        Some("tenant"),
    ),
    (
        EVERYONE_KEY,
        "room=campaign:c",
        422,
        "tenant_required",
        Some("tenant"),
    ),
    (
        EVERYONE_KEY,
        "room=campaign:c&tenant=*",
        422,
        "invalid_tenant",
        Some("tenant"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&after=1",
        422,
        "position_malformed",
        Some("after"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&after=",
        422,
        "position_malformed",
        Some("after"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&after=0000000000000007-0",
        410,
        "position_too_old",
        Some("after"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&after=0000000000000008-1",
        410,
        "position_other_epoch",
        Some("after"),
    ),
    (
        ACME_KEY,
        "room=campaign:c&after=0000000000000007-3",
        422,
        "position_ahead",
        Some("after"),
    ),
];

fn ids(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect()
}

async fn get(world: &World, key: &str, query: &str) -> Answer {
    let request = Request::get(format!("/v1/events?{query}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Body::empty())
        .unwrap();
    world.ask(request).await
}
