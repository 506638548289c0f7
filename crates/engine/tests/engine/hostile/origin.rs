//! Origins that look like one that may connect.

use switchboard_engine::{Config, Doors, Origins};

use super::Bystander;
use crate::{
    client::WebSocket,
    server::{Server, quiet},
};

const LISTED: &str = "https://crm.example.com";

fn listed() -> Config {
    Config {
        doors: Doors {
            origins: Origins::Listed(vec![LISTED.to_owned(), "http://127.0.0.1:3000".to_owned()]),
            ..Doors::default()
        },
        ..quiet()
    }
}

/// CVE-2019-13611 and WS-2020-0443: a page of another origin was let in. CVE-2020-28481: the
/// default let every page in.
#[tokio::test]
async fn an_origin_that_looks_like_a_listed_one_is_forbidden() {
    let server = Server::start(listed()).await;
    let mut bystander = Bystander::join(&server).await;
    for origin in [
        "https://crm.example.com`",
        "https://crm.example.com`.evil.example",
        "https://crm.example.com$",
        "https://crm.example.com$evil.example",
        "https://crm.example.com.",
        "https://crm.example.com.evil.example",
        "https://crm.example.com@evil.example",
        "https://user@crm.example.com",
        "https://crm.example.com/",
        "https://crm.example.com/path",
        "https://crm.example.com:443",
        "https://crm.example.com:80",
        "https://crm.example.com:443@evil.example",
        "https://CRM.example.com",
        "HTTPS://crm.example.com",
        "http://crm.example.com",
        "https:crm.example.com",
        "https:/crm.example.com",
        "https:///crm.example.com",
        "//crm.example.com",
        "crm.example.com",
        "https://evilcrm.example.com",
        "https://x.crm.example.com",
        "https://crmXexample.com",
        "https://evil.example#https://crm.example.com",
        "https://evil.example?https://crm.example.com",
        "https://crm.example.com https://evil.example",
        "https://evil.example, https://crm.example.com",
        "https://crm.example.com, https://evil.example",
        "https://crm.example.com%00",
        "https://crm.example.com%2eevil.example",
        "https://crm.example.com\tevil",
        "http://127.0.0.1",
        "http://127.0.0.1:30000",
        "http://127.1:3000",
        "http://[::ffff:127.0.0.1]:3000",
        "null",
        "NULL",
        "*",
        "https://*",
        "file://",
        "data:text/html,x",
        "https://",
        "http://",
        "://",
        "undefined",
        "__proto__",
    ] {
        assert_forbidden(&server, &format!("Origin: {origin}\r\n")).await;
    }
    assert_forbidden(&server, "Origin:\r\n").await;
    bystander.assert_served().await;
}

/// A proxy may look at the one and the server at the other.
#[tokio::test]
async fn two_origins_are_a_bad_request_whatever_they_are() {
    let server = Server::start(listed()).await;
    for (one, other) in [
        (LISTED, "https://evil.example"),
        ("https://evil.example", LISTED),
        (LISTED, LISTED),
    ] {
        let headers = format!("Origin: {one}\r\nOrigin: {other}\r\n");

        assert_refused(&server, &headers, 400, "Bad request").await;
    }
}

#[tokio::test]
async fn without_a_list_only_the_own_host_may_connect() {
    let server = Server::start(quiet()).await;
    for origin in [
        LISTED,
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:1",
    ] {
        assert_forbidden(&server, &format!("Origin: {origin}\r\n")).await;
    }
    for origin in ["http://localhost", "https://localhost", "http://LOCALHOST"] {
        let headers = format!("Origin: {origin}\r\n");

        let polling = server
            .request_with("GET", "EIO=4&transport=polling", &headers, "")
            .await;

        assert_eq!(polling.status, 200, "{origin}");
        // Its page needs no permission to read what is its own.
        assert_eq!(polling.header("access-control-allow-origin"), None);
        assert!(
            WebSocket::try_connect(&server, "EIO=4&transport=websocket", &headers)
                .await
                .is_ok()
        );
    }
}

/// The default port is a port like any other to a browser, which leaves it out.
#[tokio::test]
async fn a_default_port_in_the_host_is_the_same_host() {
    let server = Server::start(quiet()).await;
    for (host, origin, status) in [
        ("crm.example.com:443", "https://crm.example.com", 200),
        ("crm.example.com:80", "http://crm.example.com", 200),
        ("crm.example.com", "https://crm.example.com", 200),
        ("crm.example.com:443", "http://crm.example.com", 403),
        ("crm.example.com:80", "https://crm.example.com", 403),
        ("crm.example.com:8443", "https://crm.example.com", 403),
        ("crm.example.com", "https://crm.example.com:8443", 403),
        ("crm.example.com:4430", "https://crm.example.com", 403),
        (":443", "https://", 403),
        ("", "https://", 403),
    ] {
        let request = format!(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        );

        let answer = super::answer_to(&server, request.as_bytes()).await.unwrap();

        assert_eq!(answer.status, status, "{host} {origin}");
    }
}

async fn assert_forbidden(server: &Server, headers: &str) {
    assert_refused(server, headers, 403, "Forbidden").await;
}

/// Refused on polling and on WebSocket, and no page is told that it may read the answer.
async fn assert_refused(server: &Server, headers: &str, status: u16, message: &str) {
    let polling = server
        .request_with("GET", "EIO=4&transport=polling", headers, "")
        .await;
    let websocket = WebSocket::try_connect(server, "EIO=4&transport=websocket", headers).await;

    assert_eq!(polling.status, status, "{headers}");
    assert_eq!(
        polling.header("access-control-allow-origin"),
        None,
        "{headers}"
    );
    let refused = websocket
        .err()
        .unwrap_or_else(|| panic!("{headers} was let in"));
    assert_eq!(
        (refused.status, &*refused.body),
        (400, message),
        "{headers}"
    );
}
