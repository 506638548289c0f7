//! One running server: the straight line, put together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use switchboard_bridge::Bridge;
use switchboard_engine::Engine;
use switchboard_event::{
    Catalogue, CatalogueError, Draft, EventId, ReceiptView, TenantId, Timestamp,
};
use switchboard_gateway::{Access, Authenticator, Gateway, InvalidAuth};
use switchboard_ingest::{
    Ingest, KeysUnreadable, Problem, PublishError, Published, Reach, Refused, Scope, Unavailable,
};
use switchboard_journal::{Health, Journal, ReadError};
use switchboard_outbox::Outbox;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::admin::{Admin, Metered};
use crate::clock;
use crate::emitter::Emitter;
use crate::health::{self, Vitals};
use crate::listener::Listeners;
use crate::metrics::{self, Process, Snapshot, Unknown};
use crate::nodes::{ConnectionStats, Headcount, Nodes};
use crate::opening::{self, Taking};
use crate::random::NodeId;
use crate::readiness::{Readiness, Status};
use crate::settings::Settings;
use crate::tls::Certificate;
use crate::wiring;

pub use crate::tls::CertificateError;
pub use crate::wiring::{AccessError, JournalError};

/// A running server, for programs that embed one.
///
/// Dropping it stops it too, but then nobody waits for the end: use [`shutdown`](Self::shutdown). The
/// journal's directory is free once the clients are gone.
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    ingest: Ingest,
    admin: Option<Admin>,
    stop: oneshot::Sender<()>,
    transport: JoinHandle<io::Result<()>>,
    /// Ends when it is dropped; else it would hold the journal open for ever.
    fan_out: JoinSet<()>,
    /// Learns of API keys and other nodes, and tells what had to wait. The same.
    following: JoinSet<()>,
    /// Takes from the outbox and from Node. The same.
    taking: Taking,
    /// Looks after the certificate, and ends when it is dropped.
    _certificate: JoinSet<()>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal cannot be read.
    #[error("cannot read the journal: {0}")]
    Head(#[from] ReadError),
    /// The API keys in the journal cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysUnreadable),
    /// The settings make no catalogue.
    #[error("cannot make the catalogue: {0}")]
    Catalogue(#[from] CatalogueError),
    /// A key of tokens is none, or issuers cannot be told apart.
    #[error("cannot verify tokens: {0}")]
    Auth(#[from] InvalidAuth),
    /// There is no certificate.
    #[error("cannot speak TLS: {0}")]
    Certificate(#[from] CertificateError),
    /// Nobody can be asked about rooms.
    #[error("cannot ask about access: {0}")]
    Access(#[from] AccessError),
    /// There is no way to the outbox.
    #[error("cannot take from the outbox: {0}")]
    Outbox(#[from] switchboard_postgres::OpenError),
    /// There is no way to Redis.
    #[error("cannot bridge: {0}")]
    Bridge(#[from] switchboard_bridge::InvalidConnection),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Why a server ended that nobody stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// Clients and producers are not served any more.
    #[error("the transport ended: {0}")]
    Transport(String),
    /// Records do not reach clients any more.
    #[error("the fan-out ended")]
    FanOut,
}

/// What the routes ask.
struct Shared {
    nodes: Nodes,
    started_at: Timestamp,
    readiness: Readiness,
    journal: Arc<dyn Journal>,
    engine: Engine<Gateway>,
    gateway: Arc<Gateway>,
    access: Access,
    catalogue: Arc<Catalogue>,
    ingest: Ingest,
    outbox: Option<Outbox>,
    bridge: Option<Bridge>,
    certificate: Option<Arc<Certificate>>,
}

impl Server {
    /// Starts a server on `listeners`, and returns once it accepts connections. A single
    /// [`TcpListener`](tokio::net::TcpListener) makes one without `/metrics`.
    ///
    /// # Errors
    ///
    /// If the journal cannot be opened or the settings, made by hand, do not hold together.
    pub async fn start(
        settings: &Settings,
        listeners: impl Into<Listeners>,
    ) -> Result<Self, StartError> {
        let node = NodeId::random()?;
        let Listeners { public, admin } = listeners.into();
        let local_addr = public.local_addr()?;
        let catalogue = Arc::new(Catalogue::new(wiring::catalogue(settings))?);
        let authenticator = Authenticator::new(wiring::auth(settings))?;
        let certificate = opening::certificate(settings).await?;
        let clock = wiring::system_clock();
        let access = opening::access(settings, clock.clone()).await?;
        let (outbox, bridge) = opening::sources(settings).await?;
        let ports = opening::store(settings).await?;
        let ingest = opening::ingest(settings, &ports, &catalogue, &clock).await?;
        let base = opening::bridge_parts(&ingest, &catalogue, &ports, &clock);
        let nodes = opening::nodes(settings, node.clone(), local_addr, &ports, &clock)?;
        let gateway = opening::gateway(settings, ports, &catalogue, authenticator, &access, clock);
        let gateway = gateway.await?;
        let engine = Engine::new(Arc::clone(&gateway), wiring::engine(settings));
        let shared = Arc::new(Shared {
            nodes,
            started_at: clock::now(),
            readiness: Readiness::default(),
            journal: Arc::clone(&base.journal),
            engine: engine.clone(),
            gateway: Arc::clone(&gateway),
            access,
            catalogue,
            ingest: ingest.clone(),
            outbox: outbox.clone(),
            bridge: bridge.clone(),
            certificate: certificate.clone(),
        });

        let mut following = opening::follow(ingest.clone());
        let member = Arc::clone(&shared);
        following.spawn(async move { member.nodes.keep(|| member.headcount()).await });
        let holder = opening::outbox_holder(settings, &*shared.journal, &node).await?;
        let taking = Taking::begin(outbox, bridge, base, holder);
        let routes = ingest.router().merge(health::routes(Arc::clone(&shared)));
        let routes = routes.fallback(|| async { Problem::not_found() });
        let begin = |listener| Admin::start(listener, Arc::clone(&shared));
        let admin = admin.map(begin).transpose()?;
        let (stop, stopped) = oneshot::channel();
        let fan_out = JoinSet::from_iter([async move { gateway.run().await }]);
        let (public, certificate) = opening::secured(public, certificate)?;
        let transport = tokio::spawn(switchboard_engine::serve(public, engine, routes, async {
            // A dropped sender is a dropped server.
            let _ = stopped.await;
        }));
        shared.readiness.serve();
        let tls = shared.certificate.is_some();
        info!(address = %local_addr, %node, tls, "listening");
        Ok(Self {
            local_addr,
            shared,
            ingest,
            admin,
            stop,
            transport,
            fan_out,
            following,
            taking,
            _certificate: certificate,
        })
    }

    /// Where the server listens: the port that the system picked, if it was asked to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where `/metrics` is, if it is anywhere.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::local_addr)
    }

    /// Who is connected, to all nodes that share the journal and to each: what `/v1/stats` tells.
    #[must_use]
    pub fn connection_stats(&self) -> ConnectionStats {
        self.shared.stats()
    }

    /// Publishes drafts of one tenant as a producer would, and returns once they are durable.
    ///
    /// # Errors
    ///
    /// If nothing was taken; what became of each draft is in the answer.
    pub async fn publish(
        &self,
        tenant: &TenantId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Published, Refused>>, PublishError> {
        self.ingest.publish(tenant, drafts).await
    }

    /// Who got an event of `tenant` so far, or in the end; none if nobody asked, or if it is so long
    /// ago that it is forgotten. An [`Emitter`] asks [`with_receipt`](Emitter::with_receipt).
    ///
    /// # Errors
    ///
    /// If the journal cannot be read right now.
    pub async fn receipt(
        &self,
        tenant: &TenantId,
        event: &EventId,
    ) -> Result<Option<ReceiptView>, Unavailable> {
        self.ingest.receipt(tenant, event).await
    }

    /// Publishes the contract's events of `tenant`, organised by feature.
    #[must_use]
    pub fn emitter(&self, tenant: TenantId) -> Emitter {
        Emitter::new(self.ingest.clone(), tenant)
    }

    /// Lets those of the settings be in force from now on that can change while the server runs:
    /// `limits`, `producers`, `webhooks`, and of `server` who may connect. What is begun goes on.
    pub fn reload(&self, settings: &Settings) {
        let Shared {
            engine,
            gateway,
            ingest,
            ..
        } = &*self.shared;
        engine.set_doors(wiring::doors(settings));
        gateway.set_limits(&wiring::client_limits(settings));
        ingest.set_limits(&wiring::producer_limits(settings));
        ingest.set_keys(wiring::api_keys(&settings.producers));
        ingest.set_endpoints(wiring::endpoints(&settings.meta_webhooks));
    }

    /// The producers' side, for whoever publishes while the server is watched.
    pub(crate) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Lets the fan-out die, as a fault would.
    #[cfg(test)]
    pub(crate) fn end_fan_out(&mut self) {
        self.fan_out.abort_all();
    }

    /// Waits for an end that nobody asked for.
    pub async fn ended(&mut self) -> Ended {
        tokio::select! {
            ended = &mut self.transport => Ended::Transport(match ended {
                Ok(Ok(())) => "it stopped by itself".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            }),
            _ = self.fan_out.join_next() => Ended::FanOut,
        }
    }

    /// Drains: accepts nothing more, closes clients' transports so that they go to another node,
    /// finishes requests and appends, and returns when the journal is closed.
    pub async fn shutdown(self) {
        let Self {
            shared,
            ingest: _,
            // To the end: how a drain goes is worth looking at.
            admin: _admin,
            local_addr: _,
            stop,
            transport,
            mut fan_out,
            mut following,
            taking,
            _certificate,
        } = self;
        shared.readiness.drain();
        taking.stop().await;
        // Whoever would hear it has ended already.
        let _ = stop.send(());
        if let Err(error) = flatten(transport.await) {
            warn!(%error, "the transport ended badly");
        }
        following.shutdown().await;
        shared.nodes.leave().await;
        shared.journal.close().await;
        // Tails end with the journal.
        if let Some(Err(error)) = fan_out.join_next().await {
            warn!(%error, "the fan-out ended badly");
        }
        info!("stopped");
    }
}

impl Shared {
    /// What there is on this node.
    fn headcount(&self) -> Headcount {
        Headcount::of(self.gateway.stats())
    }
}

impl Vitals for Shared {
    fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    fn journal(&self) -> Result<(), String> {
        match self.journal.health() {
            Health::Ready => Ok(()),
            Health::Failing { reason } => Err(reason),
        }
    }

    fn degraded(&self) -> Option<String> {
        let outbox = self.outbox.as_ref().and_then(Outbox::degraded);
        let bridge = self.bridge.as_ref().and_then(Bridge::degraded);
        let reasons = self.access.degraded().into_iter();
        let reasons: Vec<_> = reasons.chain(outbox).chain(bridge).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn stats(&self) -> ConnectionStats {
        self.nodes.stats(self.headcount())
    }

    fn authorize(
        &self,
        client: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Reach, Response> {
        let producer = self.ingest.producer(client, headers);
        let reach = producer.and_then(|producer| {
            producer.require(Scope::Read)?;
            Ok(producer.reach().clone())
        });
        reach.map_err(Problem::into_response)
    }
}

impl Metered for Shared {
    fn metrics(&self) -> String {
        let journal = self.journal();
        let is_journal_healthy = journal.is_ok();
        let status = self.readiness.status(|| journal, || None);
        metrics::text(&Snapshot {
            process: Process {
                started_at: self.started_at,
                is_ready: status == Status::Ready,
            },
            nodes: self.nodes.count(),
            engine: self.engine.stats(),
            engine_counts: self.engine.counts(),
            queued: self.engine.queued(),
            gateway: self.gateway.stats(),
            gateway_counts: self.gateway.counts(),
            key_fetches: self.gateway.key_fetches(),
            key_servers: self.gateway.key_servers(),
            certificate_not_after: self.certificate.as_ref().and_then(|one| one.not_after()),
            certificate_reloads: self.certificate.as_ref().map(|one| one.reloads()),
            access: self.access.counts(),
            is_degraded: self.access.degraded().is_some(),
            ingest: self.ingest.counts(),
            outbox: self.outbox.as_ref().map(Outbox::counts),
            bridge: self.bridge.as_ref().map(Bridge::counts),
            unknown: self.catalogue.unknown_counts().map(Unknown::of).collect(),
            journal: self.journal.stats(),
            is_journal_healthy,
        })
    }
}

fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    ended.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
