//! A producer: publishes over one kept HTTP connection, on a thread of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The API key that Switchboard's settings know; the peers ask for none.
pub(crate) const API_KEY: &str = "bench-key-that-protects-nothing";

const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// Servers close connections that are idle for some seconds: one that might be is replaced.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How many requests may wait: one is published after the other.
const REQUESTS_MAX: usize = 1;
const ANSWER_LEN_MAX: usize = 1 << 20;

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
                let request = request(address, &body);
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

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    Ok(stream)
}

fn request(address: SocketAddr, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<()> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..read]);
        let Some(head_end) = memchr::memmem::find(&answer, b"\r\n\r\n") else {
            anyhow::ensure!(read > 0, "the connection ended before the answer");
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..head_end]).to_ascii_lowercase();
        let body_len: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .with_context(|| format!("no content-length in {head:?}"))?;
        anyhow::ensure!(body_len <= ANSWER_LEN_MAX, "an answer of {body_len} bytes");
        if answer.len() >= head_end + 4 + body_len {
            let status = head.split(' ').nth(1).unwrap_or_default();
            let body = String::from_utf8_lossy(&answer[head_end..]);
            anyhow::ensure!(status == "202", "publishing was answered {status}: {body}");
            return Ok(());
        }
        anyhow::ensure!(read > 0, "the connection ended in the middle of the answer");
    }
}
