//! How a connection to Redis is made.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, ProtocolVersion, PushInfo, TlsCertificates, Value,
};
use tokio::sync::mpsc;

use crate::error::{Failure, OpenError};
use crate::keys::Place;
use crate::{RedisConfig, keys};

/// A server of Redis, as we reach it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Where the settings say that Redis is, and how to speak to it.
pub(crate) struct Dial {
    /// What all connections have in common; its address is replaced.
    template: ConnectionInfo,
    has_tls: bool,
    ca: Option<Vec<u8>>,
    pub(crate) seeds: Vec<Address>,
    pub(crate) is_cluster: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
}

impl Dial {
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, OpenError> {
        if !keys::is_prefix(&config.prefix) {
            return Err(OpenError::Prefix {
                prefix: config.prefix.clone(),
            });
        }
        let mut seeds = Vec::with_capacity(config.urls.len());
        let mut first = None;
        for (index, url) in config.urls.iter().enumerate() {
            let refuse = |reason: &str| OpenError::Address {
                index: index + 1,
                reason: reason.to_owned(),
            };
            let info = url.as_str().into_connection_info();
            let info = info.map_err(|error| refuse(error.category()))?;
            let (host, port, has_tls) = match info.addr() {
                ConnectionAddr::Tcp(host, port) => (host.clone(), *port, false),
                ConnectionAddr::TcpTls {
                    insecure: false,
                    host,
                    port,
                    ..
                } => (host.clone(), *port, true),
                ConnectionAddr::TcpTls { .. } => return Err(refuse("it leaves TLS unchecked")),
                _ => return Err(refuse("it is no host and port")),
            };
            if config.cluster && info.redis_settings().db() != 0 {
                return Err(refuse("a cluster has no other database than 0"));
            }
            let (_, shared) = first.get_or_insert((info, has_tls));
            if *shared != has_tls {
                return Err(refuse("some addresses have TLS and some have not"));
            }
            seeds.push(Address { host, port });
        }
        let Some((info, has_tls)) = first else {
            return Err(OpenError::Address {
                index: 1,
                reason: "there is none".to_owned(),
            });
        };
        if has_tls {
            // An error means that the program has chosen one already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let mut redis = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("switchboard", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &config.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &config.password {
            redis = redis.set_password(password);
        }
        Ok(Self {
            template: info.set_redis_settings(redis),
            has_tls,
            ca: config.ca.clone(),
            seeds,
            is_cluster: config.cluster,
            connect_timeout: config.connect_timeout,
            command_timeout: config.command_timeout,
        })
    }

    /// A connection of its own, which says by `pushes` what nobody asked for.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        pushes: Option<mpsc::Sender<PushInfo>>,
    ) -> Result<MultiplexedConnection, Failure> {
        let host = address.host.clone();
        let port = address.port;
        let addr = if self.has_tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = self.template.clone().set_addr(addr);
        let away = |reason: &dyn fmt::Display| Failure::Away(format!("{address}: {reason}"));
        let client = if self.has_tls && self.ca.is_some() {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: self.ca.clone(),
            };
            Client::build_with_tls(info, certificates)
        } else {
            Client::open(info)
        };
        let client = client.map_err(|error| away(&error))?;
        // Each caller waits as long as it wants to.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None);
        if let Some(pushes) = pushes {
            // What finds no room is lost, which its numbers tell whoever listens.
            config = config.set_push_sender(move |push: PushInfo| pushes.try_send(push));
        }
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| away(&error)),
            Err(_) => Err(away(&"no connection in time")),
        }
    }
}

/// Sends a command and waits for its answer, so long at most.
pub(crate) async fn ask(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    limit: Duration,
) -> Result<Value, Failure> {
    let answer = tokio::time::timeout(limit, connection.send_packed_command(command));
    let Ok(answer) = answer.await else {
        let millis = limit.as_millis();
        return Err(Failure::Away(format!(
            "no answer of redis within {millis} ms"
        )));
    };
    match answer.and_then(Value::extract_error) {
        Ok(value) => Ok(value),
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) => {
            let reason = error.category();
            Err(Failure::Away(format!("connection to redis lost: {reason}")))
        }
        Err(error) => Err(Failure::Server(error)),
    }
}

/// The template holds the password.
impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("seeds", &self.seeds)
            .finish_non_exhaustive()
    }
}

/// Which server has which slots of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(pub(crate) Vec<(u16, u16, Address)>);

impl Slots {
    pub(crate) fn find(&self, place: &Place) -> Option<&Address> {
        let has = |(first, last, _): &&(u16, u16, Address)| (*first..=*last).contains(&place.slot);
        self.0.iter().find(has).map(|(_, _, address)| address)
    }
}
