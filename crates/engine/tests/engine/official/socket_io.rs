//! The suite of Socket.IO: what is common to both, and these sixteen titles.

use super::{Frame, Server, WebSocket, assert_closed, engine_io_titles, titles};
use crate::server::config;

/// The fixture takes anybody who joins within a second, and knows `/` and `/custom`.
fn fixture() -> switchboard_engine::Config {
    config()
}

engine_io_titles! { fixture() }

titles! {
    fixture();
    connect_should_allow_connection_to_the_main_namespace
    connect_should_allow_connection_to_the_main_namespace_with_a_payload
    connect_should_allow_connection_to_a_custom_namespace
    connect_should_allow_connection_to_a_custom_namespace_with_a_payload
    connect_should_disallow_connection_to_an_unknown_namespace
    connect_should_disallow_connection_with_an_invalid_handshake
    connect_should_close_the_connection_if_no_handshake_is_received
    disconnect_should_disconnect_from_the_main_namespace
    disconnect_should_connect_then_disconnect_from_a_custom_namespace
    message_should_send_a_plain_text_packet
    message_should_send_a_packet_with_binary_attachments
    message_should_send_a_plain_text_packet_with_an_ack
    message_should_send_a_packet_with_binary_attachments_and_an_ack
    message_should_close_the_connection_upon_invalid_format_unknown_packet_type
    message_should_close_the_connection_upon_invalid_format_invalid_payload_format
    message_should_close_the_connection_upon_invalid_format_invalid_ack_id
}

mod checks {
    use super::*;

    pub(super) async fn connect_should_allow_connection_to_the_main_namespace(server: &Server) {
        joins(server, "40", "40", r#"42["auth",{}]"#).await;
    }

    pub(super) async fn connect_should_allow_connection_to_the_main_namespace_with_a_payload(
        server: &Server,
    ) {
        joins(
            server,
            r#"40{"token":"123"}"#,
            "40",
            r#"42["auth",{"token":"123"}]"#,
        )
        .await;
    }

    pub(super) async fn connect_should_allow_connection_to_a_custom_namespace(server: &Server) {
        joins(
            server,
            "40/custom,",
            "40/custom,",
            r#"42/custom,["auth",{}]"#,
        )
        .await;
    }

    pub(super) async fn connect_should_allow_connection_to_a_custom_namespace_with_a_payload(
        server: &Server,
    ) {
        let auth = r#"42/custom,["auth",{"token":"abc"}]"#;
        joins(server, r#"40/custom,{"token":"abc"}"#, "40/custom,", auth).await;
    }

    /// The reply has only a `sid`; then comes what the client said of itself.
    async fn joins(server: &Server, connect: &str, reply: &str, auth: &str) {
        let mut socket = WebSocket::open(server).await;

        socket.send(connect).await;

        let Frame::Text(said) = socket.next_message().await else {
            panic!("no reply");
        };
        let json: serde_json::Value =
            serde_json::from_str(said.strip_prefix(reply).expect("a CONNECT")).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["sid"]);
        assert_eq!(socket.next_message().await, Frame::text(auth));
    }

    pub(super) async fn connect_should_disallow_connection_to_an_unknown_namespace(
        server: &Server,
    ) {
        let mut socket = WebSocket::open(server).await;

        socket.send("40/random").await;

        let refused = r#"44/random,{"message":"Invalid namespace"}"#;
        assert_eq!(socket.next_message().await, Frame::text(refused));
    }

    pub(super) async fn connect_should_disallow_connection_with_an_invalid_handshake(
        server: &Server,
    ) {
        let mut socket = WebSocket::open(server).await;

        socket.send("4abc").await;

        assert_closed(&mut socket).await;
    }

    pub(super) async fn connect_should_close_the_connection_if_no_handshake_is_received(
        server: &Server,
    ) {
        let mut socket = WebSocket::open(server).await;

        assert_closed(&mut socket).await;
    }

    pub(super) async fn disconnect_should_disconnect_from_the_main_namespace(server: &Server) {
        let mut socket = WebSocket::join(server).await;

        socket.send("41").await;

        assert_eq!(socket.next().await, Frame::text("2"));
    }

    pub(super) async fn disconnect_should_connect_then_disconnect_from_a_custom_namespace(
        server: &Server,
    ) {
        let mut socket = WebSocket::join(server).await;
        socket.send("40/custom").await;
        for begin in ["40/custom,{", "42/custom,["] {
            let said = socket.next_message().await;
            assert!(matches!(&said, Frame::Text(text) if text.starts_with(begin)));
        }

        socket.send("41/custom").await;
        socket.send(r#"42["message","hello"]"#).await;

        let back = Frame::text(r#"42["message-back","hello"]"#);
        assert_eq!(socket.next_message().await, back);
    }

    pub(super) async fn message_should_send_a_plain_text_packet(server: &Server) {
        let sent = r#"42["message",1,"2",{"3":[true]}]"#;
        answers(
            server,
            sent,
            &[],
            r#"42["message-back",1,"2",{"3":[true]}]"#,
        )
        .await;
    }

    const TWO: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;

    pub(super) async fn message_should_send_a_packet_with_binary_attachments(server: &Server) {
        let sent = format!(r#"452-["message",{TWO}]"#);
        let back = format!(r#"452-["message-back",{TWO}]"#);
        answers(server, &sent, &[&[1, 2, 3], &[4, 5, 6]], &back).await;
    }

    pub(super) async fn message_should_send_a_plain_text_packet_with_an_ack(server: &Server) {
        let sent = r#"42456["message-with-ack",1,"2",{"3":[false]}]"#;
        answers(server, sent, &[], r#"43456[1,"2",{"3":[false]}]"#).await;
    }

    pub(super) async fn message_should_send_a_packet_with_binary_attachments_and_an_ack(
        server: &Server,
    ) {
        let sent = format!(r#"452-789["message-with-ack",{TWO}]"#);
        let back = format!("462-789[{TWO}]");
        answers(server, &sent, &[&[1, 2, 3], &[4, 5, 6]], &back).await;
    }

    async fn answers(server: &Server, sent: &str, attachments: &[&[u8]], back: &str) {
        let mut socket = WebSocket::join(server).await;

        socket.send(sent).await;
        for bytes in attachments {
            socket.send_binary(bytes).await;
        }

        assert_eq!(socket.next_message().await, Frame::text(back));
        for bytes in attachments {
            assert_eq!(socket.next_message().await, Frame::Binary(bytes.to_vec()));
        }
    }

    pub(super) async fn message_should_close_the_connection_upon_invalid_format_unknown_packet_type(
        server: &Server,
    ) {
        closes(server, "4abc").await;
    }

    pub(super) async fn message_should_close_the_connection_upon_invalid_format_invalid_payload_format(
        server: &Server,
    ) {
        closes(server, "42{}").await;
    }

    pub(super) async fn message_should_close_the_connection_upon_invalid_format_invalid_ack_id(
        server: &Server,
    ) {
        closes(server, r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#).await;
    }

    async fn closes(server: &Server, packet: &str) {
        let mut socket = WebSocket::join(server).await;

        socket.send(packet).await;

        assert_closed(&mut socket).await;
    }
}
