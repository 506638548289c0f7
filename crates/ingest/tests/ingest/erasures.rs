//! Taking the payloads of a room.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{ACME_ADMIN_KEY, ACME_KEY, ADMIN_KEY, Answer, World};

#[tokio::test]
async fn an_administrator_erases_a_room_of_the_keys_tenant() {
    let world = World::new();
    world.publish(&draft("42")).await;
    world.publish(&draft("43")).await;

    let answer = erase(&world, ACME_ADMIN_KEY, &json!({"room": "contact:42"})).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json(), json!({"records": 1, "values": 0}));
    let records = world.records().await;
    assert!(records[0].is_tombstone() && !records[1].is_tombstone());
    let again = erase(&world, ACME_ADMIN_KEY, &json!({"room": "contact:42"})).await;
    assert_eq!(again.json(), json!({"records": 0, "values": 0}));
}

#[tokio::test]
async fn an_erasure_needs_the_right_key_and_a_room() {
    let world = World::new();
    world.publish(&draft("42")).await;
    let room = json!({"room": "contact:42"});

    let publisher = erase(&world, ACME_KEY, &room).await;
    let nobody_s = erase(&world, ADMIN_KEY, &room).await;
    let no_room = erase(&world, ACME_ADMIN_KEY, &json!({})).await;
    let strange = erase(&world, ACME_ADMIN_KEY, &json!({"room": "order:7"})).await;
    let more = json!({"room": "contact:42", "until": 1});
    let more = erase(&world, ACME_ADMIN_KEY, &more).await;

    assert_eq!(publisher.status, 403);
    nobody_s.assert_problem(422, "tenant_required", Some("tenant"));
    no_room.assert_problem(422, "missing_field", Some("room"));
    strange.assert_problem(422, "invalid_room", Some("room"));
    more.assert_problem(422, "unknown_field", Some("until"));
    assert!(
        world
            .records()
            .await
            .iter()
            .all(|record| !record.is_tombstone())
    );
}

fn draft(contact: &str) -> Value {
    json!({"event": "contact:deleted", "data": {"contactId": contact}})
}

async fn erase(world: &World, key: &str, body: &Value) -> Answer {
    let request = Request::post("/v1/erasures")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    world.ask(request).await
}
