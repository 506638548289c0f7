//! `POST /v1/events` over a journal in memory.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use switchboard_event::{Room, TenantId};
use switchboard_journal::{Fleeting, Heard, Journal};

use crate::world::{EVERYONE_KEY, World, notification, now, paused, post, tenant};

#[tokio::test]
async fn one_draft_is_answered_with_its_id_and_position_once_it_is_a_record() {
    let world = World::new();

    let answer = world.publish(&paused("one")).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(answer["id"], "one");
    assert_eq!(answer["position"], "0000000000000007-1");
    assert_eq!(answer.as_object().unwrap().len(), 2);
    assert_eq!(world.names().await, ["campaign:paused"]);
}

#[tokio::test]
async fn a_draft_without_an_id_gets_one_of_twenty_characters() {
    let world = World::new();
    let draft = json!({"event": "campaign:paused", "data": {"campaignId": "c"}});

    let first = world.publish(&draft).await.json();
    let second = world.publish(&draft).await.json();

    assert_eq!(first["id"].as_str().unwrap().len(), 20);
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test]
async fn drafts_that_are_none_name_their_field() {
    let world = World::new();
    for (draft, status, code, field) in [
        (
            json!({"event": "campaign:paused", "data": {}, "room": "x"}),
            422,
            "unknown_field",
            "room",
        ),
        (json!({"data": {}}), 422, "missing_field", "event"),
        (
            json!({"event": "campaign:paused", "data": {}, "id": "a b"}),
            422,
            "invalid_field",
            "id",
        ),
        (
            json!({"event": "campaign:exploded", "data": {}}),
            422,
            "unknown_event",
            "event",
        ),
        (
            json!({"event": "campaign:paused", "data": {}}),
            422,
            "missing_field",
            "data.campaignId",
        ),
        (
            json!({"event": "campaign:paused", "data": {"campaignId": "c"}, "tenant": "globex"}),
            403,
            "other_tenant",
            "tenant",
        ),
        (
            json!({"event": "campaign:paused", "data": {"campaignId": "c"}, "tenant": "*"}),
            403,
            "other_tenant",
            "tenant",
        ),
    ] {
        world
            .publish(&draft)
            .await
            .assert_problem(status, code, Some(field));
    }
    let unknown = json!({"event": "message:read", "data": {"messageId": "nobody-knows"}});
    world
        .publish(&unknown)
        .await
        .assert_problem(422, "no_audience", Some("rooms"));
    assert!(world.records().await.is_empty());
    let counts = world.ingest.stats().counts();
    for by_code in [counts.refused, counts.requests] {
        assert_eq!(by_code["other_tenant"], 2);
        assert_eq!(by_code["no_audience"], 1);
    }
}

#[tokio::test]
async fn a_key_for_all_tenants_publishes_for_the_one_that_the_draft_names() {
    let world = World::new();
    let mut draft = paused("one");

    world.publish_as(EVERYONE_KEY, &draft).await.assert_problem(
        422,
        "tenant_required",
        Some("tenant"),
    );
    draft["tenant"] = "glo bex".into();
    world.publish_as(EVERYONE_KEY, &draft).await.assert_problem(
        422,
        "invalid_tenant",
        Some("tenant"),
    );
    draft["tenant"] = "*".into();
    world.publish_as(EVERYONE_KEY, &draft).await.assert_problem(
        422,
        "other_tenant",
        Some("tenant"),
    );
    draft["tenant"] = "globex".into();
    assert_eq!(world.publish_as(EVERYONE_KEY, &draft).await.status, 202);

    let records = world.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(*records[0].tenant(), tenant("globex"));
}

#[tokio::test]
async fn what_every_tenant_hears_is_a_record_of_each_partition_under_one_id() {
    let world = World::new();
    let draft = notification("everyone");

    let first = world.publish_as(EVERYONE_KEY, &draft).await;
    let second = world.publish_as(EVERYONE_KEY, &draft).await;

    assert_eq!(first.status, 202, "{}", first.text);
    assert_eq!(first.text, second.text);
    let records = world.records().await;
    assert_eq!(records.len(), 16);
    assert!(
        records
            .iter()
            .all(|event| event.tenant().is_everyone() && event.id().as_str() == "everyone")
    );
}

#[tokio::test]
async fn an_array_of_several_tenants_is_answered_in_its_own_order() {
    let world = World::new();
    let with_tenant = |id: &str, tenant: &str| {
        let mut draft = paused(id);
        draft["tenant"] = tenant.into();
        draft
    };
    let drafts = json!([
        with_tenant("1", "acme"),
        with_tenant("2", "globex"),
        paused("3"),
        with_tenant("4", "acme"),
        notification("5"),
        "six",
    ]);

    let answer = world.publish_as(EVERYONE_KEY, &drafts).await;

    assert_eq!(answer.status, 207);
    let results = answer.json()["results"].clone();
    let ids: Vec<_> = (0..5)
        .map(|index| results[index]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
    assert_eq!(results[2]["error"]["code"], "tenant_required");
    assert_eq!(results[5]["error"]["code"], "invalid_draft");
    assert!(results[5].get("id").is_none());
    assert_eq!(world.records().await.len(), 3 + 16);
}

#[tokio::test]
async fn an_event_for_every_tenant_has_an_id() {
    let world = World::new();
    let mut draft = notification("x");
    draft.as_object_mut().unwrap().remove("id");
    let with_key = Request::post("/v1/events")
        .header("authorization", format!("Bearer {EVERYONE_KEY}"))
        .header("content-type", "application/json")
        .header("idempotency-key", "key-1")
        .body(Body::from(draft.to_string()))
        .unwrap();

    let without = world.publish_as(EVERYONE_KEY, &draft).await;
    let among_others = world
        .publish_as(EVERYONE_KEY, &json!([draft, notification("y")]))
        .await;

    without.assert_problem(422, "id_required", Some("id"));
    let refused = among_others.json()["results"][0].clone();
    assert_eq!(refused["error"]["code"], "id_required");
    assert_eq!(refused["error"]["field"], "id");
    assert_eq!(world.ask(with_key).await.status, 202);
    let partitions = world.journal.partitions().all().count();
    assert_eq!(world.records().await.len(), 2 * partitions);
}

#[tokio::test]
async fn an_array_says_how_much_of_it_was_taken() {
    let world = World::new();
    let bad = json!({"id": "bad", "event": "campaign:paused", "data": {}});

    let all = world.publish(&json!([paused("1"), paused("2")])).await;
    let some = world.publish(&json!([paused("3"), bad, paused("4")])).await;
    let none = world.publish(&json!([bad, bad])).await;

    assert_eq!(
        [
            all.status.as_u16(),
            some.status.as_u16(),
            none.status.as_u16()
        ],
        [202, 207, 422]
    );
    let refused = some.json()["results"][1].clone();
    assert_eq!(refused["id"], "bad");
    assert_eq!(refused["error"]["code"], "missing_field");
    assert_eq!(refused["error"]["field"], "data.campaignId");
    assert!(refused["error"]["message"].is_string());
    assert_eq!(world.records().await.len(), 4);
}

#[tokio::test]
async fn the_same_id_is_one_event_and_another_body_under_it_is_a_conflict() {
    let world = World::new();
    let other = json!({"id": "one", "event": "campaign:resumed", "data": {"campaignId": "c"}});

    let first = world.publish(&paused("one")).await;
    let again = world.publish(&paused("one")).await;
    let both = world.publish(&json!([paused("one"), paused("one")])).await;

    assert_eq!(first.text, again.text);
    assert_eq!(both.status, 202);
    world
        .publish(&other)
        .await
        .assert_problem(409, "id_reused", Some("id"));
    assert_eq!(world.records().await.len(), 1);
    let counts = world.ingest.stats().counts();
    assert_eq!((counts.accepted, counts.duplicate), (1, 3));
}

#[tokio::test]
async fn an_idempotency_key_is_the_id_of_its_one_draft() {
    let world = World::new();
    let draft = json!({"event": "campaign:paused", "data": {"campaignId": "c"}});
    let with_key = |key: &str, body: &Value| {
        post()
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .unwrap()
    };

    let bare = world.ask(with_key("key-1", &draft)).await;
    let quoted = world.ask(with_key("\"key-1\"", &draft)).await;
    let equal = world.ask(with_key("one", &paused("one"))).await;
    let different = world.ask(with_key("two", &paused("one"))).await;
    let array = world.ask(with_key("three", &json!([draft]))).await;
    let invalid = world.ask(with_key("a b", &draft)).await;

    assert_eq!(bare.json()["id"], "key-1");
    assert_eq!(bare.text, quoted.text);
    assert_eq!(equal.status, 202);
    different.assert_problem(400, "idempotency_key_mismatch", Some("id"));
    array.assert_problem(400, "idempotency_key_for_many", None);
    invalid.assert_problem(400, "invalid_idempotency_key", None);
    assert_eq!(world.records().await.len(), 2);
}

#[tokio::test]
async fn a_status_goes_where_its_message_went_also_within_one_array() {
    let world = World::new();
    let sent = |id: &str| {
        json!({"event": "message:sent", "addRooms": ["user:9"], "data": {"message": {
            "id": id, "contactId": "k", "whatsappAccountId": "w", "direction": "Outbound", "type": "Text", "status": "Sent",
        }}})
    };
    let read = |id: &str| json!({"event": "message:read", "data": {"messageId": id}});

    world.publish(&sent("m-1")).await;
    world.publish(&read("m-1")).await;
    let together = world
        .publish(&json!([sent("m-2"), read("m-2"), read("m-3")]))
        .await;

    assert_eq!(
        together.json()["results"][2]["error"]["code"],
        "no_audience"
    );
    let records = world.records().await;
    assert_eq!(records.len(), 4);
    for event in records {
        let rooms: Vec<_> = event.audience().rooms.iter().map(Room::name).collect();
        assert_eq!(rooms, ["whatsapp:w", "contact:k", "user:9"]);
    }
}

#[tokio::test]
async fn a_program_publishes_on_the_same_path() {
    let world = World::new();
    let draft = |json: Value| serde_json::from_value(json).unwrap();

    let mine = world
        .ingest
        .publish(&tenant("acme"), vec![draft(paused("one"))])
        .await
        .unwrap();
    let mut foreign = paused("two");
    foreign["tenant"] = "globex".into();
    let foreign = world
        .ingest
        .publish(&tenant("acme"), vec![draft(foreign)])
        .await
        .unwrap();
    let mut everyone = notification("three");
    everyone.as_object_mut().unwrap().remove("tenant");
    let everyone = world
        .ingest
        .publish(&TenantId::everyone(), vec![draft(everyone)])
        .await
        .unwrap();

    assert_eq!(mine[0].as_ref().unwrap().id.as_str(), "one");
    assert_eq!(
        foreign[0].as_ref().unwrap_err().refusal.code(),
        "other_tenant"
    );
    assert!(everyone[0].is_ok());
    let none = world
        .ingest
        .publish(&tenant("acme"), Vec::new())
        .await
        .unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn what_is_so_for_a_moment_is_passed_on_and_not_stored() {
    let world = World::new();
    let partition = world.journal.partitions().of(&"acme".parse().unwrap());
    let mut listener = world.journal.listen(partition);
    let typing = json!({
        "event": "contact:typing",
        "data": {"contactId": 42, "whatsappAccountId": "1", "isTyping": true},
    });

    let one = world.publish(&typing).await;
    let sent = json!({"event": "contact:deleted", "data": {"contactId": "42"}});
    let wrong = json!({"event": "contact:typing", "data": {"contactId": 42}});
    let many = world.publish(&json!([typing, sent, wrong])).await;

    assert_eq!(one.status, 202);
    let answer = one.json();
    assert!(
        answer["id"].is_string() && answer.get("position").is_none(),
        "{answer}"
    );
    assert_eq!(many.status, 207);
    let answer = many.json();
    let results = answer["results"].as_array().unwrap();
    assert!(results[0].get("position").is_none() && results[0]["id"].is_string());
    assert_eq!(results[1]["position"], "0000000000000007-1");
    assert_eq!(results[2]["error"]["field"], "data.whatsappAccountId");
    for _ in 0..2 {
        let Some(Heard::Event(heard)) = listener.next().await else {
            panic!("nothing was passed on");
        };
        let rooms: Vec<_> = heard.audience.rooms.iter().map(Room::name).collect();
        assert_eq!(rooms, ["whatsapp:1", "contact:42"]);
        let lifetime = heard.expires_at.as_millis() - now().as_millis();
        assert_eq!(lifetime, 25_000);
    }
    let counts = world.ingest.stats().counts();
    assert_eq!((counts.fleeting, counts.accepted), (2, 1));
}
