use super::{
    client::Pending,
    server::{Server, echo, quiet},
};

#[tokio::test]
async fn several_packets_come_back_in_one_body() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;

    let answer = server
        .push(&sid, "4test1\x1e4test2\x1ebAQIDBA==\x1e4test3")
        .await;

    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        server.poll(&sid).await.body,
        "4test1\x1e4test2\x1ebAQIDBA==\x1e4test3"
    );
}

/// engineioxide 0.17.4: in version 3 a binary packet was `b4` and base64. Here the `4` is base64.
#[tokio::test]
async fn a_binary_packet_has_no_type() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;

    assert_eq!(server.push(&sid, "b4AAA").await.body, "ok");

    assert_eq!(server.poll(&sid).await.body, "b4AAA");
    let version_3 = server.push(&sid, "b4AQIDBA==").await;
    assert_eq!((version_3.status, &*version_3.body), (400, ""));
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_poll_is_held_until_there_is_something() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;

    server.push(&sid, "4hello").await;

    assert_eq!(poll.body().await, "4hello");
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let first = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    let second = server.poll(&sid).await;

    assert_eq!((second.status, &*second.body), (400, ""));
    assert_eq!(first.body().await, "1");
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_second_push_ends_the_session_and_the_first() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    let first = start_push(&server, &sid).await;

    let second = server.push(&sid, "4b").await;

    assert_eq!((second.status, &*second.body), (400, ""));
    assert!(first.answer().await.is_none());
    assert_eq!(poll.body().await, "1");
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_cancelled_poll_ends_the_session() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    drop(poll);

    assert_eq!(server.poll(&sid).await.status, 400);
}

#[tokio::test]
async fn a_cancelled_push_ends_the_session() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    let push = start_push(&server, &sid).await;

    drop(push);

    assert_eq!(poll.body().await, "1");
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_binary_body_ends_the_session() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let query = format!("EIO=4&transport=polling&sid={sid}");

    let headers = "Content-Type: application/octet-stream\r\n";
    let answer = server.request_with("POST", &query, headers, "4a").await;

    assert_eq!((answer.status, &*answer.body), (400, ""));
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_session_stays() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let fits = format!("4{}", "a".repeat(999_999));

    let announced = server.push(&sid, &format!("{fits}a")).await;
    let put = server
        .request_with("PUT", &format!("EIO=4&transport=polling&sid={sid}"), "", "")
        .await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let unannounced = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nf4241\r\n{fits}a\r\n0\r\n\r\n"
    );
    let unannounced = Pending::send(server.address, unannounced.as_bytes())
        .await
        .answer()
        .await;

    assert_eq!((announced.status, &*announced.body), (413, ""));
    assert_eq!(unannounced.unwrap().status, 413);
    assert_eq!((put.status, &*put.body), (500, ""));
    assert_eq!(server.push(&sid, &fits).await.body, "ok");
    assert_eq!(server.poll(&sid).await.body, fits);
}

#[tokio::test]
async fn an_undecodable_packet_ends_the_session_after_those_before_it() {
    for body in ["", "abc", "4a\x1e", "4a\x1e\x1e4b", "bnot*base64"] {
        let server = Server::start(echo(quiet())).await;
        let sid = server.open().await;
        let poll = server.start_poll(&sid).await;
        server.assert_open(&sid).await;

        let answer = server.push(&sid, body).await;

        assert_eq!((answer.status, &*answer.body), (400, ""), "{body:?}");
        assert_eq!(poll.body().await, "1", "{body:?}");
        server.assert_unknown(&sid).await;
    }
}

#[tokio::test]
async fn a_close_packet_ends_the_session_and_its_poll_with_a_noop() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    let answer = server.push(&sid, "1\x1e4ignored").await;

    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(poll.body().await, "6");
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_ping_of_the_client_ends_the_session() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    let answer = server.push(&sid, "2").await;

    assert_eq!((answer.status, &*answer.body), (400, ""));
    assert_eq!(poll.body().await, "1");
}

#[tokio::test]
async fn packets_without_a_meaning_are_ignored() {
    let server = Server::start(echo(quiet())).await;
    let sid = server.open().await;

    for packet in ["0", "5", "6", "3"] {
        assert_eq!(server.push(&sid, packet).await.body, "ok", "{packet}");
    }
    server.push(&sid, "4a").await;

    assert_eq!(server.poll(&sid).await.body, "4a");
}

/// Sends a POST whose body lacks a byte, and waits until the session knows of it: until then a
/// second one would be the first.
pub(crate) async fn start_push(server: &Server, sid: &str) -> Pending {
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    start_push_to(server, &target).await
}

pub(crate) async fn start_push_to(server: &Server, target: &str) -> Pending {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    );
    Pending::send_and_continue(server.address, head.as_bytes()).await
}
