//! A producers' side over a journal in memory, which is asked as over HTTP.

#![allow(dead_code, reason = "each target asks in its own way")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use switchboard_event::{Catalogue, CatalogueConfig, Clock, Epoch, Offset, TenantId, Timestamp};
use switchboard_ingest::meta::Accounts;
use switchboard_ingest::{
    ApiKey, Config, Endpoints, Ingest, KeyHash, MetaEndpoint, Parts, Reach, Scope,
};
use switchboard_journal::{Fleeting, Journal, MemoryConfig, MemoryJournal};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

/// A node, and a thread to run it on.
pub struct Producers {
    runtime: Runtime,
    journal: Arc<MemoryJournal>,
    router: Router,
    asked: usize,
}

impl Producers {
    /// A node on which nothing has happened yet.
    pub fn new() -> Self {
        let journal = Arc::new(MemoryJournal::new(MemoryConfig::new(Epoch::new(7))));
        let accounts = Accounts {
            tenant: acme(),
            by_phone_number: None,
        };
        let endpoint = MetaEndpoint::new(accounts, SECRET, "verify");
        let ingest = Ingest::new(Parts {
            journal: Arc::clone(&journal) as Arc<dyn Journal>,
            fleeting: Arc::clone(&journal) as Arc<dyn Fleeting>,
            catalogue: Arc::new(Catalogue::new(CatalogueConfig::default()).expect("the contract")),
            keys: vec![ApiKey {
                name: "backend".to_owned(),
                hash: KeyHash::of(KEY),
                reach: Reach::Tenant(acme()),
                scopes: vec![Scope::Publish, Scope::Read, Scope::Admin]
                    .try_into()
                    .expect("several"),
            }],
            single_tenant: None,
            endpoints: Endpoints {
                meta: BTreeMap::from([("cloud".to_owned(), endpoint)]),
            },
            clock: Clock::new(|| Timestamp::from_millis(1_762_336_800_000)),
            config: Config::default(),
        });
        Self {
            runtime: Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            router: ingest.router(),
            journal,
            asked: 0,
        }
    }

    /// Whether so much has happened that a new one takes less memory.
    pub fn is_worn(&self) -> bool {
        self.asked > 1_000
    }

    /// Posts a body as the backend of the tenant, or as Meta.
    pub fn post(&mut self, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body);
        let hex = tag.as_ref().iter();
        let hex = hex.fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let request = Request::post(path)
            .header("authorization", format!("Bearer {KEY}"))
            .header("x-hub-signature-256", format!("sha256={hex}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        self.answer(request)
    }

    /// Asks as the backend of the tenant; `None` if what is asked is no address.
    pub fn get(&mut self, path_and_query: &str) -> Option<(StatusCode, Vec<u8>)> {
        let request = Request::get(path_and_query)
            .header("authorization", format!("Bearer {KEY}"))
            .body(Body::empty());
        Some(self.answer(request.ok()?))
    }

    fn answer(&mut self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        self.asked += 1;
        self.runtime.block_on(async {
            let response = self.router.call(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, 1 << 24).await.expect("its body");
            (parts.status, body.to_vec())
        })
    }

    /// How many records there are of the tenant, and of whoever shares its partition.
    pub fn records(&self) -> Offset {
        let partition = self.journal.partitions().of(&acme());
        let head = self.runtime.block_on(self.journal.head(partition));
        head.expect("memory is readable").offset
    }
}

fn acme() -> TenantId {
    "acme".parse().expect("a tenant")
}

const KEY: &str = "key-of-acme";
const SECRET: &str = "app-secret";
