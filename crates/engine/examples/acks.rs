//! Acks in both directions: the server answers an event, and waits for the answer to one of its own.
//!
//! ```text
//! cargo run -p switchboard-engine --example acks [port]
//! ```
//!
//! ```js
//! const socket = io("http://localhost:3000");
//! socket.on("question", (text, answer) => answer("42"));
//! socket.emit("sum", 1, 2, (sum) => console.log(sum));
//! socket.emit("ask me", "what is 6 by 7?", (outcome) => console.log(outcome));
//! ```

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use switchboard_engine::{
    AckId, Acked, Admission, Application, Config, Connect, DisconnectReason, Engine, Handling,
    Incoming, NotFound, Packet, Refusal, SocketHandle, serve,
};
use tokio::{net::TcpListener, sync::oneshot};

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(3000), |port| port.parse());
    let port = port.map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let engine = Engine::new(Arc::new(Questions), Config::default());
    serve(listener, engine, NotFound, std::future::pending()).await
}

struct Questions;

/// A socket and the answers that it still owes.
struct Asked {
    handle: SocketHandle,
    waiting: Mutex<HashMap<u64, oneshot::Sender<String>>>,
}

/// How long an answer is waited for. The engine sets no limit: the application knows best.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Questions that one client may have open at a time.
const QUESTIONS_MAX: usize = 16;

impl Application for Questions {
    type Socket = Arc<Asked>;

    async fn connect(self: &Arc<Self>, request: Connect) -> Result<Admission<Arc<Asked>>, Refusal> {
        let asked = Asked {
            handle: request.handle,
            waiting: Mutex::default(),
        };
        Ok(Arc::new(asked).into())
    }

    fn event(self: &Arc<Self>, socket: &Arc<Asked>, event: Incoming) -> Handling {
        // Without an ack nobody wants to know.
        let Some(ack) = event.ack else {
            return Handling::Done;
        };
        match &*event.name {
            "sum" => {
                let sum = event.args.parse::<Vec<i32>>();
                let sum = sum.map(|numbers| numbers.into_iter().map(i64::from).sum::<i64>());
                let answer = match sum {
                    Ok(sum) => json!(sum),
                    Err(error) => json!({ "error": error.to_string() }),
                };
                socket.answer(ack, &answer);
            }
            "ask me" => {
                // On its own: behind a `Handling::Later` the client's reply would wait for the
                // future that waits for it.
                tokio::spawn(ask(socket.clone(), ack, event.args.as_str().to_owned()));
            }
            _ => socket.answer(ack, &json!({ "error": "no such event" })),
        }
        Handling::Done
    }

    fn acked(self: &Arc<Self>, socket: &Arc<Asked>, ack: Acked) -> Handling {
        // What is not waited for came too late, twice, or with a number that was made up.
        if let Some(waiting) = socket.take(ack.id) {
            // Whoever waited may have given up this very moment.
            let _ = waiting.send(ack.args.as_str().to_owned());
        }
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, socket: Arc<Asked>, _reason: DisconnectReason) {
        // Who waits need not wait until its time is over.
        socket.with_waiting(HashMap::clear);
    }
}

/// Asks the client, and tells it what became of that.
async fn ask(socket: Arc<Asked>, ack: AckId, question: String) {
    let id = socket.handle.ack_id();
    let (answer, answered) = oneshot::channel();
    let is_entered = socket.with_waiting(|waiting| {
        let fits = waiting.len() < QUESTIONS_MAX;
        if fits {
            waiting.insert(id.get(), answer);
        }
        fits
    });
    if !is_entered {
        return socket.answer(ack, &json!({ "error": "too many questions" }));
    }
    let namespace = socket.handle.namespace();
    let args: &[&[u8]] = &[question.as_bytes()];
    let packet = Packet::event(namespace, Some(&id), "question", args, Vec::new());
    socket.handle.send(packet);
    let outcome = match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        Ok(Ok(answer)) => json!({ "answer": answer }),
        // The socket has ended; nobody reads this.
        Ok(Err(_gone)) => return,
        Err(_elapsed) => {
            socket.take(id.get());
            json!({ "error": "no answer in time" })
        }
    };
    socket.answer(ack, &outcome);
}

impl Asked {
    fn answer(&self, ack: AckId, value: &serde_json::Value) {
        let json = value.to_string();
        self.handle.ack(ack, &[json.as_bytes()], Vec::new());
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<String>> {
        self.with_waiting(|waiting| waiting.remove(&id))
    }

    fn with_waiting<T>(
        &self,
        act: impl FnOnce(&mut HashMap<u64, oneshot::Sender<String>>) -> T,
    ) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
