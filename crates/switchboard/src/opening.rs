//! Opens what a server stands on: what blocks does so on a thread that may.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use switchboard_bridge::Bridge;
use switchboard_engine::Listener;
use switchboard_event::{Catalogue, Clock};
use switchboard_gateway::{Access, Authenticator, Gateway, Ports};
use switchboard_ingest::{Ingest, KeysUnreadable, Parts};
use switchboard_journal::{Holder, Journal, ReadError};
use switchboard_outbox::{Outbox, STOP_TIMEOUT};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;

use crate::nodes::{Meeting, Nodes, Own};
use crate::random::{self, NodeId};
use crate::server::StartError;
use crate::settings::{Policy, Settings};
use crate::tls::{Certificate, CertificateError};
use crate::wiring::{self, JournalError};

/// The producers' side, which knows the API keys in the journal.
pub(crate) async fn ingest(
    settings: &Settings,
    ports: &Ports,
    catalogue: &Arc<Catalogue>,
    clock: &Clock,
) -> Result<Ingest, KeysUnreadable> {
    let ingest = Ingest::new(Parts {
        journal: Arc::clone(&ports.journal),
        fleeting: Arc::clone(&ports.fleeting),
        catalogue: Arc::clone(catalogue),
        keys: wiring::api_keys(&settings.producers),
        single_tenant: settings.auth.single_tenant.clone(),
        endpoints: wiring::endpoints(&settings.meta_webhooks),
        clock: clock.clone(),
        config: wiring::ingest(settings),
    });
    ingest.learn_keys().await?;
    Ok(ingest)
}

/// The clients' side.
pub(crate) async fn gateway(
    settings: &Settings,
    ports: Ports,
    catalogue: &Arc<Catalogue>,
    authenticator: Authenticator,
    access: &Access,
    clock: Clock,
) -> Result<Arc<Gateway>, ReadError> {
    let gateway = Gateway::new(
        ports,
        Arc::clone(catalogue),
        authenticator,
        access.clone(),
        clock,
        wiring::gateway(settings),
    );
    Ok(Arc::new(gateway.await?))
}

/// Learns of API keys that are made and revoked, and tells what had to wait, until it is dropped.
pub(crate) fn follow(ingest: Ingest) -> JoinSet<()> {
    let mut following = JoinSet::new();
    let watching = ingest.clone();
    following.spawn(async move { watching.watch().await });
    following.spawn(async move { ingest.follow_keys().await });
    following
}

/// As whom `node` takes rows from an outbox.
pub(crate) async fn outbox_holder(
    settings: &Settings,
    journal: &dyn Journal,
    node: &NodeId,
) -> Result<String, ReadError> {
    let first = journal.partitions().all().next();
    let first = first.expect("there is a partition, because their number is not 0");
    let epoch = journal.head(first).await?.epoch;
    Ok(wiring::outbox_holder(&settings.journal, epoch, node))
}

/// This node among those that share its journal.
pub(crate) fn nodes(
    settings: &Settings,
    id: NodeId,
    address: SocketAddr,
    ports: &Ports,
    clock: &Clock,
) -> io::Result<Nodes> {
    let meeting = if wiring::is_shared(&settings.journal) {
        let holder = Holder::new(u64::from_be_bytes(random::bytes()?));
        let leases = Arc::clone(&ports.leases);
        Some(Meeting::new(&*ports.journal, leases, holder))
    } else {
        None
    };
    let own = Own {
        id,
        name: settings.server.name.clone(),
        address,
        started_at: clock.now(),
    };
    Ok(Nodes::new(own, meeting, clock.clone()))
}

/// Who takes rows from the outbox, and what Node servers say; ends when it is dropped.
pub(crate) struct Taking {
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Taking {
    /// Begins to take as `holder`, if there is anything to take from.
    pub(crate) fn begin(
        outbox: Option<Outbox>,
        bridge: Option<Bridge>,
        parts: switchboard_bridge::Parts,
        holder: String,
    ) -> Self {
        let (stop, stopped) = watch::channel(());
        let stopped = || {
            let mut stopped = stopped.clone();
            async move {
                // A dropped sender is a dropped server.
                let _ = stopped.changed().await;
            }
        };
        let mut tasks = JoinSet::new();
        if let Some(outbox) = outbox {
            tasks.spawn(outbox.run(parts.ingest.clone(), holder, stopped()));
        }
        if let Some(bridge) = bridge {
            tasks.spawn(bridge.run(parts, stopped()));
        }
        Self { stop, tasks }
    }

    /// Takes no more, and leaves what waits to other nodes.
    pub(crate) async fn stop(self) {
        let Self { stop, mut tasks } = self;
        stop.send_replace(());
        let ended = async { while tasks.join_next().await.is_some() {} };
        let limit = STOP_TIMEOUT.max(switchboard_bridge::STOP_TIMEOUT);
        if timeout(limit, ended).await.is_err() {
            warn!("the outbox or the bridge did not stop in time, and was cut off");
        }
    }
}

/// What a bridge stands on.
pub(crate) fn bridge_parts(
    ingest: &Ingest,
    catalogue: &Arc<Catalogue>,
    ports: &Ports,
    clock: &Clock,
) -> switchboard_bridge::Parts {
    switchboard_bridge::Parts {
        ingest: ingest.clone(),
        catalogue: Arc::clone(catalogue),
        journal: Arc::clone(&ports.journal),
        leases: Arc::clone(&ports.leases),
        clock: clock.clone(),
    }
}

/// The outbox and the bridge of the settings, if they name them.
pub(crate) async fn sources(
    settings: &Settings,
) -> Result<(Option<Outbox>, Option<Bridge>), StartError> {
    Ok((outbox(settings).await?, bridge(settings)?))
}

fn bridge(settings: &Settings) -> Result<Option<Bridge>, StartError> {
    Ok(wiring::bridge(settings).map(Bridge::new).transpose()?)
}

/// The outbox of the settings, if they name one.
async fn outbox(settings: &Settings) -> Result<Option<Outbox>, StartError> {
    let Some(settings) = settings.outbox.clone() else {
        return Ok(None);
    };
    let made = spawn_blocking(move || Outbox::new(wiring::outbox(&settings))).await;
    Ok(Some(made.map_err(io::Error::other)??))
}

/// The certificate of the settings, if they name one.
pub(crate) async fn certificate(
    settings: &Settings,
) -> Result<Option<Arc<Certificate>>, StartError> {
    let Some(files) = settings.server.tls.clone() else {
        return Ok(None);
    };
    let loaded = spawn_blocking(move || Certificate::load(&files)).await;
    Ok(Some(loaded.map_err(io::Error::other)??))
}

/// The listener with TLS if there is a certificate, and who looks after that.
pub(crate) fn secured(
    public: TcpListener,
    certificate: Option<Arc<Certificate>>,
) -> Result<(Listener, JoinSet<()>), CertificateError> {
    let mut tasks = JoinSet::new();
    let Some(certificate) = certificate else {
        return Ok((public.into(), tasks));
    };
    let listener = Listener::with_tls(public, certificate.config()?);
    tasks.spawn(certificate.keep_fresh());
    Ok((listener, tasks))
}

/// On a thread that may block: whom the system trusts is read from its files.
pub(crate) async fn access(settings: &Settings, clock: Clock) -> Result<Access, StartError> {
    let settings = settings.access.clone();
    if settings.policy == Policy::Open {
        warn!("access.policy is open: everybody may join every room of their tenant");
    }
    let opened = spawn_blocking(move || wiring::access(&settings, clock)).await;
    Ok(opened.map_err(io::Error::other)??)
}

/// The journal and its sister ports.
pub(crate) async fn store(settings: &Settings) -> Result<Ports, JournalError> {
    wiring::store(&settings.journal).await
}
