//! A whole producers' side over a journal in memory, and a way to ask it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use switchboard_event::snapshot::{self, SnapshotEntry};
use switchboard_event::{
    Catalogue, CatalogueConfig, Clock, Epoch, Event, Offset, Position, TenantId, Timestamp,
};
use switchboard_ingest::meta::Accounts;
use switchboard_ingest::{
    ApiKey, Config, Endpoints, Ingest, KeyHash, MetaEndpoint, Parts, Reach, Scope,
};
use switchboard_journal::{Fleeting, Journal, MemoryConfig, MemoryJournal};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::logs::LOG;

pub(crate) const ACME_KEY: &str = "key-of-acme";
pub(crate) const EVERYONE_KEY: &str = "key-of-everyone";
pub(crate) const ACME_ADMIN_KEY: &str = "key-of-the-admin-of-acme";
pub(crate) const ADMIN_KEY: &str = "key-of-the-admin";
pub(crate) const APP_SECRET: &str = "fake-app-secret";
pub(crate) const VERIFY_TOKEN: &str = "fake-verify-token";

pub(crate) struct World {
    pub(crate) ingest: Ingest,
    pub(crate) journal: Arc<MemoryJournal>,
    /// How many milliseconds have passed.
    passed: Arc<AtomicI64>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), |journal| journal)
    }

    pub(crate) fn with_config(config: Config) -> Self {
        Self::with(config, |journal| journal)
    }

    /// A world that holds producers to the letter of the contract.
    pub(crate) fn strict() -> Self {
        let catalogue = CatalogueConfig {
            strict: true,
            ..CatalogueConfig::default()
        };
        Self::build(catalogue, Config::default(), |journal| journal)
    }

    /// A world whose ingest sees the journal through `wrap`.
    pub(crate) fn with(
        config: Config,
        wrap: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
    ) -> Self {
        Self::build(CatalogueConfig::default(), config, wrap)
    }

    fn build(
        catalogue: CatalogueConfig,
        config: Config,
        wrap: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
    ) -> Self {
        LazyLock::force(&LOG);
        let passed = Arc::new(AtomicI64::new(0));
        let clock = {
            let passed = Arc::clone(&passed);
            Clock::new(move || Timestamp::from_millis(now().as_millis() + passed.load(Relaxed)))
        };
        let journal = Arc::new(MemoryJournal::new(MemoryConfig::new(Epoch::new(7))));
        let ingest = Ingest::new(Parts {
            journal: wrap(Arc::clone(&journal) as Arc<dyn Journal>),
            fleeting: Arc::clone(&journal) as Arc<dyn Fleeting>,
            catalogue: Arc::new(Catalogue::new(catalogue).unwrap()),
            keys: keys(),
            single_tenant: None,
            endpoints: Endpoints {
                meta: BTreeMap::from([
                    ("acme-cloud".to_owned(), endpoint("acme")),
                    ("globex-cloud".to_owned(), endpoint("globex")),
                    ("open-cloud".to_owned(), open_endpoint("acme")),
                ]),
            },
            clock,
            config,
        });
        Self {
            ingest,
            journal,
            passed,
        }
    }

    /// Tells what had to wait when its time has come, until this is dropped.
    pub(crate) fn watched(&self) -> JoinSet<()> {
        watched(&self.ingest)
    }

    /// The ingest of a process that begins with what the journal holds.
    pub(crate) fn successor(&self) -> Ingest {
        let passed = Arc::clone(&self.passed);
        let clock =
            Clock::new(move || Timestamp::from_millis(now().as_millis() + passed.load(Relaxed)));
        Ingest::new(Parts {
            journal: Arc::clone(&self.journal) as Arc<dyn Journal>,
            fleeting: Arc::clone(&self.journal) as Arc<dyn Fleeting>,
            catalogue: Arc::new(Catalogue::new(CatalogueConfig::default()).unwrap()),
            keys: keys(),
            single_tenant: None,
            endpoints: Endpoints {
                meta: BTreeMap::from([("acme-cloud".to_owned(), endpoint("acme"))]),
            },
            clock,
            config: Config::default(),
        })
    }

    /// Lets time pass for the ingest, and so for its journal.
    pub(crate) fn pass(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        self.passed.fetch_add(millis, Relaxed);
    }

    /// What time it is for the ingest.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(now().as_millis() + self.passed.load(Relaxed))
    }

    /// Posts drafts as the backend of acme.
    pub(crate) async fn publish(&self, body: &Value) -> Answer {
        self.publish_as(ACME_KEY, body).await
    }

    pub(crate) async fn publish_as(&self, key: &str, body: &Value) -> Answer {
        let request = Request::post("/v1/events")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.ask(request).await
    }

    /// Posts to a route of a campaign as the backend of acme.
    pub(crate) async fn campaign(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(format!("/v1/campaigns/{path}"))
            .header("authorization", format!("Bearer {ACME_KEY}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.ask(request).await
    }

    /// What whoever joins a room is shown, by event.
    pub(crate) async fn shown(&self, room: &str) -> BTreeMap<String, Value> {
        let keys: Vec<_> = snapshot::keys(&room.parse().unwrap())
            .iter()
            .map(|key| key.as_str().parse().unwrap())
            .collect();
        let millis = now().as_millis() + self.passed.load(Relaxed);
        let now = Timestamp::from_millis(millis);
        let values = self.journal.values(&tenant("acme"), &keys, now).await;
        let entries = values.unwrap().into_iter().flatten();
        entries
            .map(|value| {
                let entry = SnapshotEntry::from_bytes(&value.bytes).unwrap();
                let data = serde_json::from_str(entry.data.get()).unwrap();
                (entry.event, data)
            })
            .collect()
    }

    /// The events of the records: names, and payloads without their times.
    pub(crate) async fn told(&self) -> Vec<(String, Value)> {
        let told = self.records().await.into_iter().map(|event| {
            let mut data: Value = serde_json::from_slice(event.data()).unwrap();
            data.as_object_mut().unwrap().remove("timestamp");
            (event.name().to_owned(), data)
        });
        told.collect()
    }

    /// Posts a body as Meta would, to an endpoint of ours.
    pub(crate) async fn webhook(&self, endpoint: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let request = Request::post(format!("/webhooks/meta/{endpoint}"))
            .header("content-type", "application/json")
            .header("x-hub-signature-256", signature(body))
            .body(Body::from(body.to_vec()))
            .unwrap();
        self.ask(request).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        Self::ask_of(&self.ingest, request).await
    }

    /// The same of another node.
    pub(crate) async fn ask_of(ingest: &Ingest, request: Request<Body>) -> Answer {
        let mut router: Router = ingest.router();
        let response = router.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 24).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// The records of every partition, in order.
    pub(crate) async fn records(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for partition in self.journal.partitions().all() {
            let head = self.journal.head(partition).await.unwrap();
            let start = Position {
                epoch: head.epoch,
                offset: Offset::ZERO,
            };
            let mut tail = self.journal.tail(partition, start);
            let mut reached = Offset::ZERO;
            while reached < head.offset {
                for record in tail.next().await.unwrap() {
                    reached = record.position.offset;
                    events.push(record.event.clone());
                }
            }
        }
        events
    }

    /// The names of the events of the records.
    pub(crate) async fn names(&self) -> Vec<String> {
        self.records()
            .await
            .iter()
            .map(|event| event.name().to_owned())
            .collect()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Checks that this is a problem document that says this.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str, field: Option<&str>) {
        let problem = self.json();
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{problem}");
        }
    }
}

pub(crate) fn watched(ingest: &Ingest) -> JoinSet<()> {
    let ingest = ingest.clone();
    let mut watching = JoinSet::new();
    watching.spawn(async move { ingest.watch().await });
    watching
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(crate) fn accounts(name: &str) -> Accounts {
    Accounts {
        tenant: tenant(name),
        by_phone_number: Some(BTreeMap::from([
            ("200000000000001".to_owned(), "account-1".parse().unwrap()),
            ("200000000000002".to_owned(), "account-2".parse().unwrap()),
        ])),
    }
}

pub(crate) fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    let tag = hmac::sign(&key, body);
    let hex = tag
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("sha256={hex}")
}

/// A draft that is taken.
pub(crate) fn paused(id: &str) -> Value {
    json!({"id": id, "event": "campaign:paused", "data": {"campaignId": "c"}})
}

/// A draft that every tenant hears.
pub(crate) fn notification(id: &str) -> Value {
    json!({"id": id, "event": "system:notification", "tenant": "*", "data": {
        "notification": {"type": "info", "title": "Maintenance", "message": "At noon"},
    }})
}

/// A request of the backend of acme, without its body.
pub(crate) fn post() -> http::request::Builder {
    Request::post("/v1/events")
        .header("authorization", format!("Bearer {ACME_KEY}"))
        .header("content-type", "application/json; charset=utf-8")
}

/// 2026-01-15T10:00:00Z.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_768_471_200_000)
}

/// The API keys of the settings.
pub(crate) fn keys() -> Vec<ApiKey> {
    vec![
        key("acme-backend", ACME_KEY, Reach::Tenant(tenant("acme"))),
        key("operator", EVERYONE_KEY, Reach::Everyone),
        admin("acme-admin", ACME_ADMIN_KEY, Reach::Tenant(tenant("acme"))),
        admin("admin", ADMIN_KEY, Reach::Everyone),
    ]
}

fn key(name: &str, key: &str, reach: Reach) -> ApiKey {
    ApiKey {
        name: name.to_owned(),
        hash: KeyHash::of(key),
        reach,
        scopes: vec![Scope::Publish, Scope::Read].try_into().unwrap(),
    }
}

fn admin(name: &str, text: &str, reach: Reach) -> ApiKey {
    ApiKey {
        scopes: vec![Scope::Admin].try_into().unwrap(),
        ..key(name, text, reach)
    }
}

fn endpoint(name: &str) -> MetaEndpoint {
    MetaEndpoint::new(accounts(name), APP_SECRET, VERIFY_TOKEN)
}

/// An endpoint that takes every phone number.
fn open_endpoint(name: &str) -> MetaEndpoint {
    let accounts = Accounts {
        by_phone_number: None,
        ..accounts(name)
    };
    MetaEndpoint::new(accounts, APP_SECRET, VERIFY_TOKEN)
}
