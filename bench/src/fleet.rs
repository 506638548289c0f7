//! Many clients on one thread and one `epoll`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use mio::{Events, Interest, Poll, Token};

use crate::client::{Client, Progress};
use crate::identity;
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
    /// The first established connection that broke, which none should.
    lost: Option<anyhow::Error>,
}

impl Fleet {
    pub(crate) fn new(server: SocketAddr, layout: &Layout) -> anyhow::Result<Self> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let client = |number: usize| {
            let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number / CONNECTIONS_PER_ADDRESS)?);
            Ok(Client::new(
                identity::token(number, now_s),
                layout.account_of(number),
                source,
            ))
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
            lost: None,
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

    /// Waits for an event or a moment, and handles what came.
    pub(crate) fn pump(&mut self) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(POLL_WAIT)) {
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
                }
                Err(error) if was_ready => {
                    client.stop();
                    self.lost.get_or_insert(error);
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
        if let Some(error) = self.lost.take() {
            bail!(error.context("an established connection broke"));
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
}
