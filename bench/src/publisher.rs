//! A producer: publishes over one kept HTTP connection, on a thread of its own.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::http;

/// The API key that Switchboard's settings know; the peers ask for none.
pub(crate) const API_KEY: &str = "bench-key-that-protects-nothing";

const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// Servers close connections that are idle for some seconds: one that might be is replaced.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How many requests may wait: one is published after the other.
const REQUESTS_MAX: usize = 1;

/// When the request was written, and what became of it.
type Outcome = (Instant, anyhow::Result<()>);

/// Sends bodies to `POST /v1/events`, one after the other.
pub(crate) struct Publisher {
    bodies: SyncSender<Vec<u8>>,
    outcomes: Receiver<Outcome>,
}

impl Publisher {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = open(address)?;
        let (bodies, requests) = sync_channel::<Vec<u8>>(REQUESTS_MAX);
        let (answers, outcomes) = sync_channel(REQUESTS_MAX);
        thread::spawn(move || {
            let mut used_at = Instant::now();
            for body in requests {
                let request = http::publish(address, &body);
                if used_at.elapsed() > IDLE_MAX
                    && let Ok(fresh) = open(address)
                {
                    stream = fresh;
                }
                let sent_at = Instant::now();
                let outcome = exchange(&mut stream, &request);
                used_at = Instant::now();
                if answers.send((sent_at, outcome)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { bodies, outcomes })
    }

    /// Starts publishing and returns at once; [`Publisher::wait`] tells how it ended.
    pub(crate) fn publish(&self, body: Vec<u8>) -> anyhow::Result<()> {
        self.bodies.send(body).context("the publisher has stopped")
    }

    /// Waits for the answer and says when the request was written.
    pub(crate) fn wait(&self) -> anyhow::Result<Instant> {
        let (sent_at, outcome) = self.outcomes.recv().context("the publisher has stopped")?;
        outcome.map(|()| sent_at)
    }

    /// [`Publisher::wait`], if the answer is there already.
    pub(crate) fn poll(&self) -> anyhow::Result<Option<Instant>> {
        match self.outcomes.try_recv() {
            Ok((sent_at, outcome)) => outcome.map(|()| Some(sent_at)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("the publisher has stopped"),
        }
    }
}

/// A connection for requests.
pub(crate) fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<()> {
    let (status, body) = http::exchange(stream, request)?;
    let body = String::from_utf8_lossy(&body);
    ensure!(status == "202", "publishing was answered {status}: {body}");
    Ok(())
}
