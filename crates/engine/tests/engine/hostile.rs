//! Input that broke servers like this one. Each test shows that it is refused, and how, and that
//! other clients do not notice.

mod bodies;
mod frames;
mod http;
mod origin;
mod packets;
mod repeats;
mod upgrade;

use super::{
    client::{Answer, Frame, Pending, UPGRADE, WebSocket, until},
    server::Server,
};

/// Somebody else, who must not notice anything.
struct Bystander(WebSocket);

impl Bystander {
    async fn join(server: &Server) -> Self {
        Self(WebSocket::join(server).await)
    }

    async fn assert_served(&mut self) {
        self.0.send(r#"42["message",1]"#).await;
        assert_eq!(
            self.0.next_message().await,
            Frame::text(r#"42["message-back",1]"#)
        );
    }
}

/// Sends bytes on a connection of their own; the answer, if there is one before the end.
async fn answer_to(server: &Server, bytes: &[u8]) -> Option<Answer> {
    Pending::send(server.address, bytes).await.answer().await
}

/// A request for a WebSocket session with more headers.
fn upgrade_request(query: &str, headers: &str) -> Vec<u8> {
    format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n")
        .into_bytes()
}
