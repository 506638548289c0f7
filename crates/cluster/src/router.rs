//! Which server a key lies on, and what is sent there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::dial::{self, Address, Dial, Slots};
use crate::error::Failure;
use crate::keys::Place;
use crate::link::Link;
use crate::reply;
use crate::script::Script;

/// The way to every server that holds something of ours.
#[derive(Debug)]
pub(crate) struct Router {
    dial: Arc<Dial>,
    links: Mutex<HashMap<Address, Arc<Link>>>,
    slots: RwLock<Slots>,
    /// When the slots were last asked for; held while they are.
    asked_at: tokio::sync::Mutex<Option<Instant>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Router {
    /// Connects to the first server that answers.
    pub(crate) async fn connect(dial: Arc<Dial>) -> Result<Self, Failure> {
        let router = Self {
            dial,
            links: Mutex::default(),
            slots: RwLock::default(),
            asked_at: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
        };
        if router.dial.is_cluster {
            let mut failure = Failure::Away("no address".to_owned());
            for seed in &router.dial.seeds {
                match router.dial.connect(seed, None).await {
                    Ok(connection) => match router.learn(seed, connection).await {
                        Ok(()) => return Ok(router),
                        Err(error) => failure = error,
                    },
                    Err(error) => failure = error,
                }
            }
            return Err(failure);
        }
        let link = Arc::new(Link::new(
            Arc::clone(&router.dial),
            router.dial.seeds.clone(),
        ));
        link.connect().await?;
        let Some(first) = router.dial.seeds.first() else {
            return Err(Failure::Away("no address".to_owned()));
        };
        router.tasks.lock().spawn(Arc::clone(&link).run());
        router.links.lock().insert(first.clone(), link);
        Ok(router)
    }

    /// Runs a script where `place` is. A server that lost its scripts learns them again; one that
    /// lost the slot says who has it.
    pub(crate) async fn run(
        &self,
        place: &Place,
        script: &Script,
        call: &Cmd,
    ) -> Result<Value, Failure> {
        self.deliver(place, Some(script), call, 0).await
    }

    /// The same, answered once so many replicas have what it wrote.
    pub(crate) async fn run_and_wait(
        &self,
        place: &Place,
        script: &Script,
        call: &Cmd,
        replicas: u16,
    ) -> Result<Value, Failure> {
        self.deliver(place, Some(script), call, replicas).await
    }

    /// Sends a plain command to where `place` is.
    pub(crate) async fn send(&self, place: &Place, command: &Cmd) -> Result<Value, Failure> {
        self.deliver(place, None, command, 0).await
    }

    async fn deliver(
        &self,
        place: &Place,
        script: Option<&Script>,
        call: &Cmd,
        replicas: u16,
    ) -> Result<Value, Failure> {
        let mut attempts = ATTEMPTS_MAX;
        loop {
            attempts -= 1;
            let link = self.link(place).await?;
            let answer = if replicas == 0 {
                link.send(call).await
            } else {
                link.send_and_wait(call, replicas).await
            };
            let failure = match answer {
                Ok(value) => return Ok(value),
                Err(failure) if attempts == 0 => return Err(failure),
                Err(failure) => failure,
            };
            // None of these was carried out, so each may be said again.
            match (failure.code(), script) {
                (Some("NOSCRIPT"), Some(script)) => {
                    link.send(&script.load()).await?;
                }
                (Some("MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN" | "READONLY"), _)
                    if self.dial.is_cluster =>
                {
                    self.refresh().await?;
                }
                _ => return Err(failure),
            }
        }
    }

    /// A connection of its own to where `place` is.
    pub(crate) async fn dedicated(
        &self,
        place: &Place,
        pushes: Option<mpsc::Sender<PushInfo>>,
    ) -> Result<MultiplexedConnection, Failure> {
        let address = self.link(place).await?.address()?;
        self.dial.connect(&address, pushes).await
    }

    /// The shared connections, each with a place that is on its server.
    pub(crate) fn links<'a>(
        &self,
        places: impl IntoIterator<Item = &'a Place>,
    ) -> Vec<(Arc<Link>, &'a Place)> {
        let mut found: Vec<(Arc<Link>, &'a Place)> = Vec::new();
        for place in places {
            if let Some(link) = self.known(place)
                && !found.iter().any(|(other, _)| Arc::ptr_eq(other, &link))
            {
                found.push((link, place));
            }
        }
        found
    }

    /// What is wrong with any server, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.links.lock().values().find_map(|link| link.trouble())
    }

    /// Whether the server that has `place` does not do what it should, or is not there.
    pub(crate) fn is_cut_off(&self, place: &Place) -> bool {
        self.known(place)
            .is_none_or(|link| link.trouble().is_some())
    }

    /// Gives all connections up.
    pub(crate) fn close(&self) {
        self.tasks.lock().abort_all();
    }

    async fn link(&self, place: &Place) -> Result<Arc<Link>, Failure> {
        if let Some(link) = self.known(place) {
            return Ok(link);
        }
        self.refresh().await?;
        self.known(place)
            .ok_or_else(|| Failure::Away(format!("no server has slot {}", place.slot)))
    }

    fn known(&self, place: &Place) -> Option<Arc<Link>> {
        let links = self.links.lock();
        if !self.dial.is_cluster {
            return links.values().next().map(Arc::clone);
        }
        links.get(self.slots.read().find(place)?).map(Arc::clone)
    }

    /// Asks any server of the cluster who has which slots, not more often than is useful.
    pub(crate) async fn refresh(&self) -> Result<(), Failure> {
        if !self.dial.is_cluster {
            return Ok(());
        }
        let called_at = Instant::now();
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|at| at > called_at) {
            return Ok(());
        }
        if let Some(at) = *asked_at {
            tokio::time::sleep_until(at + REFRESH_PAUSE).await;
        }
        *asked_at = Some(Instant::now());
        let mut addresses: Vec<Address> = self.links.lock().keys().cloned().collect();
        addresses.extend(self.dial.seeds.iter().cloned());
        let mut failure = Failure::Away("no address".to_owned());
        for address in addresses {
            match self.dial.connect(&address, None).await {
                Ok(connection) => match self.learn(&address, connection).await {
                    Ok(()) => return Ok(()),
                    Err(error) => failure = error,
                },
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Takes over what a server says of the slots.
    async fn learn(
        &self,
        asked: &Address,
        mut connection: MultiplexedConnection,
    ) -> Result<(), Failure> {
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let answer = dial::ask(&mut connection, &ask, self.dial.command_timeout).await?;
        let slots = reply::slots(answer, asked).ok_or_else(|| Failure::strange("CLUSTER SLOTS"))?;
        debug!(ranges = slots.0.len(), "learned the slots of the cluster");
        let mut links = self.links.lock();
        let wanted = |address: &Address| slots.0.iter().any(|(_, _, one)| one == address);
        links.retain(|address, _| wanted(address));
        for (_, _, address) in &slots.0 {
            links.entry(address.clone()).or_insert_with(|| {
                let link = Link::new(Arc::clone(&self.dial), vec![address.clone()]);
                let link = Arc::new(link);
                self.tasks.lock().spawn(Arc::clone(&link).run());
                link
            });
        }
        drop(links);
        *self.slots.write() = slots;
        Ok(())
    }
}

/// How often a call is said again that was not carried out.
const ATTEMPTS_MAX: usize = 4;
/// How long what a cluster says of itself is believed, when it turns out to be wrong.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
