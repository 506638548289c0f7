//! Binary values: a client uploads a file in one event, and gets it back in another.
//!
//! ```text
//! cargo run -p switchboard-engine --example binary [port]
//! ```
//!
//! ```js
//! const socket = io("http://localhost:3000");
//! socket.emit("upload", "photo.jpg", new Uint8Array([1, 2, 3]), (receipt) => console.log(receipt));
//! socket.emit("download", "photo.jpg", (bytes) => console.log(bytes));
//! ```

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use switchboard_engine::{
    Admission, Application, Config, Connect, DisconnectReason, Engine, Handling, Incoming,
    NotFound, Refusal, SocketHandle, serve,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(3000), |port| port.parse());
    let port = port.map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let config = Config {
        // One WebSocket message, and all attachments of an event together. Each connection may
        // make the server hold this much.
        payload_max: 256 << 10,
        attachments_bytes_max: 256 << 10,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(Files::default()), config);
    serve(listener, engine, NotFound, std::future::pending()).await
}

#[derive(Default)]
struct Files(Mutex<HashMap<String, Bytes>>);

/// Files that are kept for everybody together.
const FILES_MAX: usize = 100;

/// What stands in the arguments for a binary value: its index among the attachments.
#[derive(Deserialize)]
struct Placeholder {
    num: usize,
}

/// The same in what is sent: the first attachment.
const FIRST: &[u8] = br#"{"_placeholder":true,"num":0}"#;

impl Application for Files {
    type Socket = SocketHandle;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<SocketHandle>, Refusal> {
        Ok(request.handle.into())
    }

    fn event(self: &Arc<Self>, socket: &SocketHandle, event: Incoming) -> Handling {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*event.name, event.ack) {
            ("upload", ack) => {
                let Ok((name, Placeholder { num })) = event.args.parse::<(String, Placeholder)>()
                else {
                    return Handling::Done;
                };
                // The engine has checked that every placeholder stands for an attachment; this one
                // may still be an object that a client only wrote like one, without any.
                let Some(bytes) = event.attachments.get(num).cloned() else {
                    return Handling::Done;
                };
                let is_kept = files.len() < FILES_MAX || files.contains_key(&name);
                let receipt = json!({ "name": name, "len": bytes.len(), "kept": is_kept });
                if is_kept {
                    files.insert(name, bytes);
                }
                if let Some(ack) = ack {
                    socket.ack(ack, &[receipt.to_string().as_bytes()], Vec::new());
                }
            }
            ("download", Some(ack)) => {
                let name = event.args.parse::<(String,)>();
                match name.ok().and_then(|(name,)| files.get(&name).cloned()) {
                    // Shared: however many clients download it, the bytes are there once.
                    Some(bytes) => socket.ack(ack, &[FIRST], vec![bytes]),
                    None => socket.ack(ack, &[b"null"], Vec::new()),
                };
            }
            _ => {}
        }
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, _socket: SocketHandle, _reason: DisconnectReason) {}
}
