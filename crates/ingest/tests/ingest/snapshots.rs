//! What whoever joins a room is shown of what was published.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn the_last_event_of_a_kind_is_shown() {
    let world = World::new();
    for status in ["Connecting", "Connected", "Reconnecting"] {
        world.publish(&status_of("a", status)).await;
    }

    let shown = world.shown("whatsapp:a").await;

    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        ["whatsapp:connection:status"]
    );
    assert_eq!(
        shown["whatsapp:connection:status"]["status"],
        "Reconnecting"
    );
    assert!(world.shown("whatsapp:b").await.is_empty());
}

#[tokio::test]
async fn what_is_published_again_does_not_come_back() {
    let world = World::new();
    let first = with_id("1", status_of("a", "Connected"));
    world.publish(&first).await;
    world.publish(&status_of("a", "Disconnected")).await;

    // Alone, and beside something new.
    world.publish(&first).await;
    world
        .publish(&json!([first, status_of("b", "Connected")]))
        .await;

    let shown = world.shown("whatsapp:a").await;
    assert_eq!(
        shown["whatsapp:connection:status"]["status"],
        "Disconnected"
    );
    assert_eq!(world.shown("whatsapp:b").await.len(), 1);
}

#[tokio::test]
async fn a_code_is_shown_until_it_expires_or_another_state_comes() {
    let world = World::new();
    let code = json!({"event": "whatsapp:qr:generated", "data": {
        "accountId": "a", "qrCode": "SECRET", "expiresAt": "2026-01-15T10:00:30Z",
    }});
    world.publish(&code).await;

    assert_eq!(world.shown("whatsapp:a:link").await.len(), 1);
    assert!(world.shown("whatsapp:a").await.is_empty());
    world.pass(Duration::from_secs(30));
    assert!(world.shown("whatsapp:a:link").await.is_empty());

    let world = World::new();
    world.publish(&code).await;
    world.publish(&status_of("a", "Connected")).await;
    assert!(world.shown("whatsapp:a:link").await.is_empty());
}

#[tokio::test]
async fn a_campaign_and_a_flow_are_shown_for_thirty_days() {
    let world = World::new();
    world
        .publish(&json!({"event": "campaign:progress", "data": {"campaignId": "c", "progress": {"sent": 1}}}))
        .await;
    world
        .publish(
            &json!({"event": "flow:execution:failed", "data": {"flowId": "f", "executionId": "e"}}),
        )
        .await;
    world.publish(&status_of("a", "Connected")).await;

    assert_eq!(
        world.shown("campaign:c").await["campaign:progress"]["progress"]["sent"],
        1
    );
    assert!(
        world
            .shown("flow:f")
            .await
            .contains_key("flow:execution:failed")
    );
    world.pass(Duration::from_hours(30 * 24));
    assert!(world.shown("campaign:c").await.is_empty());
    assert!(world.shown("flow:f").await.is_empty());
    assert_eq!(world.shown("whatsapp:a").await.len(), 1);
}

#[tokio::test]
async fn a_thousand_events_that_all_change_snapshots_are_taken() {
    let world = World::new();
    let drafts: Vec<_> = (0..1000)
        .map(|n| json!({"event": "campaign:started", "data": {"campaignId": n}}))
        .collect();

    let answer = world.publish(&drafts.into()).await;

    assert_eq!(answer.status, 202);
    assert_eq!(world.shown("campaign:999").await.len(), 1);
}

fn status_of(account: &str, status: &str) -> Value {
    json!({"event": "whatsapp:connection:status", "data": {"accountId": account, "status": status}})
}

fn with_id(id: &str, mut draft: Value) -> Value {
    draft["id"] = id.into();
    draft
}
