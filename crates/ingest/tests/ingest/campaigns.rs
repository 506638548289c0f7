//! `/v1/campaigns/{id}` over a journal in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use switchboard_ingest::{Config, message_id};
use tokio::task::JoinSet;

use crate::bodies;
use crate::world::{ACME_KEY, EVERYONE_KEY, World, tenant};

#[tokio::test]
async fn a_campaign_from_its_start_to_its_end() {
    let world = World::new();
    let answer = world
        .campaign("c/start", &json!({"name": "Spring", "totalRecipients": 4}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["state"]),
        (200, &json!("Running"))
    );
    world.campaign("c/pause", &json!({})).await;
    world.campaign("c/resume", &json!({})).await;

    let answer = world.campaign("c/results", &results(0..3, "Sent")).await;
    assert_eq!(answer.json()["counted"], 3);
    world
        .campaign("c/results", &results(0..2, "Delivered"))
        .await;
    let answer = world.campaign("c/results", &results(3..4, "Failed")).await;

    assert_eq!(answer.json()["state"], "Completed");
    let told = world.told().await;
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "campaign:started",
            "campaign:paused",
            "campaign:resumed",
            "campaign:progress",
            "campaign:progress",
            "campaign:progress",
            "campaign:progress",
            "campaign:completed",
        ]
    );
    assert_eq!(
        told[0].1,
        json!({"campaignId": "c", "campaign": {"name": "Spring", "totalRecipients": 4}})
    );
    assert_eq!(
        told[5].1["progress"],
        json!({"sent": 3, "total": 4, "percentage": 75.0, "failed": 0})
    );
    assert_eq!(
        told[7].1["stats"],
        json!({"totalRecipients": 4, "sentCount": 3, "deliveredCount": 2, "readCount": 0,
               "failedCount": 1, "deliveryRate": 66.7, "readRate": 0.0})
    );
    let shown = world.shown("campaign:c").await;
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        [
            "campaign:completed",
            "campaign:progress",
            "campaign:started"
        ]
    );
}

#[tokio::test]
async fn a_retry_of_results_counts_what_was_not_counted_and_nothing_else() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 2000}))
        .await;
    world.campaign("c/results", &results(0..400, "Sent")).await;

    let first = world.campaign("c/results", &results(0..1000, "Sent")).await;
    let second = world.campaign("c/results", &results(0..1000, "Sent")).await;

    let (first, second) = (first.json(), second.json());
    assert_eq!(
        (&first["counted"], &first["known"]),
        (&json!(600), &json!(400))
    );
    assert_eq!(
        (&second["counted"], &second["known"]),
        (&json!(0), &json!(1000))
    );
    assert_eq!(second["stats"]["sentCount"], 1000);
    let progress = world
        .names()
        .await
        .iter()
        .filter(|name| *name == "campaign:progress")
        .count();
    assert_eq!(progress, 10);
}

#[tokio::test]
async fn what_is_impossible_is_a_409_with_the_state() {
    let world = World::new();
    let refused = |path: &'static str, body: Value| {
        let world = &world;
        async move {
            let answer = world.campaign(path, &body).await;
            assert_eq!(answer.status, 409, "{}", answer.text);
            let problem = answer.json();
            (
                problem["code"].as_str().unwrap().to_owned(),
                problem["state"].as_str().unwrap().to_owned(),
                problem["field"].as_str().unwrap_or_default().to_owned(),
            )
        }
    };
    let said = |code: &str, state: &str, field: &str| {
        (code.to_owned(), state.to_owned(), field.to_owned())
    };

    assert_eq!(
        refused("c/pause", json!({})).await,
        said("campaign_unknown", "Unknown", "")
    );
    assert_eq!(
        refused("c/results", results(0..1, "Sent")).await,
        said("campaign_unknown", "Unknown", "")
    );
    world
        .campaign("c/start", &json!({"totalRecipients": 2}))
        .await;
    assert_eq!(
        refused("c/start", json!({"totalRecipients": 3})).await,
        said("campaign_transition", "Running", "")
    );
    assert_eq!(
        refused("c/results", results(0..3, "Sent")).await,
        said("campaign_total_exceeded", "Running", "results[2]")
    );
    // Nothing of it was counted.
    let answer = world.campaign("c/complete", &json!({})).await.json();
    assert_eq!(answer["stats"]["sentCount"], 0);
    assert_eq!(
        refused("c/pause", json!({})).await,
        said("campaign_transition", "Completed", "")
    );
    assert_eq!(
        refused("c/results", results(0..1, "Sent")).await,
        said("campaign_finished", "Completed", "results[0]")
    );
}

#[tokio::test]
async fn an_order_that_is_fulfilled_already_is_a_200_and_no_event() {
    let world = World::new();
    for path in [
        "c/start", "c/start", "c/pause", "c/pause", "c/fail", "c/fail",
    ] {
        let body = match path {
            "c/start" => json!({"totalRecipients": 2}),
            "c/fail" => json!({"error": "no credit"}),
            _ => json!({}),
        };
        assert_eq!(world.campaign(path, &body).await.status, 200, "{path}");
    }

    let told = world.told().await;
    assert_eq!(told.len(), 3);
    assert_eq!(told[2].1, json!({"campaignId": "c", "error": "no credit"}));
}

#[tokio::test]
async fn a_campaign_that_fails_for_no_reason_says_so_as_the_contract_has_it() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 1}))
        .await;

    let answer = world.campaign("c/fail", &json!({})).await;

    assert_eq!(answer.status, 200);
    let told = world.told().await;
    let failed = &told.last().unwrap().1;
    assert_eq!(
        failed,
        &json!({"campaignId": "c", "error": "The campaign failed"})
    );
}

#[tokio::test]
async fn bodies_that_cannot_be_meant_are_refused_by_field() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 10}))
        .await;
    let row = |status: &str| json!({"results": [{"messageId": "m", "status": status, "note": 1}]});

    let answer = world.campaign("c/results", &row("sent")).await;
    answer.assert_problem(422, "unknown_value", Some("results[0].status"));
    world
        .campaign("d/start", &json!({"totalRecipients": -1}))
        .await
        .assert_problem(422, "invalid_field", Some("totalRecipients"));
    world
        .campaign("d/start", &json!({"name": "x"}))
        .await
        .assert_problem(422, "missing_field", Some("totalRecipients"));
    for (row, code, field) in [
        (json!(7), "invalid_field", "results[0]"),
        (
            json!({"status": "Sent"}),
            "missing_field",
            "results[0].messageId",
        ),
        (
            json!({"messageId": " ", "status": "Sent"}),
            "invalid_field",
            "results[0].messageId",
        ),
        (
            json!({"messageId": "m"}),
            "missing_field",
            "results[0].status",
        ),
        (
            json!({"messageId": "m", "status": 1}),
            "invalid_field",
            "results[0].status",
        ),
    ] {
        for body in [json!([row]), json!({ "results": [row] })] {
            let answer = world.campaign("c/results", &body).await;
            answer.assert_problem(422, code, Some(field));
            assert!(!answer.text.contains("invalid type"), "{}", answer.text);
        }
    }
    world
        .campaign("d/start", &json!({"totalRecipients": 1, "nmae": "x"}))
        .await
        .assert_problem(422, "unknown_field", Some("nmae"));
    world
        .campaign("d/begin", &json!({}))
        .await
        .assert_problem(404, "not_found", None);
    world
        .campaign("a%20b/start", &json!({"totalRecipients": 1}))
        .await
        .assert_problem(422, "invalid_id", Some("id"));
    let many = results(0..1001, "Sent");
    world
        .campaign("c/results", &many)
        .await
        .assert_problem(413, "too_many_results", None);
    assert_eq!(world.campaign("c/results", &row("Sent")).await.status, 200);
}

#[tokio::test]
async fn an_order_needs_no_body_and_a_key_for_all_tenants_needs_a_tenant() {
    let world = World::new();
    let start = json!({"totalRecipients": 1, "tenant": "acme"});

    let answer = world
        .ask(post("c/start", EVERYONE_KEY, start.to_string()))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world
            .ask(post("c/pause", ACME_KEY, String::new()))
            .await
            .status,
        200
    );
    let answer = world
        .ask(post("c/resume", EVERYONE_KEY, String::new()))
        .await;
    answer.assert_problem(422, "tenant_required", Some("tenant"));
    let answer = world
        .ask(post(
            "c/resume",
            ACME_KEY,
            json!({"tenant": "globex"}).to_string(),
        ))
        .await;
    answer.assert_problem(403, "other_tenant", Some("tenant"));
    let answer = world
        .ask(post(
            "c/resume",
            EVERYONE_KEY,
            json!({"tenant": "*"}).to_string(),
        ))
        .await;
    answer.assert_problem(422, "invalid_tenant", Some("tenant"));
    let answer = world.ask(post("c/resume", "another", String::new())).await;
    answer.assert_problem(401, "unauthorized", None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn producers_on_several_connections_at_once_lose_and_repeat_nothing() {
    let world = Arc::new(World::new());
    world
        .campaign("c/start", &json!({"totalRecipients": 1600}))
        .await;
    let mut posts = JoinSet::new();
    for producer in 0..32_u32 {
        let world = Arc::clone(&world);
        posts.spawn(async move {
            // Each result is posted by two of them.
            let from = producer / 2 * 100;
            world
                .campaign("c/results", &results(from..from + 100, "Sent"))
                .await
        });
    }

    while let Some(answer) = posts.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }

    let told = world.told().await;
    let completed: Vec<_> = told
        .iter()
        .filter(|(name, _)| name == "campaign:completed")
        .collect();
    assert_eq!(completed.len(), 1);
    assert_eq!(completed[0].1["stats"]["sentCount"], 1600);
    let marks: Vec<_> = told
        .iter()
        .filter(|(name, _)| name == "campaign:progress")
        .map(|(_, data)| data["progress"]["sent"].as_u64().unwrap())
        .collect();
    assert_eq!(marks, (1..=20).map(|mark| mark * 80).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_count_at_once_lose_and_repeat_nothing() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 400}))
        .await;
    let mut posts = JoinSet::new();
    for node in [world.ingest.clone(), world.successor()] {
        posts.spawn(async move {
            // Both post everything, each until it is answered.
            for from in (0..400).step_by(10) {
                let body = results(from..from + 10, "Sent").to_string();
                loop {
                    let request = post("c/results", ACME_KEY, body.clone());
                    match World::ask_of(&node, request).await.status.as_u16() {
                        200 => break,
                        status => assert_eq!(status, 503),
                    }
                }
            }
        });
    }

    while let Some(ended) = posts.join_next().await {
        ended.unwrap();
    }

    let told = world.told().await;
    let completed: Vec<_> = told
        .iter()
        .filter(|(name, _)| name == "campaign:completed")
        .collect();
    assert_eq!(completed.len(), 1);
    assert_eq!(completed[0].1["stats"]["sentCount"], 400);
    let marks = told.iter().filter(|(name, _)| name == "campaign:progress");
    assert_eq!(marks.count(), 20);
}

#[tokio::test]
async fn statuses_that_name_their_campaign_count_for_it_whoever_tells_them() {
    let world = World::new();
    world
        .campaign("c/start", &json!({"totalRecipients": 2}))
        .await;
    let id = message_id(&tenant("acme"), "wamid.FAKE-C");
    world
        .publish(
            &json!({"event": "message:sent", "data": {"campaignId": "c", "message": {
                "id": id, "contactId": "k", "whatsappAccountId": "w",
                "direction": "Outbound", "type": "Text", "status": "Sent",
            }}}),
        )
        .await;

    for (status, label) in [
        ("delivered", "campaign:c"),
        ("read", r#"{"campaignId":"c","more":1}"#),
        ("read", "campaign:unknown"),
    ] {
        let mut body = bodies::json("status-delivered");
        let one = &mut body["entry"][0]["changes"][0]["value"]["statuses"][0];
        one["id"] = "wamid.FAKE-C".into();
        one["status"] = status.into();
        one["biz_opaque_callback_data"] = label.into();
        assert_eq!(
            world.webhook("acme-cloud", body.to_string()).await.status,
            200
        );
    }

    let answer = world.campaign("c/results", &json!([])).await.json();
    assert_eq!(answer["stats"]["sentCount"], 1);
    assert_eq!(answer["stats"]["readCount"], 1);
    let told = world.told().await;
    let read = told
        .iter()
        .find(|(name, _)| name == "message:read")
        .unwrap();
    assert_eq!(read.1["campaignId"], "c");
    assert!(told.iter().any(|(name, _)| name == "campaign:progress"));
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_told_at_most_once_a_second_and_the_last_for_certain() {
    let world = World::new();
    let _watching = world.watched();
    world
        .campaign("c/start", &json!({"totalRecipients": 5}))
        .await;
    world.campaign("c/results", &results(0..5, "Sent")).await;

    for message in 0..5 {
        world
            .campaign("c/results", &results(message..message + 1, "Read"))
            .await;
    }
    let stats = |told: &[(String, Value)]| -> Vec<u64> {
        let stats = told.iter().filter(|(name, _)| name == "campaign:stats");
        stats
            .map(|(_, data)| data["stats"]["readCount"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(stats(&world.told().await), [1]);
    assert_eq!(
        world.shown("campaign:c").await["campaign:stats"]["stats"]["readCount"],
        5
    );

    world.pass(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    assert_eq!(stats(&world.told().await), [1, 5]);
}

#[tokio::test]
async fn a_campaign_is_forgotten_together_with_what_it_counted() {
    let world = World::with_config(Config {
        campaign_retention: Duration::from_hours(24),
        ..Config::default()
    });
    world
        .campaign("c/start", &json!({"totalRecipients": 5}))
        .await;
    world.pass(Duration::from_hours(23));
    world.campaign("c/results", &results(0..1, "Sent")).await;

    world.pass(Duration::from_hours(1));

    let answer = world.campaign("c/results", &results(0..1, "Sent")).await;
    assert_eq!(answer.json()["state"], "Unknown");
    world
        .campaign("c/start", &json!({"totalRecipients": 5}))
        .await;
    let answer = world.campaign("c/results", &results(0..1, "Sent")).await;
    assert_eq!(answer.json()["counted"], 1);
}

#[tokio::test]
async fn progress_can_be_told_more_rarely() {
    let world = World::with_config(Config {
        campaign_progress_every: 300,
        ..Config::default()
    });
    world
        .campaign("c/start", &json!({"totalRecipients": 100_000}))
        .await;

    world.campaign("c/results", &results(0..1000, "Sent")).await;

    let progress = world
        .names()
        .await
        .iter()
        .filter(|name| *name == "campaign:progress")
        .count();
    assert_eq!(progress, 3);
}

pub(crate) fn results(messages: std::ops::Range<u32>, status: &str) -> Value {
    let results: Vec<_> = messages
        .map(|message| json!({"messageId": format!("m-{message}"), "status": status}))
        .collect();
    json!({ "results": results })
}

pub(crate) fn post(path: &str, key: &str, body: String) -> Request<Body> {
    Request::post(format!("/v1/campaigns/{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}
