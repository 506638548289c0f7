use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::RawValue;
use switchboard_event::Draft;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::clock;
use crate::listener::Listeners;
use crate::server::Server;
use crate::settings::{Environment, Settings};
use crate::token::Claims;

#[tokio::test]
async fn what_happens_is_told_at_the_operators_address() {
    let (server, settings) = start().await;
    let before = Page::get(&server).await;
    let mut client = Client::connect(&server, &settings).await;
    client.say(r#"420["subscribe","contact:42"]"#).await;
    client.hears("430[").await;
    client.say(r#"421["subscribe","contact:43"]"#).await;
    client.hears("431[").await;
    let mut nobody = Client::connect_as(&server, "nobody").await;
    nobody.hears("44").await;

    publish(&server, r#"{"contactId":"42","reason":"spam"}"#).await;
    client.hears(r#"42["contact:deleted""#).await;

    let page = Page::get(&server).await;
    let version = env!("CARGO_PKG_VERSION");
    for (series, value) in [
        (&*format!("build_info{{version=\"{version}\"}}"), 1.0),
        ("ready", 1.0),
        ("nodes", 1.0),
        ("connections{transport=\"websocket\"}", 2.0),
        ("connections{transport=\"polling\"}", 0.0),
        ("handshakes_total{result=\"accepted\"}", 2.0),
        ("sessions", 1.0),
        ("users", 1.0),
        ("sessions_behind", 0.0),
        ("sessions_fell_behind_total", 0.0),
        ("receipts_open", 0.0),
        ("receipt_acks_total{result=\"counted\"}", 0.0),
        ("receipts_truncated_total", 0.0),
        ("authentication_failures_total{code=\"unauthorized\"}", 1.0),
        ("recoveries_total{result=\"new\"}", 1.0),
        ("recoveries_total{result=\"recovered\"}", 0.0),
        ("subscriptions_total{code=\"ok\"}", 1.0),
        ("subscriptions_total{code=\"forbidden\"}", 1.0),
        ("records_fanned_out_total", 1.0),
        ("deliveries_total{path=\"live\"}", 1.0),
        ("fan_out_duration_seconds_count", 1.0),
        ("delivery_lag_seconds_count", 1.0),
        ("events_accepted_total", 1.0),
        ("append_duration_seconds_count", 1.0),
        ("unknown_fields_total{event=\"contact:deleted\"}", 1.0),
        ("journal_healthy", 1.0),
        ("journal_records_total", 1.0),
        ("journal_sessions", 1.0),
        ("outbox_packets", 0.0),
    ] {
        assert_eq!(page.value(series), Some(value), "{series}");
    }
    for series in ["received_bytes_total", "sent_bytes_total"] {
        assert!(page.value(series) > before.value(series), "{series}");
    }
    assert!(page.value("start_time_seconds") > Some(1_700_000_000.0));
    drop((client, nobody));
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_left_is_in_no_gauge_and_its_end_has_a_reason() {
    let (server, settings) = start().await;
    let client = Client::connect(&server, &settings).await;

    drop(client);

    let closed = "closes_total{reason=\"transport_closed\"}";
    loop {
        let page = Page::get(&server).await;
        if page.value(closed) == Some(1.0) {
            assert_eq!(page.value("sessions"), Some(0.0));
            break;
        }
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn labels_have_few_values_and_tell_nothing_of_anybody() {
    let (server, settings) = start().await;
    let mut client = Client::connect(&server, &settings).await;
    client.say(r#"420["subscribe","contact:42"]"#).await;
    client.hears("430[").await;
    publish(&server, r#"{"contactId":"42","acme-field":"x"}"#).await;
    client.hears(r#"42["contact:deleted""#).await;

    let text = get(&server, "/metrics").await;
    drop(client);

    for word in ["acme", "ana", "42\"", "127.0.0.1", "spam"] {
        assert!(!text.contains(word), "{word}");
    }
    let expected = [
        "code",
        "event",
        "le",
        "limit",
        "path",
        "reason",
        "result",
        "transport",
        "version",
    ];
    assert_eq!(
        Page::parse(&text).labels,
        expected.map(str::to_owned).into()
    );
    server.shutdown().await;
}

#[tokio::test]
async fn nothing_else_is_at_the_operators_address() {
    let (server, _) = start().await;

    assert!(get(&server, "/").await.starts_with("HTTP/1.1 404 "));
    assert!(get(&server, "/v1/stats").await.starts_with("HTTP/1.1 404 "));
    let address = server.admin_addr().unwrap();
    let posted = exchange(address, "POST /metrics").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    let elsewhere = exchange(server.local_addr(), "GET /metrics").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    server.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// The metrics of a page, which is proved to be in the format of Prometheus.
struct Page {
    series: BTreeMap<String, f64>,
    labels: BTreeSet<String>,
}

impl Page {
    async fn get(server: &Server) -> Self {
        Self::parse(&get(server, "/metrics").await)
    }

    fn parse(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let content_type = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(head.lines().any(|line| line == content_type), "{head}");

        let mut page = Self {
            series: BTreeMap::new(),
            labels: BTreeSet::new(),
        };
        let (mut helped, mut family, mut seen) = ("", ("", ""), BTreeSet::new());
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').unwrap().0;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                family = kind.split_once(' ').unwrap();
                assert_eq!(family.0, helped, "{line}");
                assert!(seen.insert(family.0), "{line} twice");
                assert!(family.0.starts_with("switchboard_"), "{line}");
                assert_eq!(
                    family.1 == "counter",
                    family.0.ends_with("_total"),
                    "{line}"
                );
            } else {
                page.sample(line, family);
            }
        }
        page
    }

    fn sample(&mut self, line: &str, (family, kind): (&str, &str)) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let suffix = name.strip_prefix(family).unwrap();
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        if let Some((label, value)) = labels.strip_suffix('}').unwrap().split_once('=') {
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
            self.labels.insert(label.to_owned());
        }
        let series = series.strip_prefix("switchboard_").unwrap().to_owned();
        let value = value.parse().unwrap();
        assert!(self.series.insert(series, value).is_none(), "{line} twice");
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }
}

/// A client that speaks over a WebSocket of its own.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Lets `ana` in, who may hear `contact:42`.
    async fn connect(server: &Server, settings: &Settings) -> Self {
        let claims = Claims {
            issuer: None,
            user: "ana".parse().unwrap(),
            tenant: Some("acme".parse().unwrap()),
            rooms: vec!["contact:42".to_owned()],
            link: None,
            ttl: std::time::Duration::from_mins(1),
        };
        let token = claims.sign(&settings.auth, clock::now()).unwrap();
        let mut client = Self::connect_as(server, &token).await;
        client.hears("40{").await;
        client
    }

    async fn connect_as(server: &Server, token: &str) -> Self {
        let address = server.local_addr();
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = tokio_tungstenite::client_async(url, MaybeTlsStream::Plain(stream))
            .await
            .unwrap();
        let mut client = Self(socket);
        client.hears("0{").await;
        client.say(&format!(r#"40{{"token":"{token}"}}"#)).await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn hears(&mut self, begin: &str) {
        let message = self.0.next().await.unwrap().unwrap();
        assert!(message.to_text().unwrap().starts_with(begin), "{message}");
    }
}

async fn start() -> (Server, Settings) {
    let text = "[server]\nhost = \"127.0.0.1\"\nport = 0\n[admin]\nport = 0\n\
                [auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
                [journal]\nkind = \"memory\"\n[presence]\nteam_max = 0\n";
    let file = Some((Path::new("switchboard.toml"), text));
    let settings = Settings::from_text(file, &Environment::default()).unwrap();
    let listeners = Listeners::bind(&settings).await.unwrap();
    let server = Server::start(&settings, listeners).await.unwrap();
    (server, settings)
}

async fn publish(server: &Server, data: &str) {
    let data = RawValue::from_string(data.to_owned()).unwrap();
    let draft = Draft::new("contact:deleted", data);
    let tenant = "acme".parse().unwrap();
    let outcomes = server.publish(&tenant, vec![draft]).await.unwrap();
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
}

async fn get(server: &Server, path: &str) -> String {
    exchange(server.admin_addr().unwrap(), &format!("GET {path}")).await
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
