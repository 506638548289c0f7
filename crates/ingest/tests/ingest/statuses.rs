//! What becomes of a message, as a webhook tells it in any order.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use switchboard_ingest::message_id;

use crate::bodies;
use crate::world::{World, tenant};

#[tokio::test]
async fn statuses_out_of_order_never_go_back() {
    let world = World::new();

    for (status, time) in [
        ("read", 30),
        ("delivered", 20),
        ("sent", 10),
        ("played", 40),
    ] {
        world.webhook("acme-cloud", body(status, time)).await;
    }

    assert_eq!(
        told(&world).await,
        ["message:read", "message:status:update Read"]
    );
    assert_eq!(world.ingest.stats().counts().duplicate, 6);
}

#[tokio::test]
async fn a_failure_counts_only_for_what_was_not_delivered() {
    let world = World::new();
    for (status, time) in [("delivered", 10), ("failed", 20)] {
        world.webhook("acme-cloud", body(status, time)).await;
    }

    assert_eq!(
        told(&world).await,
        ["message:delivered", "message:status:update Delivered"]
    );
}

#[tokio::test]
async fn a_retry_after_a_failure_is_told_anew_and_a_late_repetition_is_not() {
    let world = World::new();
    for (status, time) in [
        ("sent", 10),
        ("failed", 20),
        // Meta delivers the first webhook again.
        ("sent", 10),
        ("sent", 30),
        ("failed", 40),
        ("delivered", 50),
    ] {
        let answer = world.webhook("acme-cloud", body(status, time)).await;
        assert_eq!(answer.status, 200);
    }

    assert_eq!(
        told(&world).await,
        [
            "message:sent",
            "message:status:update Sent",
            "message:failed",
            "message:status:update Failed",
            "message:sent",
            "message:status:update Sent",
            "message:failed",
            "message:status:update Failed",
            "message:delivered",
            "message:status:update Delivered",
        ]
    );
}

#[tokio::test]
async fn what_a_producer_published_is_not_told_again_by_the_webhook() {
    let world = World::new();
    world.publish(&sent("Sent")).await;

    world.webhook("acme-cloud", body("sent", 10)).await;
    world.webhook("acme-cloud", body("delivered", 20)).await;

    assert_eq!(
        told(&world).await,
        [
            "message:sent",
            "message:delivered",
            "message:status:update Delivered"
        ]
    );
}

#[tokio::test]
async fn a_producer_is_never_held_to_an_order() {
    let world = World::new();
    let update = |status: &str| {
        json!({"event": "message:status:update", "data": {
            "messageId": id(), "status": status, "contactId": "k", "whatsappAccountId": "w",
        }})
    };

    for status in ["Read", "Sent", "Sent"] {
        assert_eq!(world.publish(&update(status)).await.status, 202);
    }
    world.webhook("acme-cloud", body("delivered", 20)).await;

    assert_eq!(
        told(&world).await,
        [
            "message:status:update Read",
            "message:status:update Sent",
            "message:status:update Sent"
        ]
    );
}

#[tokio::test]
async fn both_events_of_a_change_are_in_one_batch() {
    let world = World::new();

    world.webhook("acme-cloud", body("delivered", 10)).await;

    let records = world.records().await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].at(), records[1].at());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_and_however_often_what_is_told_only_goes_forward(
        statuses in prop::collection::vec((select(vec!["sent", "delivered", "read", "played", "failed"]), 0_u32..6), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = runtime.block_on(async {
            let world = World::new();
            for (status, time) in statuses {
                world.webhook("acme-cloud", body(status, 10 * (time + 1))).await;
            }
            told(&world).await
        });

        prop_assert_eq!(told.len() % 2, 0);
        let updates: Vec<_> = told.iter().filter_map(|one| one.strip_prefix("message:status:update ")).collect();
        for pair in updates.windows(2) {
            let is_forward = matches!(
                (pair[0], pair[1]),
                ("Sent", "Delivered" | "Read" | "Failed") | ("Delivered", "Read")
                    | ("Failed", "Sent" | "Delivered" | "Read")
            );
            prop_assert!(is_forward, "{:?}", pair);
        }
    }
}

/// The events of the records, updates with their status.
async fn told(world: &World) -> Vec<String> {
    let told = world.told().await.into_iter();
    told.map(|(name, data)| match data["status"].as_str() {
        Some(status) => format!("{name} {status}"),
        None => name,
    })
    .collect()
}

fn body(status: &str, time: u32) -> String {
    let mut body = bodies::json("status-delivered");
    let one = &mut body["entry"][0]["changes"][0]["value"]["statuses"][0];
    one["id"] = SOURCE_ID.into();
    one["status"] = status.into();
    one["timestamp"] = format!("17684712{time}").into();
    body.to_string()
}

fn sent(status: &str) -> Value {
    json!({"event": "message:sent", "data": {"message": {
        "id": id(), "contactId": "k", "whatsappAccountId": "w",
        "direction": "Outbound", "type": "Text", "status": status,
    }}})
}

fn id() -> String {
    message_id(&tenant("acme"), SOURCE_ID)
}

const SOURCE_ID: &str = "wamid.FAKE-STATUSES";
