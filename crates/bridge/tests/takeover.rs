//! Two nodes on one journal, and a real Redis: whoever dies, what was said becomes records.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what goes wrong in them has failed"
)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use switchboard_bridge::{Bridge, Config, Connection, Kind, Mapping, Parts, Validate};
use switchboard_dialect::classic;
use switchboard_event::{Catalogue, CatalogueConfig, Clock, Epoch, Timestamp};
use switchboard_ingest::{Endpoints, Ingest};
use switchboard_journal::{Journal as _, MemoryConfig, MemoryJournal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn a_node_that_dies_loses_nothing_of_what_was_said() {
    let redis = Redis::start().await;
    let store = Arc::new(MemoryJournal::new(MemoryConfig::new(Epoch::new(1))));
    let (first, running) = redis.node(&store);
    until(|| (first.counts().connections, first.counts().held) == (1, 1)).await;
    let (second, waiting) = redis.node(&store);
    until(|| second.counts().connections == 1).await;
    let mut said = redis.client().await;

    for number in 0..SAID {
        if number == SAID / 2 {
            // As kill -9 would: nothing is given up.
            running.abort();
        }
        // Each is said twice: bodies that are alike are two messages.
        for _ in 0..2 {
            say(&mut said, number).await;
        }
    }
    let all = records(&store, SAID).await;

    assert_eq!(second.counts().held, 1);
    for (number, count) in all {
        assert!(count >= 2, "{number} is there {count} times");
    }
    waiting.abort();
}

/// How often each number was recorded, once each was twice at least.
async fn records(store: &Arc<MemoryJournal>, count: u32) -> BTreeMap<String, u32> {
    let partition = store.partitions().of(&"acme".parse().unwrap());
    let mut start = store.head(partition).await.unwrap();
    start.offset = switchboard_event::Offset::ZERO;
    let mut tail = store.tail(partition, start);
    let mut all = BTreeMap::new();
    let reading = async {
        while all.len() < usize::try_from(count).unwrap() || all.values().any(|seen| *seen < 2) {
            for record in tail.next().await.unwrap() {
                let data = str::from_utf8(record.event.data()).unwrap().to_owned();
                *all.entry(data).or_default() += 1;
            }
        }
    };
    timeout(DEADLINE, reading).await.unwrap();
    all
}

async fn say(redis: &mut redis::aio::MultiplexedConnection, number: u32) {
    let data = format!(r#"{{"contactId":"{number}"}}"#);
    let data = RawValue::from_string(data).unwrap();
    let event = ("contact:deleted", &[&*data][..]);
    let body = classic::encode(classic::EMITTER, "/", event, &["contact:1"], &[]).unwrap();
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(classic::channel("socket.io", "/", &["contact:1"]));
    let heard: u32 = publish.arg(body).query_async(redis).await.unwrap();
    assert!(heard >= 1, "nobody listens");
}

struct Redis {
    process: Child,
    url: String,
}

impl Redis {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed, by `make prepare`");
        let redis = Self {
            process,
            url: format!("redis://127.0.0.1:{port}"),
        };
        redis.client().await;
        redis
    }

    /// A connection, once Redis answers.
    async fn client(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(&*self.url).unwrap();
        let connecting = async {
            loop {
                if let Ok(connection) = client.get_multiplexed_async_connection().await {
                    return connection;
                }
                sleep(INTERVAL).await;
            }
        };
        timeout(DEADLINE, connecting).await.unwrap()
    }

    fn node(&self, store: &Arc<MemoryJournal>) -> (Bridge, JoinHandle<()>) {
        let bridge = Bridge::new(Config {
            connection: Connection {
                urls: vec![self.url.clone()],
                username: None,
                password: None,
                ca: None,
                connect_timeout: Duration::from_secs(5),
                command_timeout: Duration::from_secs(5),
            },
            mappings: vec![Mapping {
                kind: Kind::Emitter {
                    prefix: "socket.io".to_owned(),
                },
                namespace: "/".to_owned(),
                tenant: "acme".parse().unwrap(),
                passthrough: false,
                validate: Validate::Warn,
            }],
        })
        .unwrap();
        let catalogue = Arc::new(Catalogue::new(CatalogueConfig::default()).unwrap());
        let clock = Clock::new(now);
        let ingest = Ingest::new(switchboard_ingest::Parts {
            journal: Arc::clone(store) as _,
            fleeting: Arc::clone(store) as _,
            catalogue: Arc::clone(&catalogue),
            keys: Vec::new(),
            single_tenant: None,
            endpoints: Endpoints::default(),
            clock: clock.clone(),
            config: switchboard_ingest::Config::default(),
        });
        let parts = Parts {
            ingest,
            catalogue,
            journal: Arc::clone(store) as _,
            leases: Arc::clone(store) as _,
            clock,
        };
        let running = bridge.clone().run(parts, std::future::pending());
        (bridge, tokio::spawn(running))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(INTERVAL).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap();
}

const SAID: u32 = 200;
const INTERVAL: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_mins(1);
