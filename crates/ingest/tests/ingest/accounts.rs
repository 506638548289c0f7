//! The connections of accounts, as a gateway tells them.

use std::time::Duration;

use serde_json::json;
use switchboard_event::Id;
use switchboard_event::machine::connection::{ConnectionState, QrSignal, Signal};
use switchboard_ingest::Config;
use tokio::time::timeout;

use crate::bodies;
use crate::world::{World, tenant, watched};

#[tokio::test]
async fn a_state_is_told_shown_and_told_once() {
    let world = World::new();

    for state in [ConnectionState::Connected, ConnectionState::Connected] {
        world
            .ingest
            .signal(&tenant("acme"), &account(), is(state))
            .await
            .unwrap();
    }

    let told = world.told().await;
    assert_eq!(
        names(&told),
        ["whatsapp:connection:status", "whatsapp:ready"]
    );
    let status = &told[0].1;
    assert_eq!(
        (
            &status["status"],
            &status["detail"],
            &status["action"],
            &status["willRetry"]
        ),
        (
            &json!("Connected"),
            &json!("connected"),
            &json!("none"),
            &json!(false)
        )
    );
    assert_eq!(world.shown("whatsapp:account-1").await.len(), 2);
}

#[tokio::test]
async fn a_code_goes_to_the_inner_room_with_its_end() {
    let world = World::new();
    let code = Signal::Qr(QrSignal {
        code: "SECRET".to_owned(),
        attempt: Some(2),
        expires_at: None,
    });

    world
        .ingest
        .signal(&tenant("acme"), &account(), code)
        .await
        .unwrap();

    let records = world.records().await;
    let rooms: Vec<_> = records[1]
        .audience()
        .rooms
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(records[1].name(), "whatsapp:qr:generated");
    assert_eq!(rooms, ["whatsapp:account-1:link"]);
    let shown = world.shown("whatsapp:account-1:link").await;
    assert_eq!(
        shown["whatsapp:qr:generated"]["expiresAt"],
        "2026-01-15T10:00:20.000Z"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_state_of_a_storm_is_told_after_a_second() {
    let world = World::new();
    let _watching = world.watched();
    for state in [
        ConnectionState::Connected,
        ConnectionState::Reconnecting,
        ConnectionState::Connecting,
    ] {
        world
            .ingest
            .signal(&tenant("acme"), &account(), is(state))
            .await
            .unwrap();
    }
    assert_eq!(world.records().await.len(), 2);

    world.pass(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    until_told(&world, 3).await;
    assert_eq!(world.told().await[2].1["detail"], "connecting");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_waits_when_the_process_ends_is_told_by_the_next_one() {
    let world = World::new();
    for state in [ConnectionState::Connected, ConnectionState::Failed] {
        world
            .ingest
            .signal(&tenant("acme"), &account(), is(state))
            .await
            .unwrap();
    }
    let next = world.successor();
    world.pass(Duration::from_secs(5));

    let _watching = watched(&next);

    until_told(&world, 3).await;
    assert_eq!(world.told().await[2].1["status"], "Failed");
}

#[tokio::test]
async fn what_a_producer_published_is_not_told_again() {
    let world = World::new();
    world
        .publish(&json!({"event": "whatsapp:connection:status", "data": {
            "accountId": "account-1", "status": "Connected",
        }}))
        .await;

    let connected = is(ConnectionState::Connected);
    world
        .ingest
        .signal(&tenant("acme"), &account(), connected)
        .await
        .unwrap();

    assert_eq!(world.records().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_falls_silent_is_stale_until_something_comes_from_it() {
    let world = World::with_config(Config {
        account_silence_max: Some(Duration::from_mins(10)),
        ..Config::default()
    });
    let _watching = world.watched();
    let connected = is(ConnectionState::Connected);
    world
        .ingest
        .signal(&tenant("acme"), &account(), connected)
        .await
        .unwrap();

    world.pass(Duration::from_mins(10));
    tokio::time::sleep(Duration::from_mins(11)).await;
    until_told(&world, 3).await;
    assert_eq!(world.told().await[2].1["stale"], true);

    world.pass(Duration::from_mins(1));
    world
        .webhook("acme-cloud", bodies::bytes("message-text"))
        .await;

    let told = world.told().await;
    assert_eq!(
        names(&told[3..]),
        ["message:received", "whatsapp:connection:status"]
    );
    assert_eq!(told[4].1.get("stale"), None);
}

async fn until_told(world: &World, count: usize) {
    let told = async {
        while world.records().await.len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_mins(1), told).await.unwrap();
}

fn names(told: &[(String, serde_json::Value)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

fn is(state: ConnectionState) -> Signal {
    Signal::State {
        state,
        reason: None,
        reason_code: None,
        account: None,
    }
}

fn account() -> Id {
    "account-1".parse().unwrap()
}
