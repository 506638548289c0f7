//! `/webhooks/meta/{endpoint}` over a journal in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;
use switchboard_event::Room;
use switchboard_ingest::{Address, contact_id};
use tokio::task::JoinSet;

use crate::bodies;
use crate::world::{VERIFY_TOKEN, World, paused, signature, tenant};

#[tokio::test]
async fn every_fixture_is_taken_and_makes_its_events_once() {
    let world = World::new();
    for round in 1..=2 {
        for (name, _) in bodies::all() {
            let answer = world.webhook("acme-cloud", bodies::bytes(&name)).await;

            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
            assert_eq!(answer.text, "");
        }
        let counts = world.ingest.stats().counts();
        assert_eq!(counts.refused.len(), 0, "{:?}", counts.refused);
        assert_eq!(counts.duplicate, (round - 1) * counts.accepted);
    }
    let records = world.records().await;

    assert_eq!(records.len() as u64, world.ingest.stats().counts().accepted);
    assert!(
        records
            .iter()
            .all(|event| *event.tenant() == tenant("acme"))
    );
}

#[tokio::test]
async fn strictness_is_for_producers_and_costs_no_message_of_a_gateway() {
    let world = World::strict();

    for (name, _) in bodies::all() {
        world.webhook("acme-cloud", bodies::bytes(&name)).await;
    }

    let counts = world.ingest.stats().counts();
    assert_eq!(counts.refused.len(), 0, "{:?}", counts.refused);
    assert!(counts.accepted > 0);
}

#[tokio::test]
async fn a_message_goes_to_the_rooms_of_its_account_and_its_contact() {
    let world = World::new();

    world
        .webhook("acme-cloud", bodies::bytes("message-text"))
        .await;

    let contact = contact_id(&tenant("acme"), Address::Phone("15550100002"));
    let events = world.records().await;
    let rooms: Vec<_> = events[0].audience().rooms.iter().map(Room::name).collect();
    assert_eq!(rooms, ["whatsapp:account-1", &format!("contact:{contact}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_posts_at_once_make_one_event_each() {
    let world = Arc::new(World::new());
    let mut posts = JoinSet::new();
    for _ in 0..32 {
        let world = Arc::clone(&world);
        posts.spawn(async move {
            world
                .webhook("acme-cloud", bodies::bytes("batch-mixed"))
                .await
        });
    }

    while let Some(answer) = posts.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }

    assert_eq!(world.records().await.len(), 8);
    let counts = world.ingest.stats().counts();
    assert_eq!((counts.accepted, counts.duplicate), (8, 8 * 31));
}

#[tokio::test]
async fn a_fact_told_again_in_other_words_is_no_second_event() {
    let world = World::new();
    let mut body = bodies::json("message-text");
    world.webhook("acme-cloud", body.to_string()).await;

    body["entry"][0]["changes"][0]["value"]["contacts"][0]["profile"]["name"] = "Ana L.".into();
    let more = bodies::json("message-image")["entry"][0]["changes"][0].clone();
    body["entry"][0]["changes"]
        .as_array_mut()
        .unwrap()
        .push(more);
    let answer = world.webhook("acme-cloud", body.to_string()).await;

    assert_eq!(answer.status, 200);
    let records = world.records().await;
    assert_eq!(records.len(), 2);
    assert!(
        std::str::from_utf8(records[0].data())
            .unwrap()
            .contains("Ana Lima")
    );
}

#[tokio::test]
async fn what_is_told_again_after_its_record_is_gone_makes_no_second_event() {
    let world = World::new();
    let fixtures = ["message-text", "status-sent", "status-read", "batch-mixed"];
    for name in fixtures {
        world.webhook("acme-cloud", bodies::bytes(name)).await;
    }
    let accepted = world.ingest.stats().counts().accepted;
    assert!(accepted > 8);

    for day in 1..=6 {
        world.pass(Duration::from_hours(24));
        // What is too old is taken with the next append.
        world.publish(&paused(&format!("day-{day}"))).await;
        for name in fixtures {
            let answer = world.webhook("acme-cloud", bodies::bytes(name)).await;
            assert_eq!(answer.status, 200);
        }
    }

    let counts = world.ingest.stats().counts();
    assert_eq!(counts.accepted, accepted + 6);
    assert_eq!(counts.duplicate, 6 * accepted);
    assert!(counts.refused.is_empty(), "{:?}", counts.refused);
}

#[tokio::test]
async fn a_thousand_updates_in_one_body_are_taken() {
    let world = World::new();
    let mut body = bodies::json("status-delivered");
    let statuses = body
        .pointer_mut("/entry/0/changes/0/value/statuses")
        .unwrap();
    let one = statuses[0].clone();
    *statuses = (0..1000)
        .map(|n| {
            let mut status = one.clone();
            status["id"] = format!("wamid.FAKE-{n}").into();
            status
        })
        .collect();

    let answer = world.webhook("acme-cloud", body.to_string()).await;

    assert_eq!(answer.status, 200);
    let names = world.names().await;
    assert_eq!(names.len(), 2000);
    for pair in names.chunks(2) {
        assert_eq!(pair, ["message:delivered", "message:status:update"]);
    }
}

#[tokio::test]
async fn the_endpoint_says_whose_the_events_are() {
    let world = World::new();
    let body = bodies::bytes("message-text");

    world.webhook("globex-cloud", &body).await;
    world.webhook("acme-cloud", &body).await;

    let mut tenants: Vec<_> = world
        .records()
        .await
        .iter()
        .map(|event| event.tenant().to_string())
        .collect();
    tenants.sort();
    assert_eq!(tenants, ["acme", "globex"]);
}

#[tokio::test]
async fn a_bad_signature_is_a_401_and_nothing_more() {
    let world = World::new();
    let body = bodies::bytes("message-text");
    for signature in [
        None,
        Some("sha256=00".to_owned()),
        Some(signature(b"another body")),
    ] {
        let mut request = Request::post("/webhooks/meta/acme-cloud");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }

        let answer = world
            .ask(request.body(Body::from(body.clone())).unwrap())
            .await;

        assert_eq!(answer.status, 401);
        assert_eq!(answer.text, "");
    }
    assert!(world.records().await.is_empty());
    assert_eq!(world.ingest.stats().counts().webhook_refused, 3);
}

#[tokio::test]
async fn an_unknown_endpoint_is_a_404_and_nothing_more() {
    let world = World::new();

    let post = world.webhook("nobody", bodies::bytes("message-text")).await;
    let get = world
        .ask(challenge("nobody", VERIFY_TOKEN, "subscribe"))
        .await;

    assert_eq!((post.status.as_u16(), post.text.as_str()), (404, ""));
    assert_eq!((get.status.as_u16(), get.text.as_str()), (404, ""));
}

#[tokio::test]
async fn half_an_emoji_or_a_number_out_of_range_costs_no_message() {
    let world = World::new();
    let body = String::from_utf8(bodies::bytes("batch-mixed")).unwrap();
    let cut = body
        .replacen(
            "\"name\": \"Ana Lima\"",
            r#""name": "Ana \ud83d", "x": 1e999"#,
            1,
        )
        .replacen("\"body\": \"", r#""body": "\ude00"#, 1);
    assert!(cut.contains("\\ud83d") && cut.contains("\\ude00"), "{body}");

    let answer = world.webhook("acme-cloud", cut).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    let records = world.records().await;
    assert_eq!(records.len(), 8);
    let text = |index: usize| {
        std::str::from_utf8(records[index].data())
            .unwrap()
            .to_owned()
    };
    assert!(
        (0..8).any(|index| text(index).contains("Ana \u{fffd}")),
        "{}",
        text(0)
    );
    assert!((0..8).any(|index| text(index).contains("\"content\":\"\u{fffd}")));
}

#[tokio::test]
async fn authentic_bytes_that_are_no_json_are_a_400() {
    let world = World::new();

    world
        .webhook("acme-cloud", "{\"object\":")
        .await
        .assert_problem(400, "malformed_json", None);
    world
        .webhook("acme-cloud", "[".repeat(100_000))
        .await
        .assert_problem(400, "malformed_json", None);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_a_413() {
    let world = World::new();

    let answer = world.webhook("acme-cloud", vec![b' '; (4 << 20) + 1]).await;

    answer.assert_problem(413, "body_too_large", None);
}

#[tokio::test]
async fn what_is_ignored_is_a_200_and_counted_by_reason() {
    let world = World::new();

    for name in [
        "unknown-account",
        "message-reaction",
        "template-status",
        "calls",
    ] {
        assert_eq!(
            world
                .webhook("acme-cloud", bodies::bytes(name))
                .await
                .status,
            200
        );
    }

    let counts = world.ingest.stats().counts();
    assert_eq!(counts.webhook_accepted, 4);
    let ignored = counts.webhook_ignored.into_iter();
    let ignored: Vec<_> = ignored.filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        ignored,
        [
            ("call", 1),
            ("reaction", 1),
            ("unknown_account", 1),
            ("unknown_field", 1)
        ]
    );
    assert!(world.records().await.is_empty());
}

#[tokio::test]
async fn the_challenge_comes_back_for_the_right_token_only() {
    let world = World::new();

    let right = world
        .ask(challenge("acme-cloud", VERIFY_TOKEN, "subscribe"))
        .await;
    let wrong_token = world
        .ask(challenge("acme-cloud", "another", "subscribe"))
        .await;
    let wrong_mode = world
        .ask(challenge("acme-cloud", VERIFY_TOKEN, "unsubscribe"))
        .await;
    let nothing = Request::get("/webhooks/meta/acme-cloud")
        .body(Body::empty())
        .unwrap();
    let nothing = world.ask(nothing).await;

    assert_eq!(
        (right.status.as_u16(), right.text.as_str()),
        (200, "1158201444")
    );
    assert_eq!(right.headers["content-type"], "text/plain");
    for answer in [wrong_token, wrong_mode, nothing] {
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (403, ""));
    }
}

#[tokio::test]
async fn a_later_status_of_a_published_message_goes_where_the_message_went() {
    let world = World::new();
    let message = json!({"event": "message:sent", "rooms": ["user:7"], "data": {"message": {
        "id": switchboard_ingest::message_id(&tenant("acme"), "wamid.FAKE-OUT-34"), "contactId": "k",
        "whatsappAccountId": "w", "direction": "Outbound", "type": "Text", "status": "Sent",
    }}});
    world.publish(&message).await;
    let mut body = bodies::json("status-delivered");
    body["entry"][0]["changes"][0]["value"]["statuses"][0]["id"] = "wamid.FAKE-OUT-34".into();

    world.webhook("acme-cloud", body.to_string()).await;

    let records = world.records().await;
    let delivered: Vec<_> = records[1].audience().rooms.iter().map(Room::name).collect();
    assert_eq!(delivered, ["user:7"]);
}

#[tokio::test]
async fn what_meta_tells_of_a_message_keeps_the_rooms_that_its_producer_chose() {
    let world = World::new();
    let message = json!({"event": "message:sent", "addRooms": ["user:7"], "data": {"message": {
        "id": switchboard_ingest::message_id(&tenant("acme"), "wamid.FAKE-OUT-34"),
        "contactId": "crm-contact", "whatsappAccountId": "account-1",
        "direction": "Outbound", "type": "Text", "status": "Queued",
    }}});
    world.publish(&message).await;

    for name in ["status-sent", "status-delivered"] {
        let mut body = bodies::json(name);
        body["entry"][0]["changes"][0]["value"]["statuses"][0]["id"] = "wamid.FAKE-OUT-34".into();
        world.webhook("acme-cloud", body.to_string()).await;
    }

    let records = world.records().await;
    for (index, name) in [
        (0, "message:sent"),
        (1, "message:sent"),
        (3, "message:delivered"),
    ] {
        let event = &records[index];
        let rooms: Vec<_> = event.audience().rooms.iter().map(Room::name).collect();
        assert_eq!(event.name(), name);
        assert_eq!(
            rooms,
            ["whatsapp:account-1", "contact:crm-contact", "user:7"]
        );
    }
}

#[tokio::test]
async fn an_account_that_is_no_room_is_refused_without_harm_to_the_rest() {
    let world = World::new();
    let mut body = bodies::json("batch-mixed");
    let metadata = &mut body["entry"][0]["changes"][0]["value"]["metadata"];
    metadata["phone_number_id"] = "account-1:link".into();

    let answer = world.webhook("open-cloud", body.to_string()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(world.records().await.len(), 6);
    let refused = world.ingest.stats().counts().refused;
    assert_eq!(refused.values().sum::<u64>(), 2, "{refused:?}");
}

fn challenge(endpoint: &str, token: &str, mode: &str) -> Request<Body> {
    let query = format!("hub.mode={mode}&hub.verify_token={token}&hub.challenge=1158201444");
    Request::get(format!("/webhooks/meta/{endpoint}?{query}"))
        .body(Body::empty())
        .unwrap()
}
