//! What ends rights: one record that no room hears, and state that outlives it.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use switchboard_event::{Order, Revocation, RevokedKey, Timestamp, UserRevocations};
use switchboard_journal::{Journal, Key};

use crate::world::{ACME_ADMIN_KEY, ADMIN_KEY, Answer, World, now, tenant};

#[tokio::test]
async fn a_revocation_is_one_record_for_no_room_and_is_remembered_beyond_it() {
    let world = World::new();

    let answer = order(
        &world,
        ACME_ADMIN_KEY,
        "/v1/revocations",
        &json!({"user": 7}),
    )
    .await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer.json()["position"].is_string());
    let [record] = &world.records().await[..] else {
        panic!("one record");
    };
    assert!(record.audience().rooms.is_empty());
    let user = "7".parse().unwrap();
    let issued_before = now();
    assert_eq!(
        Order::of(record).unwrap().unwrap(),
        Order::Revoke(Revocation::User {
            user,
            issued_before
        })
    );
    let stored = stored(&world, &RevokedKey::user(&"7".parse().unwrap())).await;
    let revocations = UserRevocations::from_bytes(&stored.unwrap()).unwrap();
    assert!(revocations.is_revoked(None));
    assert!(!revocations.is_revoked(Some(now())));
}

#[tokio::test]
async fn a_token_is_remembered_for_as_long_as_it_could_be_taken() {
    let world = World::new();
    let end = Timestamp::from_millis(now().as_millis() + 60_000);
    let body = json!({"token": "t1", "expiresAt": end});

    let answer = order(&world, ACME_ADMIN_KEY, "/v1/revocations", &body).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    let key = RevokedKey::token(&"t1".parse().unwrap());
    assert!(stored(&world, &key).await.is_some());
    world.pass(Duration::from_mins(30));
    assert!(stored(&world, &key).await.is_some());
    world.pass(Duration::from_hours(1));
    assert!(stored(&world, &key).await.is_none());
}

#[tokio::test]
async fn orders_at_the_same_time_about_one_user_all_count() {
    let world = World::new();
    let take = async |number: usize| {
        let body = json!({"user": "7", "room": format!("contact:{number}")});
        order(&world, ACME_ADMIN_KEY, "/v1/revocations", &body).await
    };

    let answers = tokio::join!(take(1), take(2), take(3), take(4));

    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let stored = stored(&world, &RevokedKey::user(&"7".parse().unwrap())).await;
    let revocations = UserRevocations::from_bytes(&stored.unwrap()).unwrap();
    assert_eq!(revocations.taken(None).count(), 4);
}

#[tokio::test]
async fn an_order_is_of_the_tenant_of_its_key() {
    let world = World::new();
    let everyone = async |body: Value| {
        let path = "/v1/users/7/disconnect";
        order(&world, ADMIN_KEY, path, &body).await
    };
    let named = json!({"tenant": "globex"});

    let other = order(&world, ACME_ADMIN_KEY, "/v1/access/invalidate", &named).await;
    other.assert_problem(403, "other_tenant", Some("tenant"));
    everyone(json!({}))
        .await
        .assert_problem(422, "tenant_required", Some("tenant"));
    everyone(json!({"tenant": "*"}))
        .await
        .assert_problem(422, "invalid_tenant", Some("tenant"));
    assert!(world.records().await.is_empty());

    assert_eq!(everyone(named).await.status, 202);
    assert_eq!(world.records().await[0].tenant(), &tenant("globex"));
}

async fn order(world: &World, key: &str, path: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    world.ask(request).await
}

/// What the journal keeps under a key of acme.
async fn stored(world: &World, key: &RevokedKey) -> Option<bytes::Bytes> {
    let key: Key = key.as_str().parse().unwrap();
    let (acme, now) = (tenant("acme"), world.time());
    let values = world.journal.values(&acme, &[key], now).await;
    let value = values.unwrap().pop().flatten();
    value.map(|value| value.bytes)
}
