//! Serves what the official conformance suites expect on port 3000, on 127.0.0.1 and on `::1`:
//!
//! ```text
//! cargo run -p switchboard-engine --example fixture -- engineio|socketio [--port 3000]
//! ```

use std::{io, net::Ipv4Addr, net::Ipv6Addr, sync::Arc, time::Duration};

use switchboard_engine::{
    Admission, Application, Config, Connect, DisconnectReason, Doors, Engine, Handling, Incoming,
    Layer, NotFound, Origins, Refusal, SocketHandle, serve,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (layer, path) = match arguments.next().as_deref() {
        Some("engineio") => (Layer::Echo, "/engine.io/"),
        Some("socketio") => (Layer::SocketIo, "/socket.io/"),
        _ => {
            return Err(io::Error::other(
                "usage: fixture engineio|socketio [--port 3000]",
            ));
        }
    };
    let port = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--port"), Some(port)) => port.parse().map_err(io::Error::other)?,
        _ => 3000,
    };
    let config = Config {
        path: path.to_owned(),
        layer,
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        doors: Doors {
            origins: Origins::Any,
            ..Doors::default()
        },
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(Fixture), config);
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await?;
    tokio::try_join!(
        serve(v4, engine.clone(), NotFound, std::future::pending()),
        serve(v6, engine, NotFound, std::future::pending()),
    )?;
    Ok(())
}

/// The application of the Socket.IO suite.
struct Fixture;

impl Application for Fixture {
    type Socket = SocketHandle;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<SocketHandle>, Refusal> {
        if !matches!(request.namespace.as_str(), "/" | "/custom") {
            return Err(Refusal::invalid_namespace());
        }
        let auth = request.auth.as_ref().map_or("{}", |auth| auth.get());
        request.handle.emit("auth", &[auth.as_bytes()], Vec::new());
        Ok(request.handle.into())
    }

    fn event(self: &Arc<Self>, socket: &SocketHandle, event: Incoming) -> Handling {
        let args: &[&[u8]] = &[event.args.as_str().as_bytes()];
        match (&*event.name, event.ack) {
            ("message", _) => {
                socket.emit("message-back", args, event.attachments);
            }
            ("message-with-ack", Some(ack)) => {
                socket.ack(ack, args, event.attachments);
            }
            _ => {}
        }
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, _socket: SocketHandle, _reason: DisconnectReason) {}
}
