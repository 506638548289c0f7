//! Receipts: opened along with their events, and told to who may know.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{ACME_ADMIN_KEY, ACME_KEY, Answer, EVERYONE_KEY, World, paused};

#[tokio::test]
async fn a_receipt_is_open_from_the_answer_to_its_end() {
    let world = World::new();

    let answer = world.publish(&asking("one")).await;
    let open = receipt(&world, ACME_KEY, "one").await;
    world.pass(Duration::from_secs(11));
    let closed = receipt(&world, ACME_KEY, "one").await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(
        open.json(),
        json!({
            "eventId": "one", "event": "campaign:paused", "state": "open",
            "users": {"7": "offline"},
            "counts": {"sent": 0, "acknowledged": 0, "offline": 1},
            "complete": false,
            "deadline": "2026-01-15T10:00:10.000Z",
        })
    );
    assert_eq!(closed.json()["state"], "closed");
    world.pass(Duration::from_hours(25));
    let forgotten = receipt(&world, ACME_KEY, "one").await;
    forgotten.assert_problem(404, "no_receipt", None);
}

#[tokio::test]
async fn publishing_again_opens_no_second_receipt() {
    let world = World::new();
    world.publish(&asking("one")).await;
    world.pass(Duration::from_secs(5));

    let again = world.publish(&asking("one")).await;
    let along = world.publish(&json!([asking("one"), asking("two")])).await;

    assert_eq!((again.status.as_u16(), along.status.as_u16()), (202, 202));
    let deadline = async |id: &str| receipt(&world, ACME_KEY, id).await.json()["deadline"].clone();
    assert_eq!(deadline("one").await, "2026-01-15T10:00:10.000Z");
    assert_eq!(deadline("two").await, "2026-01-15T10:00:15.000Z");
    assert_eq!(world.names().await.len(), 2);
}

#[tokio::test]
async fn a_receipt_is_told_to_its_tenant_only_and_to_whom_may_read() {
    let world = World::new();
    world.publish(&asking("one")).await;

    let unasked = world.publish(&paused("two")).await;
    let globex = receipt(&world, EVERYONE_KEY, "one/receipt?tenant=globex");

    assert_eq!(unasked.status, 202);
    globex.await.assert_problem(404, "no_receipt", None);
    for (key, path, status, code, field) in [
        (ACME_KEY, "two/receipt", 404, "no_receipt", None),
        (ACME_KEY, "a%20b/receipt", 404, "no_receipt", None),
        (
            ACME_KEY,
            "one/receipt?tenant=globex",
            403,
            "other_tenant",
            Some("tenant"),
        ),
        (ACME_KEY, "one/receipt?more=1", 400, "invalid_query", None),
        (
            EVERYONE_KEY,
            "one/receipt",
            422,
            "tenant_required",
            Some("tenant"),
        ),
        (ACME_ADMIN_KEY, "one/receipt", 403, "forbidden", None),
        ("sb_unknown", "one/receipt", 401, "unauthorized", None),
    ] {
        receipt(&world, key, path)
            .await
            .assert_problem(status, code, field);
    }
    let everyone = receipt(&world, EVERYONE_KEY, "one/receipt?tenant=acme").await;
    assert_eq!(everyone.status, 200, "{}", everyone.text);
}

#[tokio::test]
async fn a_wish_is_bounded_and_belongs_to_one_tenant() {
    let world = World::new();
    for (wish, code, field) in [
        (json!({"timeoutMs": 999}), "invalid_field", "receipt"),
        (json!({"timeoutMs": 3_600_001}), "invalid_field", "receipt"),
        (json!({"timeoutMs": "10s"}), "invalid_field", "receipt"),
        (json!({}), "invalid_field", "receipt"),
        (json!(true), "invalid_field", "receipt"),
    ] {
        let mut draft = paused("one");
        draft["receipt"] = wish;
        let answer = world.publish(&draft).await;
        answer.assert_problem(422, code, Some(field));
    }
    let mut everyone = crate::world::notification("all");
    everyone["receipt"] = json!({"timeoutMs": 10_000});
    let answer = world.publish_as(EVERYONE_KEY, &everyone).await;
    answer.assert_problem(422, "other_tenant", Some("tenant"));
    assert!(world.names().await.is_empty());
}

/// A draft that asks, and names a user.
fn asking(id: &str) -> Value {
    let mut draft = paused(id);
    draft["receipt"] = json!({"timeoutMs": 10_000});
    draft["addRooms"] = json!(["user:7"]);
    draft
}

/// The receipt of an event; `path` may go on behind its id.
async fn receipt(world: &World, key: &str, path: &str) -> Answer {
    let tail = if path.contains('/') { "" } else { "/receipt" };
    let request = Request::get(format!("/v1/events/{path}{tail}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Body::empty())
        .unwrap();
    world.ask(request).await
}
