use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::value::RawValue;
use switchboard_engine::{
    Acked, Admission, Application, CloseReason, Config, Connect, DisconnectReason, Doors, Engine,
    Handling, Incoming, Layer, Listener, Packet, Refusal, SocketHandle, serve,
};
use switchboard_limit::Rate;
use tokio::{
    net::TcpListener,
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinHandle,
};

/// A running engine with the application of these tests.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine<TestApplication>,
    pub(crate) ended: tokio::sync::Mutex<mpsc::Receiver<DisconnectReason>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<io::Result<()>>,
}

/// Times as in the official fixtures, short enough to wait for.
pub(crate) fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        ..quiet()
    }
}

/// Times at which nothing happens by itself.
pub(crate) fn quiet() -> Config {
    Config {
        close_timeout: Duration::from_secs(1),
        drain_timeout: Duration::from_secs(5),
        drain_spread: Duration::ZERO,
        doors: Doors {
            connections_per_address: Rate::OFF,
            ..Doors::default()
        },
        ..Config::default()
    }
}

/// Engine.IO alone, which sends every message back.
pub(crate) fn echo(config: Config) -> Config {
    Config {
        layer: Layer::Echo,
        ..config
    }
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_on(config, address, listener.into())
    }

    /// The same on a listener that somebody has made.
    pub(crate) fn start_on(config: Config, address: SocketAddr, listener: Listener) -> Self {
        let (ended, receiver) = mpsc::channel(1024);
        let application = TestApplication {
            ended,
            sockets: Mutex::default(),
            clients: Mutex::default(),
            acked: Mutex::default(),
            go_on: Notify::new(),
        };
        let engine = Engine::new(Arc::new(application), config);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, engine.clone(), NotFound, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            engine,
            ended: tokio::sync::Mutex::new(receiver),
            stop: Some(stop),
            serving,
        }
    }

    /// Asks to drain.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until serving ended.
    pub(crate) async fn served(self) {
        self.serving.await.unwrap().unwrap();
    }

    /// Why the next socket ended.
    pub(crate) async fn next_end(&self) -> DisconnectReason {
        let mut ended = self.ended.lock().await;
        tokio::time::timeout(super::client::PATIENCE, ended.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) fn socket(&self) -> SocketHandle {
        self.engine
            .application()
            .sockets
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .clone()
    }
}

/// What the official Socket.IO fixture does, and a little more.
pub(crate) struct TestApplication {
    ended: mpsc::Sender<DisconnectReason>,
    pub(crate) sockets: Mutex<Vec<SocketHandle>>,
    /// Where those who were let in are.
    pub(crate) clients: Mutex<Vec<String>>,
    pub(crate) acked: Mutex<Vec<(u64, String, Vec<Bytes>)>>,
    pub(crate) go_on: Notify,
}

impl Application for TestApplication {
    type Socket = SocketHandle;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<SocketHandle>, Refusal> {
        match request.namespace.as_str() {
            "/" | "/custom" => {}
            "/closed" => return Err(Refusal::Close(CloseReason::Requested)),
            "/slow" => self.go_on.notified().await,
            "/private" => {
                request.handle.emit("secret", &[], Vec::new());
                return Err(Refusal::ConnectError {
                    message: "no".to_owned(),
                    data: Some(
                        RawValue::from_string(r#"{"code":"unauthorized"}"#.to_owned()).unwrap(),
                    ),
                });
            }
            _ => return Err(Refusal::invalid_namespace()),
        }
        let auth = request.auth.as_ref().map_or("{}", |auth| auth.get());
        let packet = Packet::event(
            &request.namespace,
            None,
            "auth",
            &[auth.as_bytes()],
            Vec::new(),
        );
        request.handle.post(Arc::new(packet), 1);
        let client = request.handshake.client().to_string();
        self.clients.lock().unwrap().push(client);
        self.sockets.lock().unwrap().push(request.handle.clone());
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
            ("ask", _) => {
                let ack = socket.ack_id();
                socket.send(Packet::event(
                    socket.namespace(),
                    Some(&ack),
                    "asked",
                    &[],
                    Vec::new(),
                ));
            }
            ("leave", _) => socket.disconnect(),
            ("close", _) => socket.close(CloseReason::Requested),
            ("later", Some(ack)) => {
                let application = self.clone();
                let socket = socket.clone();
                return Handling::later(async move {
                    application.go_on.notified().await;
                    socket.ack(ack, &[], Vec::new());
                });
            }
            ("history", Some(ack)) => {
                let socket = socket.clone();
                return Handling::later(async move {
                    for page in [b"1", b"2", b"3"] {
                        let event =
                            Packet::event(socket.namespace(), None, "page", &[page], Vec::new());
                        socket.post(Arc::new(event), 0);
                        socket.outbox().drained().await;
                    }
                    socket.ack(ack, &[], Vec::new());
                });
            }
            _ => {}
        }
        Handling::Done
    }

    fn acked(self: &Arc<Self>, socket: &SocketHandle, ack: Acked) -> Handling {
        let args = ack.args.as_str().to_owned();
        self.acked
            .lock()
            .unwrap()
            .push((ack.id, args, ack.attachments));
        socket.emit("thanks", &[], Vec::new());
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, _socket: SocketHandle, reason: DisconnectReason) {
        // Once a test is over nobody asks any more.
        let told = self.ended.try_send(reason);
        assert!(!matches!(told, Err(TrySendError::Full(_))));
    }
}

/// Everything outside of the engine's path.
#[derive(Clone)]
struct NotFound;

impl<R> tower_service::Service<Request<R>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let client = request.extensions().get::<SocketAddr>();
        let client = client.map(|client| client.ip().to_string());
        let mut response = Response::new(Full::from(client.unwrap_or_default()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        std::future::ready(Ok(response))
    }
}
