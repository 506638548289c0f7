//! Namespaces: the main one for everybody, `/admin` for who knows the password.
//!
//! ```text
//! cargo run -p switchboard-engine --example namespaces [port]
//! ```
//!
//! ```js
//! const visitor = io("http://localhost:3000");
//! const admin = io("http://localhost:3000/admin", { auth: { password: "open sesame" } });
//! visitor.on("notice", (text) => console.log(text));
//! admin.emit("notice", "the shop closes at six", (heard) => console.log(heard));
//! admin.emit("dismiss", visitor.id, (found) => console.log(found));
//! ```

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use switchboard_engine::{
    Admission, Application, Config, Connect, DisconnectReason, Engine, Handling, Incoming,
    Namespace, NotFound, Packet, Refusal, SocketHandle, serve,
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
    let engine = Engine::new(Arc::new(Shop::default()), Config::default());
    serve(listener, engine, NotFound, std::future::pending()).await
}

/// The visitors by their public ids.
#[derive(Default)]
struct Shop(Mutex<HashMap<String, SocketHandle>>);

/// One socket for each namespace that a connection has joined: here they differ in what they may.
#[derive(Clone)]
enum Socket {
    Visitor(SocketHandle),
    Admin(SocketHandle),
}

#[derive(Deserialize)]
struct Auth {
    password: String,
}

const PASSWORD: &str = "open sesame";

impl Application for Shop {
    type Socket = Socket;

    async fn connect(self: &Arc<Self>, request: Connect) -> Result<Admission<Socket>, Refusal> {
        match request.namespace.as_str() {
            "/" => {
                let visitor = request.handle;
                self.with(|visitors| visitors.insert(visitor.id().to_string(), visitor.clone()));
                Ok(Socket::Visitor(visitor).into())
            }
            "/admin" if is_admin(request.auth.as_deref()) => {
                Ok(Socket::Admin(request.handle).into())
            }
            // The client gets a `connect_error` and does not try again by itself. For what passes
            // by itself there is `Refusal::Close`.
            "/admin" => Err(Refusal::ConnectError {
                message: "wrong password".to_owned(),
                data: serde_json::value::to_raw_value(&json!({ "code": "unauthorized" })).ok(),
            }),
            _ => Err(Refusal::invalid_namespace()),
        }
    }

    fn event(self: &Arc<Self>, socket: &Socket, event: Incoming) -> Handling {
        // A visitor has nothing to say here.
        let (Socket::Admin(admin), Some(ack)) = (socket, event.ack) else {
            return Handling::Done;
        };
        let answer = match &*event.name {
            "notice" => {
                let args: &[&[u8]] = &[event.args.as_str().as_bytes()];
                let notice = Packet::event(&Namespace::ROOT, None, "notice", args, Vec::new());
                let notice = Arc::new(notice);
                json!(self.with(|visitors| {
                    for visitor in visitors.values() {
                        visitor.post(notice.clone(), 0);
                    }
                    visitors.len()
                }))
            }
            "dismiss" => {
                let id = event.args.parse::<(String,)>().map(|(id,)| id);
                let visitor = self.with(|visitors| visitors.get(&id.unwrap_or_default()).cloned());
                // Out of the main namespace only: other sockets of that connection stay.
                visitor.iter().for_each(SocketHandle::disconnect);
                json!(visitor.is_some())
            }
            _ => json!({ "error": "no such event" }),
        };
        admin.ack(ack, &[answer.to_string().as_bytes()], Vec::new());
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, socket: Socket, _reason: DisconnectReason) {
        if let Socket::Visitor(visitor) = socket {
            self.with(|visitors| visitors.remove(&visitor.id().to_string()));
        }
    }
}

/// The payload of a CONNECT is JSON of the client's, and may be anything.
fn is_admin(auth: Option<&RawValue>) -> bool {
    auth.and_then(|auth| serde_json::from_str::<Auth>(auth.get()).ok())
        .is_some_and(|auth| auth.password == PASSWORD)
}

impl Shop {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, SocketHandle>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
