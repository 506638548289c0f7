//! API keys that are made, listed and revoked while the server runs, and what each is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use switchboard_event::{Catalogue, CatalogueConfig, Clock, TenantId};
use switchboard_ingest::{Config, Endpoints, Ingest, Parts, ProducerLimits};

use crate::world::{ACME_ADMIN_KEY, ACME_KEY, ADMIN_KEY, Answer, World, now, paused, tenant};

#[tokio::test]
async fn a_key_that_is_made_publishes_until_it_is_revoked() {
    let world = World::new();

    let made = create(&world, ADMIN_KEY, &json!({"name": "erp", "tenant": "acme"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert_eq!(made["scopes"], json!(["publish"]));
    assert_eq!(world.publish_as(key, &paused("a")).await.status, 202);

    let id = made["id"].as_str().unwrap();
    assert_eq!(ask(&world, "DELETE", id, ADMIN_KEY).await.status, 204);

    let refused = world.publish_as(key, &paused("b")).await;
    refused.assert_problem(401, "unauthorized", None);
    let again = ask(&world, "DELETE", id, ADMIN_KEY).await;
    again.assert_problem(404, "unknown_producer", None);
}

#[tokio::test]
async fn what_one_node_makes_and_revokes_another_one_learns() {
    let world = World::new();
    let other = other_node(&world);
    let key = make(&world, &json!({"name": "erp", "tenant": "acme"})).await;
    assert!(other.producer(None, &bearer(&key)).is_err());

    other.learn_keys().await.unwrap();
    assert_eq!(other.producer(None, &bearer(&key)).unwrap().name(), "erp");

    let id = list(&world, ADMIN_KEY).await[4]["id"].clone();
    assert_eq!(
        ask(&world, "DELETE", id.as_str().unwrap(), ADMIN_KEY)
            .await
            .status,
        204
    );
    other.learn_keys().await.unwrap();
    assert!(other.producer(None, &bearer(&key)).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_follows_learns_within_a_second() {
    let world = World::new();
    let other = other_node(&world);
    let following = tokio::spawn({
        let other = other.clone();
        async move { other.follow_keys().await }
    });
    let key = make(&world, &json!({"name": "erp", "tenant": "acme"})).await;

    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(other.producer(None, &bearer(&key)).is_ok());
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn when_a_key_was_used_is_known_on_every_node_after_a_minute() {
    let world = World::new();
    let other = other_node(&world);
    world.publish(&paused("a")).await;
    assert_eq!(
        list(&world, ADMIN_KEY).await[0]["lastUsedAt"],
        "2026-01-15T10:00:00.000Z"
    );
    let following = tokio::spawn({
        let ingest = world.ingest.clone();
        async move { ingest.follow_keys().await }
    });

    tokio::time::sleep(Duration::from_secs(61)).await;

    let seen = list_at(&other, ADMIN_KEY).await;
    assert_eq!(seen[0]["lastUsedAt"], "2026-01-15T10:00:00.000Z");
    assert_eq!(seen[1]["lastUsedAt"], Value::Null);
    following.abort();
}

#[tokio::test]
async fn keys_are_listed_without_themselves() {
    let world = World::new();
    let wish = json!({"name": "erp", "tenant": "acme", "scopes": ["read", "publish", "read"]});
    let key = make(&world, &wish).await;

    let listed = list(&world, ADMIN_KEY).await;

    assert_eq!(listed.as_array().unwrap().len(), 5);
    assert_eq!(
        (
            &listed[0]["name"],
            &listed[0]["source"],
            &listed[0]["createdAt"]
        ),
        (&json!("acme-backend"), &json!("settings"), &Value::Null)
    );
    assert_eq!(
        (
            &listed[4]["name"],
            &listed[4]["source"],
            &listed[4]["createdAt"]
        ),
        (
            &json!("erp"),
            &json!("api"),
            &json!("2026-01-15T10:00:00.000Z")
        )
    );
    assert_eq!(listed[4]["scopes"], json!(["publish", "read"]));
    assert!(!listed.to_string().contains(&key));
    assert!(listed[4].get("key").is_none());
}

#[tokio::test]
async fn the_admin_of_a_tenant_sees_and_makes_keys_of_that_tenant_only() {
    let world = World::new();
    make(&world, &json!({"name": "theirs", "tenant": "globex"})).await;

    let own = create(&world, ACME_ADMIN_KEY, &json!({"name": "ours"})).await;
    assert_eq!(own.json()["tenant"], "acme", "{}", own.text);
    for tenant in ["globex", "*"] {
        let wish = json!({"name": "mine", "tenant": tenant});
        let refused = create(&world, ACME_ADMIN_KEY, &wish).await;
        refused.assert_problem(403, "other_tenant", Some("tenant"));
    }
    let listed = list(&world, ACME_ADMIN_KEY).await;
    let tenants: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["tenant"])
        .collect();
    assert_eq!(tenants, ["acme", "acme", "acme"]);
    let theirs = list(&world, ADMIN_KEY).await[4]["id"].clone();
    let refused = ask(&world, "DELETE", theirs.as_str().unwrap(), ACME_ADMIN_KEY).await;
    refused.assert_problem(404, "unknown_producer", None);
}

#[tokio::test]
async fn a_key_does_nothing_that_it_has_no_scope_for() {
    let world = World::new();
    let wish = json!({"name": "n", "tenant": "acme"});

    let refused = create(&world, ACME_KEY, &wish).await;
    refused.assert_problem(403, "forbidden", None);
    ask(&world, "GET", "", ACME_KEY)
        .await
        .assert_problem(403, "forbidden", None);
    let refused = ask(&world, "DELETE", "key_0000000000000000", ACME_KEY).await;
    refused.assert_problem(403, "forbidden", None);
    let refused = world.publish_as(ACME_ADMIN_KEY, &paused("a")).await;
    refused.assert_problem(403, "forbidden", None);
    assert!(world.records().await.is_empty());
}

#[tokio::test]
async fn a_key_that_was_made_without_a_word_about_it_reads_nothing() {
    let world = World::new();
    let key = make(&world, &json!({"name": "erp", "tenant": "acme"})).await;

    for path in [
        "/v1/events?room=contact:42",
        "/v1/events/some-event/receipt",
    ] {
        let request = Request::get(path)
            .header("authorization", format!("Bearer {key}"))
            .body(Body::empty());
        let refused = world.ask(request.unwrap()).await;
        refused.assert_problem(403, "forbidden", None);
    }
}

#[tokio::test]
async fn a_wish_that_makes_no_key_says_what_is_wrong() {
    let world = World::new();
    for (wish, field) in [
        (json!({"tenant": "acme"}), Some("name")),
        (
            json!({"name": "n", "tenant": "acme", "scope": "read"}),
            Some("scope"),
        ),
        (
            json!({"name": "n", "tenant": "acme", "scopes": ["write"]}),
            Some("scopes"),
        ),
        (
            json!({"name": "n", "tenant": "acme", "scopes": []}),
            Some("scopes"),
        ),
        (json!({"name": "", "tenant": "acme"}), Some("name")),
        (json!({"name": "a\nb", "tenant": "acme"}), Some("name")),
        (
            json!({"name": "n".repeat(65), "tenant": "acme"}),
            Some("name"),
        ),
        (json!({"name": "n"}), Some("tenant")),
        (json!({"name": "n", "tenant": "a b"}), Some("tenant")),
        (json!({"name": "n", "tenant": "*system"}), Some("tenant")),
    ] {
        let refused = create(&world, ADMIN_KEY, &wish).await;
        refused.assert_problem(422, "invalid_producer", field);
    }
    let refused = request(&world.ingest, "POST", "", ADMIN_KEY, "{").await;
    refused.assert_problem(400, "malformed_json", None);
    assert_eq!(list(&world, ADMIN_KEY).await.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn with_a_single_tenant_a_key_is_for_that_one() {
    let world = World::new();
    let node = node(&world, Some(tenant("acme")));
    let wish = |tenant: Option<&str>| match tenant {
        None => json!({"name": "n"}).to_string(),
        Some(tenant) => json!({"name": "n", "tenant": tenant}).to_string(),
    };

    let made = request(&node, "POST", "", ADMIN_KEY, &wish(None)).await;
    assert_eq!(made.json()["tenant"], "acme", "{}", made.text);
    for other in ["globex", "*"] {
        let refused = request(&node, "POST", "", ADMIN_KEY, &wish(Some(other))).await;
        refused.assert_problem(422, "invalid_producer", Some("tenant"));
    }
}

#[tokio::test]
async fn two_nodes_that_make_keys_at_once_undo_nothing_of_each_other() {
    let world = World::new();
    let other = other_node(&world);
    let wish = json!({"name": "n", "tenant": "acme"}).to_string();

    let making = (0..6).map(|n| {
        let ingest = if n % 2 == 0 { &world.ingest } else { &other };
        let (ingest, wish) = (ingest.clone(), wish.clone());
        tokio::spawn(async move { request(&ingest, "POST", "", ADMIN_KEY, &wish).await.status })
    });
    for made in making.collect::<Vec<_>>() {
        assert_eq!(made.await.unwrap(), 201);
    }

    assert_eq!(
        list(&world, ADMIN_KEY).await.as_array().unwrap().len(),
        4 + 6
    );
}

#[tokio::test]
async fn a_key_of_the_settings_is_revoked_in_the_settings() {
    let world = World::new();
    let id = list(&world, ADMIN_KEY).await[0]["id"].clone();

    let refused = ask(&world, "DELETE", id.as_str().unwrap(), ADMIN_KEY).await;
    refused.assert_problem(409, "producer_of_settings", None);
    world.ingest.set_keys(Vec::new());

    let refused = world.publish(&paused("a")).await;
    refused.assert_problem(401, "unauthorized", None);
}

#[tokio::test]
async fn the_tenant_that_is_nobodys_is_no_producers_either() {
    let world = World::new();
    let mut draft = paused("a");
    draft["tenant"] = "*system".into();

    let refused = world.publish_as(crate::world::EVERYONE_KEY, &draft).await;

    refused.assert_problem(422, "invalid_tenant", Some("tenant"));
}

#[tokio::test]
async fn too_many_requests_by_one_key_are_refused_and_those_by_others_are_not() {
    let world = limited("1/m burst 2", "off");

    assert_eq!(world.publish(&paused("a")).await.status, 202);
    assert_eq!(world.publish(&paused("b")).await.status, 202);
    let refused = world.publish(&paused("c")).await;

    refused.assert_problem(429, "rate_limited", None);
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(ask(&world, "GET", "", ADMIN_KEY).await.status, 200);
    assert_eq!(world.ingest.counts().limited["producer_requests"], 1);
}

#[tokio::test]
async fn too_many_events_by_one_key_are_refused_as_a_whole() {
    let world = limited("off", "1/s burst 3");

    let many = json!([paused("a"), paused("b")]);
    assert_eq!(world.publish(&many).await.status, 202);
    let refused = world.publish(&json!([paused("c"), paused("d")])).await;

    refused.assert_problem(429, "rate_limited", None);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.publish(&paused("e")).await.status, 202);
    assert_eq!(world.records().await.len(), 3);
    assert_eq!(world.ingest.counts().limited["producer_events"], 1);
}

#[tokio::test]
async fn who_comes_with_too_many_unknown_keys_is_looked_at_no_more_and_others_are() {
    let world = World::with_config(Config {
        limits: ProducerLimits {
            unknown_keys: "1/m burst 2".parse().unwrap(),
            ..ProducerLimits::default()
        },
        ..Config::default()
    });
    let (guesser, neighbour) = ("2001:db8::1", "2001:db8::2");

    // A good key takes nothing, however often.
    for _ in 0..5 {
        assert_eq!(from(&world, guesser, ADMIN_KEY).await.status, 200);
    }
    for _ in 0..2 {
        let refused = from(&world, guesser, "guess").await;
        refused.assert_problem(401, "unauthorized", None);
    }
    for (address, key) in [
        (guesser, "guess"),
        (guesser, ADMIN_KEY),
        (neighbour, ADMIN_KEY),
    ] {
        let refused = from(&world, address, key).await;
        refused.assert_problem(429, "rate_limited", None);
        assert_eq!(refused.headers["retry-after"], "60");
    }

    for other in ["2001:db8:0:1::1", "192.0.2.1"] {
        assert_eq!(from(&world, other, ADMIN_KEY).await.status, 200);
    }
    let limited = world.ingest.counts().limited["unknown_keys_per_address"];
    assert_eq!(limited, 3);
}

fn limited(requests: &str, events: &str) -> World {
    World::with_config(Config {
        limits: ProducerLimits {
            requests: requests.parse().unwrap(),
            events: events.parse().unwrap(),
            ..ProducerLimits::default()
        },
        ..Config::default()
    })
}

/// A request from an address, with a key.
async fn from(world: &World, address: &str, key: &str) -> Answer {
    let request = Request::get("/v1/producers")
        .header("authorization", format!("Bearer {key}"))
        .extension(SocketAddr::new(address.parse().unwrap(), 1))
        .body(Body::empty())
        .unwrap();
    world.ask(request).await
}

/// Another node on the same journal, with the same settings.
fn other_node(world: &World) -> Ingest {
    node(world, None)
}

fn node(world: &World, single_tenant: Option<TenantId>) -> Ingest {
    Ingest::new(Parts {
        journal: Arc::clone(&world.journal) as _,
        fleeting: Arc::clone(&world.journal) as _,
        catalogue: Arc::new(Catalogue::new(CatalogueConfig::default()).unwrap()),
        keys: crate::world::keys(),
        single_tenant,
        endpoints: Endpoints::default(),
        clock: Clock::new(now),
        config: Config::default(),
    })
}

async fn make(world: &World, wish: &Value) -> String {
    let made = create(world, ADMIN_KEY, wish).await;
    made.json()["key"].as_str().unwrap().to_owned()
}

async fn create(world: &World, key: &str, wish: &Value) -> Answer {
    request(&world.ingest, "POST", "", key, &wish.to_string()).await
}

async fn list(world: &World, key: &str) -> Value {
    list_at(&world.ingest, key).await
}

async fn list_at(ingest: &Ingest, key: &str) -> Value {
    request(ingest, "GET", "", key, "").await.json()["producers"].clone()
}

async fn ask(world: &World, method: &str, id: &str, key: &str) -> Answer {
    request(&world.ingest, method, id, key, "").await
}

async fn request(ingest: &Ingest, method: &str, id: &str, key: &str, body: &str) -> Answer {
    let path = if id.is_empty() { "" } else { "/" };
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/producers{path}{id}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    World::ask_of(ingest, request).await
}

fn bearer(key: &str) -> http::HeaderMap {
    let value = format!("Bearer {key}").parse().unwrap();
    [(http::header::AUTHORIZATION, value)].into_iter().collect()
}
