use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;
use switchboard_event::payload::ContactDeleted;
use switchboard_journal::OpenError;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::emitter::EmitError;
use crate::listener;
use crate::readiness::Status;
use crate::settings::Environment;

#[tokio::test]
async fn a_server_publishes_and_says_how_it_is_until_it_is_shut_down() {
    let server = start("").await;
    let draft = Draft::new("contact:deleted", json(r#"{"contactId":"42"}"#));

    let outcomes = server
        .publish(&"acme".parse().unwrap(), vec![draft])
        .await
        .unwrap();

    assert_eq!(
        outcomes[0]
            .as_ref()
            .unwrap()
            .position
            .unwrap()
            .offset
            .to_string(),
        "1"
    );
    let stats = server.connection_stats();
    assert_eq!((stats.connected, stats.rooms, stats.users), (0, 0, 0));
    let shared = Arc::clone(&server.shared);
    assert_eq!(
        shared.readiness.status(|| shared.journal(), || None),
        Status::Ready
    );
    server.shutdown().await;
    assert_eq!(
        shared.readiness.status(|| shared.journal(), || None),
        Status::Draining
    );
}

#[tokio::test]
async fn a_server_that_is_dropped_lets_go_of_its_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = toml::Value::from(directory.path().display().to_string());
    let settings = settings(&format!("[journal]\npath = {path}"));
    let draft = || Draft::new("contact:deleted", json(r#"{"contactId":"42"}"#));
    let first = Server::start(&settings, bind().await).await.unwrap();
    let tenant = "acme".parse().unwrap();
    first.publish(&tenant, vec![draft()]).await.unwrap();

    drop(first);

    let starting = async {
        loop {
            match Server::start(&settings, bind().await).await {
                Ok(server) => return server,
                Err(StartError::Journal(JournalError::Open(OpenError::InUse { .. }))) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let second = timeout(Duration::from_secs(30), starting).await.unwrap();
    let outcomes = second.publish(&tenant, vec![draft()]).await.unwrap();
    let position = outcomes[0].as_ref().unwrap().position;
    assert_eq!(position.unwrap().offset.to_string(), "2");
    second.shutdown().await;
}

#[tokio::test]
async fn an_event_of_the_settings_is_an_event() {
    let server = start(
        "[catalogue]\nrooms = [\"order\"]\n[[catalogue.events]]\nname = \"order:paid\"\n\
         audience = [\"order:{orderId}\"]",
    )
    .await;
    let drafts = vec![
        Draft::new("order:paid", json(r#"{"orderId":"7"}"#)),
        Draft::new("order:lost", json(r#"{"orderId":"7"}"#)),
    ];

    let outcomes = server
        .publish(&"acme".parse().unwrap(), drafts)
        .await
        .unwrap();

    assert!(outcomes[0].is_ok());
    assert_eq!(
        outcomes[1].as_ref().unwrap_err().refusal.code(),
        "unknown_event"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn an_emitter_publishes_by_feature_and_says_why_not() {
    let server = start("").await;
    let emitter = server.emitter("acme".parse().unwrap());
    let deleted = |id: &str| ContactDeleted {
        contact_id: id.parse().unwrap(),
        timestamp: None,
    };
    let once = emitter.with_id("e-1".parse().unwrap());

    let first = once.contacts().deleted(&deleted("42")).await.unwrap();
    let again = once.contacts().deleted(&deleted("42")).await.unwrap();
    let other = once.contacts().deleted(&deleted("43")).await;
    let strange = emitter.to("order:7".parse().unwrap());
    let nowhere = strange.contacts().deleted(&deleted("42")).await;

    assert_eq!((first.position, first.duplicate), (again.position, false));
    assert!(again.duplicate);
    let code = |outcome: Result<Published, EmitError>| match outcome {
        Err(EmitError::Refused(refused)) => refused.refusal.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(other), "id_reused");
    assert_eq!(code(nowhere), "invalid_room");
    server.shutdown().await;
}

#[test]
fn the_limits_of_bodies_are_those_of_the_settings() {
    let settings = settings("[ingest]\nbody_max = \"2KiB\"\nwebhook_body_max = \"3KiB\"");

    let config = wiring::ingest(&settings);

    assert_eq!(config.body_len_max, 2048);
    assert_eq!(config.webhook_body_len_max, 3072);
}

#[tokio::test]
async fn only_a_bearer_of_an_api_key_is_authorized() {
    let hash = switchboard_ingest::KeyHash::of("sb_key");
    let server = start(&format!(
        "[[producers]]\nname = \"crm\"\ntenant = \"*\"\nkey_sha256 = \"{hash}\"\n\
         scopes = [\"read\"]"
    ))
    .await;
    let authorize = |value: &str| {
        let headers = [(http::header::AUTHORIZATION, value.parse().unwrap())];
        server
            .shared
            .authorize(None, &headers.into_iter().collect())
            .is_ok()
    };

    assert!(authorize("Bearer sb_key"));
    assert!(authorize("bearer sb_key"));
    assert!(!authorize("Basic sb_key"));
    assert!(!authorize("Bearer sb_other"));
    assert!(server.shared.authorize(None, &HeaderMap::new()).is_err());
    server.shutdown().await;
}

/// A server with a journal in memory and `more` settings, on a port of the system's choice.
async fn start(more: &str) -> Server {
    let settings = settings(&format!("[journal]\nkind = \"memory\"\n{more}"));
    Server::start(&settings, bind().await).await.unwrap()
}

fn settings(more: &str) -> Settings {
    let text = format!("[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n{more}");
    let file = Some((Path::new("switchboard.toml"), text.as_str()));
    Settings::from_text(file, &Environment::default()).unwrap()
}

async fn bind() -> TcpListener {
    listener::bind("127.0.0.1", 0).await.unwrap()
}

fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}
