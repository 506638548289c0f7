//! A journal that is slow: what waits for it is bounded, and what is begun has its outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::Value;
use switchboard_ingest::Config;
use switchboard_journal::Journal;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use crate::scripted::Scripted;
use crate::world::{ACME_KEY, Answer, EVERYONE_KEY, World, notification, paused};

#[tokio::test]
async fn what_is_beyond_what_may_wait_is_a_503_and_nothing_of_it_happens() {
    for (config, limit) in [
        (
            Config {
                appends_max: 1,
                ..Config::default()
            },
            "appends_max",
        ),
        (
            Config {
                append_bytes_max: 1024,
                ..Config::default()
            },
            "append_bytes_max",
        ),
    ] {
        let (world, turns) = slow(config);
        let first = publish(&world, ACME_KEY, &paused("first"));
        in_flight(&world, 1).await;

        let second = world.publish(&paused("second")).await;
        let webhook = world
            .webhook("acme-cloud", crate::bodies::bytes("message-text"))
            .await;
        turns.add_permits(10);

        for answer in [second, webhook] {
            answer.assert_problem(503, "overloaded", None);
            assert_eq!(answer.headers["retry-after"], "1");
        }
        assert_eq!(first.await.unwrap().status, 202);
        let ids = world.records().await;
        assert_eq!(
            ids.iter()
                .map(|event| event.id().as_str())
                .collect::<Vec<_>>(),
            ["first"]
        );
        let counts = world.ingest.counts();
        assert_eq!(counts.overloaded[limit], 2);
        assert_eq!((counts.in_flight.appends, counts.in_flight.bytes), (0, 0));
        assert_eq!(world.publish(&paused("second")).await.status, 202);
    }
}

#[tokio::test]
async fn an_append_whose_client_went_away_is_found_again_by_its_id() {
    let (world, turns) = slow(Config::default());
    let gone = publish(&world, ACME_KEY, &paused("one"));
    in_flight(&world, 1).await;

    gone.abort();
    assert!(gone.await.is_err());
    turns.add_permits(10);
    in_flight(&world, 0).await;
    let again = world.publish(&paused("one")).await;

    assert_eq!(again.status, 202);
    assert_eq!(again.json()["position"], "0000000000000007-1");
    assert_eq!(world.records().await.len(), 1);
    assert_eq!(world.ingest.counts().duplicate, 1);
}

#[tokio::test]
async fn what_is_for_every_tenant_is_not_half_done_when_its_client_goes_away() {
    let (world, turns) = slow(Config::default());
    let gone = publish(&world, EVERYONE_KEY, &notification("all"));
    in_flight(&world, 1).await;
    turns.add_permits(3);
    until(async || world.records().await.len() == 3).await;

    gone.abort();
    assert!(gone.await.is_err());
    turns.add_permits(100);
    in_flight(&world, 0).await;

    let partitions = usize::from(world.journal.partitions().count().get());
    assert_eq!(world.records().await.len(), partitions);
}

/// A world whose journal appends once for each permit.
fn slow(config: Config) -> (World, Arc<Semaphore>) {
    let turns = Arc::new(Semaphore::new(0));
    let of_journal = Arc::clone(&turns);
    let world = World::with(config, |journal| {
        Arc::new(Scripted {
            journal,
            failures: Mutex::default(),
            appends: Arc::default(),
            turns: of_journal,
        })
    });
    (world, turns)
}

/// A client, which goes away when it is aborted.
fn publish(world: &World, key: &str, draft: &Value) -> JoinHandle<Answer> {
    let request = Request::post("/v1/events")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(draft.to_string()))
        .unwrap();
    let ingest = world.ingest.clone();
    tokio::spawn(async move { World::ask_of(&ingest, request).await })
}

async fn in_flight(world: &World, appends: usize) {
    until(async || world.ingest.counts().in_flight.appends == appends).await;
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap();
}
