//! What campaigns learn from what is published, and what is known of them after a crash.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_ingest::Endpoints;
use tokio::task::JoinSet;

use crate::campaigns::{post, results};
use crate::world::{ACME_KEY, World, watched};

#[tokio::test]
async fn an_event_that_is_published_again_beside_a_new_one_counts_once() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 9}))
        .await;
    let sent = |id: &str, message: &str| {
        json!({"id": id, "event": "message:sent", "data": {"campaignId": "c", "message": {
            "id": message, "contactId": "k", "whatsappAccountId": "w",
            "direction": "Outbound", "type": "Text", "status": "Sent",
        }}})
    };
    world.publish(&sent("e-1", "m-1")).await;
    let failed =
        json!({"event": "message:failed", "data": {"messageId": "m-1", "campaignId": "c"}});
    world.publish(&failed).await;

    // Its producer was not answered, and has one more by now.
    let answer = world
        .publish(&json!([sent("e-1", "m-1"), sent("e-2", "m-2")]))
        .await;

    assert_eq!(answer.status, 202);
    let stats = &world.campaign("c/results", &json!([])).await.json()["stats"];
    assert_eq!(
        (&stats["sentCount"], &stats["failedCount"]),
        (&json!(1), &json!(1))
    );
    // A retry of the message itself is another event.
    world.publish(&sent("e-3", "m-1")).await;
    let stats = &world.campaign("c/results", &json!([])).await.json()["stats"];
    assert_eq!(
        (&stats["sentCount"], &stats["failedCount"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn a_campaign_learns_from_what_its_producer_publishes_and_does_not_double_it() {
    let world = World::new();
    let publish = |id: &str, event: &str, campaign: &str| json!({"id": id, "event": format!("campaign:{event}"), "data": {"campaignId": campaign}});
    let state = async |body: &Value| {
        assert_eq!(world.publish(body).await.status, 202);
        world.campaign("c/results", &json!([])).await.json()["state"].clone()
    };
    world
        .campaign("c/start", &json!({"totalRecipients": 2}))
        .await;

    assert_eq!(state(&publish("e-1", "paused", "c")).await, "Paused");
    assert_eq!(state(&publish("e-2", "resumed", "c")).await, "Running");
    let again = json!([
        publish("e-1", "paused", "c"),
        publish("e-3", "started", "c")
    ]);
    assert_eq!(state(&again).await, "Running");
    world.campaign("c/results", &results(0..1, "Sent")).await;
    assert_eq!(state(&publish("e-4", "completed", "c")).await, "Completed");
    // It is over, whatever comes.
    assert_eq!(state(&publish("e-5", "paused", "c")).await, "Completed");
    let late = world.campaign("c/results", &results(1..2, "Sent")).await;
    late.assert_problem(409, "campaign_finished", Some("results[0]"));

    world.publish(&publish("e-6", "completed", "unknown")).await;
    let unknown = world.campaign("unknown/results", &json!([])).await;
    assert_eq!(unknown.json()["state"], "Unknown");
    let names = world.names().await;
    let completed = names.iter().filter(|name| *name == "campaign:completed");
    assert_eq!(completed.count(), 2, "{names:?}");
    let paused = names.iter().filter(|name| *name == "campaign:paused");
    assert_eq!(paused.count(), 2, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn what_had_to_wait_when_the_process_ended_is_told_by_the_next_one() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 2}))
        .await;
    world.campaign("c/results", &results(0..2, "Sent")).await;
    world.campaign("c/results", &results(0..1, "Read")).await;
    world.campaign("c/results", &results(1..2, "Read")).await;
    let count = async || {
        let names = world.names().await.into_iter();
        names.filter(|name| name == "campaign:stats").count()
    };
    assert_eq!(count().await, 1);

    // Without a webhook of its own: the journal says whom there is to look after.
    let next = world.successor();
    next.set_endpoints(Endpoints::default());
    let _watching = watched(&next);
    world.pass(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(count().await, 2);
    let told = world.told().await;
    assert_eq!(told.last().unwrap().1["stats"]["readCount"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_another_node_put_off_and_did_not_live_to_tell_is_told() {
    let world = World::new();
    let node = world.successor();
    let _watching = watched(&node);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
        .campaign("c/start", &json!({"totalRecipients": 2}))
        .await;
    world.campaign("c/results", &results(0..2, "Sent")).await;
    world.campaign("c/results", &results(0..1, "Read")).await;
    world.campaign("c/results", &results(1..2, "Read")).await;

    world.pass(Duration::from_mins(3));
    tokio::time::sleep(Duration::from_mins(3)).await;

    let names = world.names().await;
    let stats = names.iter().filter(|name| *name == "campaign:stats");
    assert_eq!(stats.count(), 2);
}

#[tokio::test]
async fn many_campaigns_that_have_something_to_tell_later_do_not_get_in_each_others_way() {
    let world = World::new();
    for campaign in 0..40 {
        let path = |verb: &str| format!("c-{campaign}/{verb}");
        world
            .campaign(&path("start"), &json!({"totalRecipients": 2}))
            .await;
        for status in ["Sent", "Delivered"] {
            world
                .campaign(&path("results"), &results(0..2, status))
                .await;
        }
    }

    let mut asked = JoinSet::new();
    for campaign in 0..40 {
        let ingest = world.ingest.clone();
        asked.spawn(async move {
            let path = format!("c-{campaign}/results");
            let request = post(&path, ACME_KEY, results(0..1, "Read").to_string());
            World::ask_of(&ingest, request).await.status
        });
    }

    for status in asked.join_all().await {
        assert_eq!(status, 200);
    }
}
