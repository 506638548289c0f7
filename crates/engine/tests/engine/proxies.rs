use std::time::Duration;

use switchboard_engine::{Config, Doors, Proxies};

use super::{
    client::WebSocket,
    server::{Server, quiet},
};

const OPEN: &str = "EIO=4&transport=polling";

/// One session of each address at once, or one a day.
fn config(trusted: &[&str], connections_per_address: &str) -> Config {
    Config {
        doors: Doors {
            proxies: Proxies {
                trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
                ..Proxies::default()
            },
            connections_per_address: connections_per_address.parse().unwrap(),
            ..Doors::default()
        },
        ..quiet()
    }
}

async fn status(server: &Server, client: &str) -> u16 {
    let header = format!("X-Forwarded-For: {client}\r\n");
    server.request_with("GET", OPEN, &header, "").await.status
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_count_by_their_own_addresses() {
    let server = Server::start(config(&["127.0.0.1"], "1/h")).await;

    assert_eq!(status(&server, "203.0.113.7").await, 200);
    assert_eq!(status(&server, "203.0.113.7").await, 429);
    assert_eq!(status(&server, "198.51.100.1, 203.0.113.7").await, 429);
    assert_eq!(status(&server, "203.0.113.8").await, 200);
    assert_eq!(status(&server, "2001:db8::1").await, 200);
    assert_eq!(status(&server, "2001:db8::2").await, 429);
    assert_eq!(status(&server, "2001:db8:0:1::1").await, 200);
    assert_eq!(server.engine.counts().refused["connections_per_address"], 3);
}

#[tokio::test]
async fn a_stranger_cannot_be_another_address() {
    let server = Server::start(config(&["192.0.2.0/24"], "1/h")).await;

    assert_eq!(status(&server, "203.0.113.7").await, 200);
    assert_eq!(status(&server, "203.0.113.8").await, 429);
}

#[tokio::test]
async fn sessions_that_one_address_opens_too_fast_are_told_to_come_back() {
    let server = Server::start(config(&[], "20/m burst 1")).await;
    server.open().await;

    let polling = server.request("GET", OPEN).await;
    let websocket = WebSocket::try_connect(&server, "EIO=4&transport=websocket", "").await;

    assert_eq!(
        (polling.status, polling.header("retry-after")),
        (429, Some("3"))
    );
    assert_eq!(websocket.err().unwrap().status, 429);
    let counts = server.engine.counts();
    assert_eq!(counts.refused["connections_per_address"], 2);
    assert_eq!(counts.handshakes["limited"], 2);
}

#[tokio::test]
async fn who_is_let_in_changes_while_the_engine_runs() {
    let server = Server::start(config(&[], "1/h")).await;
    let sid = server.open().await;
    assert_eq!(server.request("GET", OPEN).await.status, 429);

    server.engine.set_doors(config(&["127.0.0.1"], "1/h").doors);
    assert_eq!(status(&server, "203.0.113.7").await, 200);
    server.engine.set_doors(config(&[], "off").doors);

    assert_eq!(server.request("GET", OPEN).await.status, 200);
    server.assert_open(&sid).await;
}

#[tokio::test]
async fn the_application_is_told_where_the_client_is() {
    let server = Server::start(config(&["127.0.0.1"], "off")).await;
    let header = "X-Forwarded-For: 203.0.113.7\r\n";
    let query = "EIO=4&transport=websocket";

    let mut socket = WebSocket::try_connect(&server, query, header)
        .await
        .ok()
        .unwrap();
    socket.next_message().await;
    socket.send("40").await;
    tokio::time::timeout(Duration::from_secs(10), socket.next_message())
        .await
        .unwrap();

    let clients = server.engine.application().clients.lock().unwrap().clone();
    assert_eq!(clients, ["203.0.113.7"]);
}
