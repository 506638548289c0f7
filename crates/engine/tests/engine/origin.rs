use switchboard_engine::{Config, Doors, Origins};

use super::{
    client::{Frame, WebSocket},
    server::{Server, echo, quiet},
};

fn listed() -> Config {
    echo(Config {
        doors: Doors {
            origins: Origins::Listed(vec!["https://crm.example.com".to_owned()]),
            ..Doors::default()
        },
        ..quiet()
    })
}

#[tokio::test]
async fn a_listed_origin_may_poll_and_its_page_may_read() {
    let server = Server::start(listed()).await;

    let headers = "Origin: https://crm.example.com\r\n";
    let answer = server
        .request_with("GET", "EIO=4&transport=polling", headers, "")
        .await;

    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://crm.example.com")
    );
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn another_origin_is_forbidden_on_polling_and_websocket() {
    let server = Server::start(listed()).await;
    let headers = "Origin: https://evil.example\r\n";

    let polling = server
        .request_with("GET", "EIO=4&transport=polling", headers, "")
        .await;
    let websocket = WebSocket::try_connect(&server, "EIO=4&transport=websocket", headers).await;

    assert_eq!(
        (polling.status, &*polling.body),
        (403, r#"{"code":4,"message":"Forbidden"}"#)
    );
    assert_eq!(polling.header("access-control-allow-origin"), None);
    let refused = websocket.err().unwrap();
    assert_eq!((refused.status, &*refused.body), (400, "Forbidden"));
}

#[tokio::test]
async fn the_own_host_and_no_origin_are_allowed() {
    let server = Server::start(listed()).await;
    for headers in [
        "",
        "Origin: http://localhost\r\n",
        "Origin: https://crm.example.com\r\n",
    ] {
        let Ok(mut socket) =
            WebSocket::try_connect(&server, "EIO=4&transport=websocket", headers).await
        else {
            panic!("{headers} was refused");
        };

        assert!(matches!(socket.next().await, Frame::Text(_)));
    }
}

#[tokio::test]
async fn an_origin_that_is_not_text_is_a_bad_request() {
    let server = Server::start(listed()).await;
    let request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: \xff\r\n\r\n";

    let answer = super::client::Pending::send(server.address, request)
        .await
        .answer()
        .await;

    assert_eq!(
        answer.unwrap().body,
        r#"{"code":3,"message":"Bad request"}"#
    );
}

#[tokio::test]
async fn a_preflight_is_answered() {
    let server = Server::start(listed()).await;

    let headers = "Origin: https://crm.example.com\r\nAccess-Control-Request-Headers: x-a\r\n";
    let answer = server
        .request_with("OPTIONS", "EIO=4&transport=polling", headers, "")
        .await;

    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,HEAD,PUT,PATCH,POST,DELETE")
    );
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-a"));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://crm.example.com")
    );
}

#[tokio::test]
async fn any_origin_is_answered_with_a_star() {
    let server = Server::start(Config {
        doors: Doors {
            origins: Origins::Any,
            ..Doors::default()
        },
        ..quiet()
    })
    .await;

    let headers = "Origin: https://evil.example\r\n";
    let answer = server
        .request_with("GET", "EIO=4&transport=abc", headers, "")
        .await;

    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_websocket_is_opened_with_the_same_headers() {
    let server = Server::start(listed()).await;
    for (origin, allowed) in [
        ("https://crm.example.com", Some("https://crm.example.com")),
        // The own host needs no permission.
        ("http://localhost", None),
    ] {
        let headers = format!("Origin: {origin}\r\n");

        let query = "EIO=4&transport=websocket";
        let (_stream, head) = WebSocket::ask(&server, query, &headers).await;

        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let said = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        assert_eq!(said("access-control-allow-origin: "), allowed);
        assert_eq!(
            said("access-control-allow-credentials: "),
            allowed.map(|_| "true")
        );
        assert_eq!(said("vary: "), Some("Origin"));
    }
}
