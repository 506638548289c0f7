//! Many clients on one thread and one `epoll`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use crate::client::{Client, Progress};
use crate::identity::Signer;
use crate::layout::Layout;
use crate::message::Scanner;
use crate::tally::Tally;

/// How many clients are on their way at once: fewer than any server's backlog.
const CONNECTING_MAX: usize = 100;
/// How many connections from one address: fewer than there are ports, even with those that linger.
const CONNECTIONS_PER_ADDRESS: usize = 2_000;
/// How long a subscription waits for its ack, at most twice this, before it is repeated.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often a client may be turned away while connecting, summed over all clients.
const RETRIES_MAX: usize = 20_000;
const BUFFER_LEN: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// How long one wait for the kernel lasts, so that deadlines are noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// All clients of one server.
pub(crate) struct Fleet {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    server: SocketAddr,
    clients: Vec<Client>,
    scanner: Scanner,
    tally: Tally,
    /// Clients that are on their way.
    connecting: usize,
    /// Clients that are to be started again.
    refused: Vec<usize>,
    retries: usize,
    recovered: usize,
    /// When each client of the last [`Fleet::connect`] was subscribed.
    ready_at: Vec<Instant>,
    /// Clients whose question has its answer, and when it came.
    answered: Vec<(usize, Instant)>,
    /// Established connections that broke, which none should, and why the first one did.
    lost: usize,
    loss: Option<anyhow::Error>,
}

impl Fleet {
    pub(crate) fn new(
        server: SocketAddr,
        layout: &Layout,
        signer: &Signer,
    ) -> anyhow::Result<Self> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let client = |number: usize| {
            let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number / CONNECTIONS_PER_ADDRESS)?);
            let token = signer.token(number, now_s)?;
            Ok(Client::new(token, layout.account_of(number), source))
        };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; BUFFER_LEN],
            server,
            clients: (0..layout.clients)
                .map(client)
                .collect::<anyhow::Result<_>>()?,
            scanner: Scanner::new(),
            tally: Tally::default(),
            connecting: 0,
            refused: Vec::new(),
            retries: 0,
            recovered: 0,
            ready_at: Vec::new(),
            answered: Vec::new(),
            lost: 0,
            loss: None,
        })
    }

    /// Connects those of the first `count` clients that are not; returns when all are subscribed.
    pub(crate) fn connect(&mut self, count: usize, deadline: Instant) -> anyhow::Result<()> {
        let mut waiting: Vec<usize> = (0..count)
            .filter(|it| !self.clients[*it].is_ready())
            .collect();
        // Taken from the end.
        waiting.reverse();
        self.recovered = 0;
        self.retries = 0;
        self.ready_at.clear();
        let mut ask_again_at = Instant::now() + ASK_AGAIN;
        loop {
            waiting.append(&mut self.refused);
            while self.connecting < CONNECTING_MAX
                && let Some(number) = waiting.pop()
            {
                let stream = self.clients[number].start(self.server)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll
                    .registry()
                    .register(stream, Token(number), interest)?;
                self.connecting += 1;
            }
            if self.connecting == 0 && self.refused.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("not all clients could connect: {:?}", self.unready(count));
            }
            if ask_again_at <= Instant::now() {
                ask_again_at = Instant::now() + ASK_AGAIN;
                self.ask_again(count)?;
            }
            self.pump()?;
        }
    }

    /// Repeats subscriptions that nobody answered since the last time.
    fn ask_again(&mut self, count: usize) -> anyhow::Result<()> {
        for client in &mut self.clients[..count] {
            self.retries += usize::from(client.ask_again()?);
        }
        Ok(())
    }

    /// How many of the first `count` clients wait for what.
    fn unready(&self, count: usize) -> BTreeMap<&'static str, usize> {
        let mut waiting = BTreeMap::new();
        for client in self.clients[..count]
            .iter()
            .filter(|client| !client.is_ready())
        {
            *waiting.entry(client.waits_for()).or_default() += 1;
        }
        waiting
    }

    /// Each client sends the event that is for its number, `at_once` of them at a time; says how
    /// long each ack took. One that is not `ok` is an error.
    pub(crate) fn ask_all(
        &mut self,
        event: impl Fn(usize) -> String,
        at_once: usize,
        deadline: Instant,
    ) -> anyhow::Result<Vec<Duration>> {
        let count = self.clients.len();
        let (mut asked_at, mut latencies) = (Vec::with_capacity(count), Vec::with_capacity(count));
        while latencies.len() < count {
            while asked_at.len() < count && asked_at.len() < latencies.len() + at_once {
                let number = asked_at.len();
                asked_at.push(Instant::now());
                self.clients[number].ask(&event(number))?;
            }
            ensure!(
                Instant::now() < deadline,
                "only {} of {count} questions were answered",
                latencies.len()
            );
            self.pump()?;
            for (number, at) in std::mem::take(&mut self.answered) {
                ensure_is_ok(&self.clients[number].take_answer())?;
                latencies.push(at.saturating_duration_since(asked_at[number]));
            }
        }
        Ok(latencies)
    }

    /// The first client sends an event; returns the arguments of its ack.
    pub(crate) fn ask(&mut self, event: &str, deadline: Instant) -> anyhow::Result<Vec<u8>> {
        let client = self.clients.first_mut().context("nobody is connected")?;
        client.ask(event)?;
        while self.answered.is_empty() {
            ensure!(Instant::now() < deadline, "no answer to {event}");
            self.pump()?;
        }
        self.answered.clear();
        let answer = self.clients[0].take_answer();
        ensure_is_ok(&answer)?;
        Ok(answer)
    }

    /// Cuts all connections at once.
    pub(crate) fn cut(&mut self) {
        self.clients.iter_mut().for_each(Client::stop);
    }

    /// Lets the clients work for a while.
    pub(crate) fn idle(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.pump()?;
        }
        Ok(())
    }

    /// Handles what has come, such as pings, and waits for nothing. Who was lost is said by
    /// whatever is done next.
    pub(crate) fn attend(&mut self) -> anyhow::Result<()> {
        loop {
            self.pump_for(Duration::ZERO)?;
            if self.events.is_empty() {
                return Ok(());
            }
        }
    }

    /// An error if an established connection broke.
    pub(crate) fn ensure_nobody_was_lost(&mut self) -> anyhow::Result<()> {
        let Some(first) = self.loss.take() else {
            return Ok(());
        };
        let (lost, all) = (self.lost, self.clients.len());
        bail!(first.context(format!(
            "{lost} of {all} established connections broke, the first one"
        )))
    }

    /// Waits for an event or a moment, and handles what came.
    pub(crate) fn pump(&mut self) -> anyhow::Result<()> {
        self.pump_for(POLL_WAIT)?;
        self.ensure_nobody_was_lost()
    }

    fn pump_for(&mut self, time: Duration) -> anyhow::Result<()> {
        self.events.clear();
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let Self {
            events,
            buffer,
            server,
            clients,
            scanner,
            tally,
            ..
        } = self;
        for event in &*events {
            let number = event.token().0;
            let client = &mut clients[number];
            let was_ready = client.is_ready();
            let mut received = |message| tally.count(message, Instant::now());
            let written = if event.is_writable() {
                client.handle_writable(*server)
            } else {
                Ok(())
            };
            let progress =
                written.and_then(|()| client.handle_readable(buffer, scanner, &mut received));
            match progress {
                Ok(Progress::Going) => {}
                Ok(Progress::Ready { recovered }) => {
                    self.connecting -= 1;
                    self.recovered += usize::from(recovered);
                    self.ready_at.push(Instant::now());
                }
                Ok(Progress::Answered) => self.answered.push((number, Instant::now())),
                Err(error) if was_ready => {
                    client.stop();
                    self.lost += 1;
                    self.loss.get_or_insert(error);
                }
                Err(error) => {
                    client.stop();
                    self.connecting -= 1;
                    self.retries += 1;
                    self.refused.push(number);
                    if self.retries > RETRIES_MAX {
                        return Err(error.context("clients were turned away too often"));
                    }
                }
            }
        }
        Ok(())
    }

    /// What the clients have received.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// How many of the last [`Fleet::connect`] were turned away first.
    pub(crate) fn retries(&self) -> usize {
        self.retries
    }

    /// How many of the last [`Fleet::connect`] were recovered by Socket.IO's own recovery.
    pub(crate) fn recovered(&self) -> usize {
        self.recovered
    }

    /// How long after `begin` each client of the last [`Fleet::connect`] was subscribed.
    pub(crate) fn ready_after(&self, begin: Instant) -> Vec<Duration> {
        let ready_at = self.ready_at.iter();
        ready_at
            .map(|at| at.saturating_duration_since(begin))
            .collect()
    }
}

fn ensure_is_ok(answer: &[u8]) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(answer);
    ensure!(text.contains("\"ok\":true"), "the answer was {text}");
    Ok(())
}
