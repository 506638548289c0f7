//! The suite of Engine.IO: what is common to both, and these nine titles.

use super::{Frame, Pending, Server, WebSocket, assert_closed, engine_io_titles, request, titles};
use crate::server::{config, echo};

engine_io_titles! { echo(config()) }

titles! {
    echo(config());
    polling_message_sends_and_receives_one_plain_text_packet
    polling_message_sends_and_receives_several_plain_text_packets
    polling_message_sends_and_receives_plain_text_and_binary_packets
    polling_message_closes_the_session_upon_invalid_packet_format
    polling_message_closes_the_session_upon_duplicate_poll_requests
    polling_message_closes_the_session_upon_cancelled_polling_request
    websocket_message_sends_and_receives_a_plain_text_packet
    websocket_message_sends_and_receives_a_binary_packet
    websocket_message_closes_the_session_upon_invalid_packet_format
}

/// What these tests are made of, apart from their names.
mod checks {
    use super::*;

    pub(super) async fn polling_message_sends_and_receives_one_plain_text_packet(server: &Server) {
        comes_back(server, "4hello").await;
    }

    pub(super) async fn polling_message_sends_and_receives_several_plain_text_packets(
        server: &Server,
    ) {
        comes_back(server, "4test1\x1e4test2\x1e4test3").await;
    }

    pub(super) async fn polling_message_sends_and_receives_plain_text_and_binary_packets(
        server: &Server,
    ) {
        comes_back(server, "4hello\x1ebAQIDBA==").await;
    }

    /// In one body, whole.
    async fn comes_back(server: &Server, body: &str) {
        let sid = server.open().await;
        let push = server.push(&sid, body).await;
        let poll = server.poll(&sid).await;

        assert_eq!((push.status, &*push.body), (200, "ok"));
        assert_eq!((poll.status, &*poll.body), (200, body));
    }

    pub(super) async fn polling_message_closes_the_session_upon_invalid_packet_format(
        server: &Server,
    ) {
        let sid = server.open().await;

        assert_eq!(server.push(&sid, "abc").await.status, 400);

        assert_eq!(server.poll(&sid).await.status, 400);
    }

    pub(super) async fn polling_message_closes_the_session_upon_duplicate_poll_requests(
        server: &Server,
    ) {
        let sid = server.open().await;
        let first = server.start_poll(&sid).await;
        let second = server.start_poll(&sid).await;

        assert_eq!(first.body().await, "1");
        assert_eq!(second.answer().await.unwrap().status, 400);
        assert_eq!(server.poll(&sid).await.status, 400);
    }

    pub(super) async fn polling_message_closes_the_session_upon_cancelled_polling_request(
        server: &Server,
    ) {
        let sid = server.open().await;
        let poll = server.start_poll(&sid).await;
        server.assert_open(&sid).await;

        drop(poll);

        // At once, on another connection.
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let again = Pending::send(server.address, &request("GET", &target, "", "")).await;
        assert_eq!(again.answer().await.unwrap().status, 400);
    }

    pub(super) async fn websocket_message_sends_and_receives_a_plain_text_packet(server: &Server) {
        let mut socket = WebSocket::open(server).await;

        socket.send("4hello").await;

        assert_eq!(socket.next_message().await, Frame::text("4hello"));
    }

    pub(super) async fn websocket_message_sends_and_receives_a_binary_packet(server: &Server) {
        let mut socket = WebSocket::open(server).await;

        socket.send_binary(&[1, 2, 3, 4]).await;

        assert_eq!(socket.next_message().await, Frame::Binary(vec![1, 2, 3, 4]));
    }

    pub(super) async fn websocket_message_closes_the_session_upon_invalid_packet_format(
        server: &Server,
    ) {
        let mut socket = WebSocket::open(server).await;

        socket.send("abc").await;

        assert_closed(&mut socket).await;
    }
}
