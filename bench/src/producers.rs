//! Many producers on one thread: each publishes one event, waits for the answer, and goes on.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::{http, message, publisher};

const EVENTS_MAX: usize = 256;
const BUFFER_LEN: usize = 64 * 1024;
/// How long answers are waited for after the last request.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Connections to `POST /v1/events`, kept open.
pub(crate) struct Producers {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    server: SocketAddr,
    account: String,
    all: Vec<Producer>,
    next_message: u64,
}

struct Producer {
    stream: TcpStream,
    answer: Vec<u8>,
    /// When the request was written that is under way.
    sent_at: Option<Instant>,
}

impl Producers {
    pub(crate) fn connect(server: SocketAddr, count: usize, account: &str) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let producer = |number| {
            let stream = publisher::open(server)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            Ok(Producer {
                stream,
                answer: Vec::new(),
                sent_at: None,
            })
        };
        let all = (0..count).map(producer).collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; BUFFER_LEN],
            server,
            account: account.to_owned(),
            all,
            next_message: 1,
        })
    }

    /// Publishes for a time, and until what was sent is answered; says how long each answer took.
    pub(crate) fn run(&mut self, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let end = Instant::now() + time;
        let mut latencies = Vec::new();
        for number in 0..self.all.len() {
            self.send(number)?;
        }
        let mut under_way = self.all.len();
        while under_way > 0 {
            match self.poll.poll(&mut self.events, Some(POLL_WAIT)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for number in ready {
                let Some(latency) = self.all[number].receive(&mut self.buffer)? else {
                    continue;
                };
                latencies.push(latency);
                if Instant::now() < end {
                    self.send(number)?;
                } else {
                    under_way -= 1;
                }
            }
            ensure!(
                Instant::now() < end + ANSWER_WAIT,
                "{under_way} producers have no answer"
            );
        }
        Ok(latencies)
    }

    fn send(&mut self, number: usize) -> anyhow::Result<()> {
        let body = message::body(&self.account, self.next_message, 1);
        self.next_message += 1;
        let producer = &mut self.all[number];
        producer.sent_at = Some(Instant::now());
        // A request is small enough for the kernel to take it at once.
        let request = http::publish(self.server, &body);
        Ok(producer.stream.write_all(&request)?)
    }
}

impl Producer {
    /// Reads what is there; how long the answer took, once it is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<Duration>> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection of a producer"),
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(answer) = http::first(&self.answer)? else {
            return Ok(None);
        };
        let body = String::from_utf8_lossy(answer.body);
        let status = answer.status();
        ensure!(status == "202", "publishing was answered {status}: {body}");
        self.answer.clear();
        Ok(self.sent_at.take().map(|sent_at| sent_at.elapsed()))
    }
}
