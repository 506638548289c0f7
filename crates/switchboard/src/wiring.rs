//! From settings to the configuration of each crate. Nothing is decided here.

use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use switchboard_access::{Database, Decider, Desk, Http, HttpConfig, Sql, SqlConfig};
use switchboard_cluster::{RedisConfig, RedisJournal};
use switchboard_engine::{Doors, Origins, Proxies};
use switchboard_event::{CatalogueConfig, Clock, Epoch};
use switchboard_gateway::{
    Access, AuthConfig, FloorConfig, IssuerConfig, KeyServerConfig, LimitConfig, LinkDefault,
    OnExpiry, Ports,
};
use switchboard_hub::{Rule, Rules};
use switchboard_ingest::meta::Accounts;
use switchboard_ingest::{ApiKey, Endpoints, MetaEndpoint, ProducerLimits, Reach};
use switchboard_journal::{
    DiskConfig, DiskJournal, Fleeting, Journal, Leases, MemoryConfig, MemoryJournal, OpenError,
    Sessions,
};

use crate::random::NodeId;
use crate::settings::{
    self, AccessSettings, JournalKind, JournalSettings, MetaWebhook, OutboxSettings, Policy,
    Producer, Settings,
};
use crate::{clock, random};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The one on disk cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system has no randomness, or no thread to open it on.
    #[error("cannot make a journal: {0}")]
    System(#[from] io::Error),
    /// The one on Redis cannot be opened.
    #[error(transparent)]
    Redis(#[from] switchboard_cluster::OpenError),
}

/// The clock that everything is given.
pub(crate) fn system_clock() -> Clock {
    Clock::new(clock::now)
}

/// One store behind all of its ports. What blocks on the disk does so on a thread that may.
pub(crate) async fn store(settings: &JournalSettings) -> Result<Ports, JournalError> {
    let partitions = NonZeroU16::new(settings.partitions).unwrap_or(NonZeroU16::MIN);
    Ok(match &settings.kind {
        JournalKind::Disk(path) => {
            let config = DiskConfig {
                partitions,
                retention_age: settings.retention_age,
                retention_bytes: settings.retention_size,
                retention_events: settings.retention_events.clone(),
                ..DiskConfig::new(path)
            };
            let opening = tokio::task::spawn_blocking(move || DiskJournal::open(&config));
            ports(opening.await.map_err(io::Error::other)??)
        }
        JournalKind::Memory => ports(MemoryJournal::new(MemoryConfig {
            partitions,
            retention_age: settings.retention_age,
            retention_bytes: usize::try_from(settings.retention_size).unwrap_or(usize::MAX),
            retention_events: settings.retention_events.clone(),
            ..MemoryConfig::new(Epoch::new(u64::from_be_bytes(random::bytes()?)))
        })),
        JournalKind::Redis(redis) => {
            let opening = RedisJournal::open(RedisConfig {
                partitions,
                retention_age: settings.retention_age,
                retention_bytes: settings.retention_size,
                ..redis.config()
            });
            ports(opening.await?)
        }
    })
}

fn ports(store: impl Journal + Sessions + Leases + Fleeting) -> Ports {
    let store = Arc::new(store);
    Ports {
        journal: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        leases: Arc::clone(&store) as _,
        fleeting: store,
    }
}

/// How clients are authenticated, and what they may hear.
pub(crate) fn auth(settings: &Settings) -> AuthConfig {
    let auth = settings.auth.clone();
    let own = auth.verification.map(|verification| IssuerConfig {
        name: auth.issuer,
        audience: auth.audience,
        verification: verification.of_gateway(),
        user_claims: auth.user_claims,
        tenant_claims: auth.tenant_claims,
        rooms_claim: auth.rooms_claim,
        link_claim: auth.link_claim,
        single_tenant: auth.single_tenant,
    });
    let others = auth.issuers.into_iter().map(|other| IssuerConfig {
        name: Some(other.issuer),
        audience: other.audience,
        verification: other.verification.of_gateway(),
        user_claims: other.user_claims,
        tenant_claims: other.tenant_claims,
        rooms_claim: other.rooms_claim,
        link_claim: other.link_claim,
        single_tenant: other.tenant,
    });
    AuthConfig {
        issuers: own.into_iter().chain(others).collect(),
        link_default: match auth.link_default {
            settings::LinkDefault::Subscribe => LinkDefault::Subscribe,
            settings::LinkDefault::None => LinkDefault::Nobody,
        },
        leeway: auth.leeway,
        reads_rooms: settings.access.reads_claims(),
        key_servers: KeyServerConfig {
            refresh: auth.key_servers.refresh,
            pause: auth.key_servers.pause,
            keep: auth.key_servers.keep,
        },
    }
}

/// How rooms are decided, and by whom.
pub(crate) fn access(settings: &AccessSettings, clock: Clock) -> Result<Access, AccessError> {
    let rule = |policy: &Policy| match policy {
        Policy::Claims => Rule::Claims,
        Policy::Open => Rule::Open,
        Policy::Sql(_) | Policy::Http => Rule::Ask,
    };
    let mut rules = Rules::new(rule(&settings.policy));
    for (kind, policy) in &settings.kinds {
        rules = rules.with(kind.clone(), rule(policy));
    }
    if !rules.ask() {
        return Ok(Access::new(rules, None));
    }
    let desks = Desks::new(settings, clock)?;
    let own = settings.kinds.iter();
    let own = own.filter_map(|(kind, policy)| Some((kind.clone(), desks.of(policy)?)));
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let config = switchboard_access::Config {
        ttl: settings.ttl,
        ttl_denied: settings.ttl_denied,
        grant_ttl_max: settings.grant_ttl_max,
        cached_max: size(settings.cached_max),
        ..switchboard_access::Config::default()
    };
    let decider = Decider::new(own, desks.of(&settings.policy), config);
    Ok(Access::new(rules, Some(decider)))
}

/// Why nobody can be asked about rooms.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The database.
    #[error(transparent)]
    Sql(#[from] switchboard_access::OpenError),
    /// The CRM's backend.
    #[error(transparent)]
    Http(#[from] switchboard_outbound::InvalidRoots),
}

/// Who can be asked: one database and one backend, whatever the kind.
struct Desks {
    sql: Option<(Database, Duration)>,
    http: Option<Desk>,
}

impl Desks {
    fn new(settings: &AccessSettings, clock: Clock) -> Result<Self, AccessError> {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let sql = settings.sql.clone().map(|sql| {
            let database = Database::new(SqlConfig {
                url: sql.url,
                pool_max: size(sql.pool_max),
                timeout: sql.timeout,
                ca: sql.ca.map(Vec::into_boxed_slice),
            });
            database.map(|database| (database, sql.timeout))
        });
        let http = settings.http.clone().map(|http| {
            let config = HttpConfig {
                url: http.url,
                secret: http.secret.reveal().as_bytes().into(),
                timeout: http.timeout,
                questions_max: size(http.questions_max),
            };
            Http::new(config, clock).map(|source| Desk {
                source: Arc::new(source),
                timeout: http.timeout,
            })
        });
        Ok(Self {
            sql: sql.transpose()?,
            http: http.transpose()?,
        })
    }

    /// Where to ask about rooms of a policy, if anywhere.
    fn of(&self, policy: &Policy) -> Option<Desk> {
        match policy {
            Policy::Claims | Policy::Open => None,
            Policy::Http => self.http.clone(),
            Policy::Sql(query) => {
                let (database, timeout) = self.sql.clone()?;
                Some(Desk {
                    source: Arc::new(Sql::new(database, query)),
                    timeout,
                })
            }
        }
    }
}

/// Who may publish.
pub(crate) fn api_keys(producers: &[Producer]) -> Vec<ApiKey> {
    let keys = producers.iter().map(|producer| ApiKey {
        name: producer.name.clone(),
        hash: producer.key_sha256,
        reach: Reach::of(producer.tenant.clone()),
        scopes: producer.scopes.clone(),
    });
    keys.collect()
}

/// Which webhooks are registered.
pub(crate) fn endpoints(webhooks: &[MetaWebhook]) -> Endpoints {
    let meta = webhooks.iter().map(|webhook| {
        let accounts = Accounts {
            tenant: webhook.tenant.clone(),
            by_phone_number: webhook.accounts.clone(),
        };
        let (app_secret, verify_token) =
            (webhook.app_secret.reveal(), webhook.verify_token.reveal());
        (
            webhook.endpoint.clone(),
            MetaEndpoint::new(accounts, app_secret, verify_token),
        )
    });
    Endpoints {
        meta: meta.collect(),
    }
}

/// The table that events are taken from.
pub(crate) fn outbox(settings: &OutboxSettings) -> switchboard_outbox::Config {
    let settings = settings.clone();
    switchboard_outbox::Config {
        address: settings.url,
        ca: settings.ca.map(Vec::into_boxed_slice),
        table: settings.table,
        channel: settings.channel,
        reach: Reach::of(settings.tenant),
        poll: settings.poll,
        batch: usize::try_from(settings.batch).unwrap_or(usize::MAX),
        after: settings.after,
        lease: settings.lease,
        timeout: settings.timeout,
    }
}

/// What is bridged; none if nothing is.
pub(crate) fn bridge(settings: &Settings) -> Option<switchboard_bridge::Config> {
    let mappings = settings.bridges.clone();
    let connection = settings.redis.as_ref()?.connection();
    (!mappings.is_empty()).then_some(switchboard_bridge::Config {
        connection,
        mappings,
    })
}

/// As whom this node takes from an outbox. A journal of one process says who it is: so a restart goes
/// on at once with what its former life had. Where several nodes share one, each is itself.
pub(crate) fn outbox_holder(settings: &JournalSettings, epoch: Epoch, node: &NodeId) -> String {
    if is_shared(settings) {
        format!("node {node}")
    } else {
        format!("journal {epoch}")
    }
}

/// Whether other nodes may have the same journal.
pub(crate) fn is_shared(settings: &JournalSettings) -> bool {
    match settings.kind {
        JournalKind::Disk(_) | JournalKind::Memory => false,
        JournalKind::Redis(_) => true,
    }
}

/// The producers' side.
pub(crate) fn ingest(settings: &Settings) -> switchboard_ingest::Config {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    switchboard_ingest::Config {
        body_len_max: size(settings.ingest.body_max),
        webhook_body_len_max: size(settings.ingest.webhook_body_max),
        limits: producer_limits(settings),
        appends_max: usize::try_from(settings.ingest.appends_max).unwrap_or(usize::MAX),
        append_bytes_max: size(settings.ingest.append_bytes_max),
        campaign_progress_every: settings.ingest.campaign_progress_every.into(),
        account_silence_max: settings.ingest.account_silence,
        receipt_retention: settings.journal.retention_age,
        ..switchboard_ingest::Config::default()
    }
}

/// The clients' side.
pub(crate) fn gateway(settings: &Settings) -> switchboard_gateway::Config {
    switchboard_gateway::Config {
        session_ttl: settings.session.ttl,
        sync_interval: settings.session.sync_interval,
        limits: client_limits(settings),
        on_expiry: match settings.auth.on_expiry {
            settings::OnExpiry::Disconnect => OnExpiry::Disconnect,
            settings::OnExpiry::Keep => OnExpiry::Keep,
        },
        expiry_notice: settings.auth.expiry_notice,
        expiry_leeway: settings.auth.leeway,
        floor: FloorConfig {
            typing_lifetime: settings.typing.lifetime,
            grace: settings.presence.grace,
            lease: settings.presence.lease,
            team_max: usize::try_from(settings.presence.team_max).unwrap_or(usize::MAX),
        },
    }
}

/// Which events there are.
pub(crate) fn catalogue(settings: &Settings) -> CatalogueConfig {
    CatalogueConfig {
        fleeting_lifetime: settings.typing.contact_lifetime,
        ..settings.catalogue.clone()
    }
}

/// How much comes by one API key.
pub(crate) fn producer_limits(settings: &Settings) -> ProducerLimits {
    ProducerLimits {
        requests: settings.limits.producer_requests,
        events: settings.limits.producer_events,
        unknown_keys: settings.limits.unknown_keys_per_address,
    }
}

/// How much a user may do.
pub(crate) fn client_limits(settings: &Settings) -> LimitConfig {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let limits = &settings.limits;
    LimitConfig {
        connections_per_user_max: count(limits.connections_per_user_max),
        connections_per_user: limits.connections_per_user,
        rooms_per_session_max: count(limits.rooms_per_session_max),
        subscriptions: limits.subscriptions,
        fleeting: limits.fleeting,
        events: limits.events,
        refusals: limits.refusals,
    }
}

/// Who is let in.
pub(crate) fn doors(settings: &Settings) -> Doors {
    let Settings { server, limits, .. } = settings;
    let origins = server.cors_origins.iter().map(settings::Origin::text);
    Doors {
        origins: Origins::Listed(origins.collect()),
        proxies: Proxies {
            trusted: server.trusted_proxies.clone(),
            header: server.proxy_header,
        },
        connections_per_address: limits.connections_per_address,
    }
}

/// The clients' transport.
pub(crate) fn engine(settings: &Settings) -> switchboard_engine::Config {
    let Settings { server, engine, .. } = settings;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    switchboard_engine::Config {
        ping_interval: engine.ping_interval,
        ping_timeout: engine.ping_timeout,
        connect_timeout: engine.connect_timeout,
        upgrade_timeout: engine.upgrade_timeout,
        payload_max: size(engine.payload_max),
        outbox_bytes_max: size(engine.outbox_bytes_max),
        outbox_packets_max: count(engine.outbox_packets_max),
        connections_max: count(engine.connections_max),
        connections_per_address_max: count(engine.connections_per_address_max),
        unjoined_max: count(engine.unjoined_max),
        refusals_max: engine.refusals_max,
        handshakes_per_second_max: engine.handshakes_per_second_max,
        drain_timeout: server.drain_timeout,
        drain_spread: server.drain_spread,
        doors: doors(settings),
        origins_setting: "server.cors_origins",
        ..switchboard_engine::Config::default()
    }
}
