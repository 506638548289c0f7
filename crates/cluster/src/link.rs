//! A connection to one server that mends itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::dial::{self, Address, Dial};
use crate::error::Failure;
use crate::reply;

/// A shared connection to one server. Commands of many callers follow each other on it without
/// waiting for answers; what waits at most is bounded by who calls.
///
/// While there is none, everybody is refused at once: only [`run`](Self::run) tries to connect.
#[derive(Debug)]
pub(crate) struct Link {
    dial: Arc<Dial>,
    /// Of several the first that is a primary counts.
    addresses: Vec<Address>,
    state: Mutex<State>,
    mend: Notify,
}

struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one does not end the next.
    generation: u64,
    address: Option<Address>,
    /// Why there is no connection, or why the server does not do what it should.
    trouble: Option<String>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(dial: Arc<Dial>, addresses: Vec<Address>) -> Self {
        Self {
            dial,
            addresses,
            state: Mutex::new(State {
                connection: None,
                generation: 0,
                address: None,
                trouble: Some("not connected yet".to_owned()),
            }),
            mend: Notify::new(),
        }
    }

    /// Connects, and again whenever the connection is lost.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        loop {
            if self.state.lock().connection.is_some() {
                self.mend.notified().await;
                continue;
            }
            match self.connect().await {
                Ok(address) => {
                    pause = PAUSE_MIN;
                    info!(%address, "connected to redis");
                }
                Err(failure) => {
                    let reason = failure.reason();
                    debug!(%reason, "redis is not there");
                    self.state.lock().trouble = Some(reason);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Connects once; the first failure of each address counts.
    pub(crate) async fn connect(&self) -> Result<Address, Failure> {
        let mut failure = Failure::Away("no address".to_owned());
        for address in &self.addresses {
            match self.reach(address).await {
                Ok(connection) => {
                    let mut state = self.state.lock();
                    state.connection = Some(connection);
                    state.generation += 1;
                    state.address = Some(address.clone());
                    state.trouble = None;
                    drop(state);
                    return Ok(address.clone());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn reach(&self, address: &Address) -> Result<MultiplexedConnection, Failure> {
        let mut connection = self.dial.connect(address, None).await?;
        let mut ask = redis::cmd("INFO");
        ask.arg("replication");
        let answer = dial::ask(&mut connection, &ask, self.dial.command_timeout).await?;
        if reply::text(&answer).is_some_and(|text| text.contains("role:slave")) {
            return Err(Failure::Away(format!("{address} is a replica")));
        }
        Ok(connection)
    }

    /// Sends a command and waits for its answer, as long as a command may take.
    pub(crate) async fn send(&self, command: &Cmd) -> Result<Value, Failure> {
        let (generation, mut connection) = self.connection()?;
        self.send_on(generation, &mut connection, command).await
    }

    /// Sends a command, and waits until so many replicas have what this connection wrote.
    pub(crate) async fn send_and_wait(
        &self,
        command: &Cmd,
        replicas: u16,
    ) -> Result<Value, Failure> {
        let (generation, mut connection) = self.connection()?;
        let answer = self.send_on(generation, &mut connection, command).await?;
        let mut wait = redis::cmd("WAIT");
        // Less than we wait ourselves, so that an answer comes.
        let limit = self.dial.command_timeout / 2;
        wait.arg(replicas)
            .arg(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        match self.send_on(generation, &mut connection, &wait).await? {
            Value::Int(count) if count >= i64::from(replicas) => Ok(answer),
            Value::Int(count) => Err(Failure::Away(format!(
                "{count} of {replicas} replicas have it so far"
            ))),
            _ => Err(Failure::strange("WAIT")),
        }
    }

    /// Where the connection leads, if there is one.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        let state = self.state.lock();
        match (&state.connection, &state.address) {
            (Some(_), Some(address)) => Ok(address.clone()),
            _ => Err(away(&state)),
        }
    }

    /// What is wrong, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// Notes that the server does not do what it should, or does again.
    pub(crate) fn note(&self, trouble: Option<String>) {
        let mut state = self.state.lock();
        if state.connection.is_some() && state.trouble != trouble {
            if let Some(reason) = &trouble {
                warn!(%reason, "redis does not write");
            }
            state.trouble = trouble;
        }
    }

    fn connection(&self) -> Result<(u64, MultiplexedConnection), Failure> {
        let state = self.state.lock();
        match &state.connection {
            Some(connection) => Ok((state.generation, connection.clone())),
            None => Err(away(&state)),
        }
    }

    async fn send_on(
        &self,
        generation: u64,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        let answer = dial::ask(connection, command, self.dial.command_timeout).await;
        match &answer {
            Err(Failure::Away(reason)) => self.fail(generation, reason),
            Err(failure) if matches!(failure.code(), Some("READONLY" | "MASTERDOWN")) => {
                self.fail(generation, "redis is a replica by now");
            }
            _ => {}
        }
        answer
    }

    fn fail(&self, generation: u64, reason: &str) {
        let mut state = self.state.lock();
        if state.generation != generation || state.connection.is_none() {
            return;
        }
        warn!(%reason, "connection to redis given up");
        state.connection = None;
        state.trouble = Some(reason.to_owned());
        drop(state);
        self.mend.notify_one();
    }
}

fn away(state: &State) -> Failure {
    let reason = state.trouble.as_deref().unwrap_or("not connected");
    Failure::Away(reason.to_owned())
}

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
