//! How a connection to Redis is made.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, ProtocolVersion, PushInfo, RedisError, TlsCertificates, Value,
};
use tokio::time::timeout;

/// Where Redis is, and how to speak to it.
#[derive(Clone)]
pub struct Connection {
    /// `redis://` or, with TLS, `rediss://`. The first that answers as a primary counts; of a cluster
    /// any node will do.
    pub urls: Vec<String>,
    /// Whose rights we have, if not those of the URL.
    pub username: Option<String>,
    /// The password, if not that of the URL. Never shown.
    pub password: Option<String>,
    /// Certificates (PEM) of the authorities that are trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer.
    pub command_timeout: Duration,
}

/// An address of Redis that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("address {index} {reason}")]
pub struct InvalidConnection {
    /// Which, counted from 1.
    pub index: usize,
    /// What is wrong with it; no password is in it.
    pub reason: String,
}

/// Makes connections.
#[derive(Clone)]
pub struct Dial {
    servers: Vec<ConnectionInfo>,
    ca: Option<Vec<u8>>,
    connect_timeout: Duration,
    command_timeout: Duration,
}

/// Whoever is told what nobody asked for. Called for each, so it must not wait.
pub(crate) type Pushes = Box<dyn Fn(PushInfo) + Send + Sync>;

/// A connection that failed, or an answer that is an error. No password is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no answer of redis within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("{server}: {reason}")]
    Away { server: String, reason: String },
    #[error("redis: {}", shown(.0))]
    Redis(#[from] RedisError),
}

impl Failure {
    pub(crate) fn lost() -> Self {
        Self::Away {
            server: "redis".to_owned(),
            reason: "the connection was lost".to_owned(),
        }
    }
}

impl Dial {
    /// Checks what can be checked without Redis.
    pub fn new(connection: &Connection) -> Result<Self, InvalidConnection> {
        let mut servers = Vec::with_capacity(connection.urls.len());
        let mut has_tls = false;
        for (index, url) in connection.urls.iter().enumerate() {
            let refuse = |reason: &str| InvalidConnection {
                index: index + 1,
                reason: reason.to_owned(),
            };
            let info = url.as_str().into_connection_info();
            let info = info.map_err(|error| refuse(error.category()))?;
            match info.addr() {
                ConnectionAddr::Tcp(..) => {}
                ConnectionAddr::TcpTls {
                    insecure: false, ..
                } => has_tls = true,
                ConnectionAddr::TcpTls { .. } => return Err(refuse("leaves TLS unchecked")),
                _ => return Err(refuse("is no host and port")),
            }
            let mut redis = info
                .redis_settings()
                .clone()
                .set_protocol(ProtocolVersion::RESP3)
                .set_lib_name("switchboard", env!("CARGO_PKG_VERSION"));
            if let Some(username) = &connection.username {
                redis = redis.set_username(username);
            }
            if let Some(password) = &connection.password {
                redis = redis.set_password(password);
            }
            servers.push(info.set_redis_settings(redis));
        }
        if servers.is_empty() {
            return Err(InvalidConnection {
                index: 1,
                reason: "is missing".to_owned(),
            });
        }
        if has_tls {
            // An error means that the program has chosen one already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        Ok(Self {
            servers,
            ca: connection.ca.clone(),
            connect_timeout: connection.connect_timeout,
            command_timeout: connection.command_timeout,
        })
    }

    /// A connection to the first server that is a primary.
    pub(crate) async fn connect(
        &self,
        pushes: impl Fn() -> Option<Pushes>,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut failure = None;
        for info in &self.servers {
            match self.connect_to(info.clone(), pushes()).await {
                Ok(mut connection) => {
                    let mut role = redis::cmd("INFO");
                    role.arg("replication");
                    match self.ask(&mut connection, &role).await {
                        Ok(answer) if text(&answer).contains("role:slave") => {
                            failure = Some(away(info, &"is a replica"));
                        }
                        // Who may not ask is not kept from publishing.
                        Ok(_) | Err(Failure::Redis(_)) => return Ok(connection),
                        Err(error) => failure = Some(error),
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Failure::Late(self.connect_timeout)))
    }

    /// A connection to the server that another one named.
    pub(crate) async fn follow(
        &self,
        host: &str,
        port: u16,
    ) -> Result<MultiplexedConnection, Failure> {
        let template = &self.servers[0];
        let addr = match template.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        self.connect_to(template.clone().set_addr(addr), None).await
    }

    async fn connect_to(
        &self,
        info: ConnectionInfo,
        pushes: Option<Pushes>,
    ) -> Result<MultiplexedConnection, Failure> {
        let has_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let client = if has_tls && self.ca.is_some() {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: self.ca.clone(),
            };
            Client::build_with_tls(info.clone(), certificates)
        } else {
            Client::open(info.clone())
        };
        let client = client.map_err(|error| away(&info, &shown(&error)))?;
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push: PushInfo| {
                pushes(push);
                Ok::<_, ()>(())
            });
        }
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| away(&info, &shown(&error))),
            Err(_) => Err(away(&info, &"no connection in time")),
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        self.ask_for(connection, command, Duration::ZERO).await
    }

    /// Sends several at once; none of their answers may be an error.
    pub(crate) async fn ask_all(
        &self,
        connection: &mut MultiplexedConnection,
        commands: &Pipeline,
    ) -> Result<(), Failure> {
        match timeout(self.command_timeout, commands.exec_async(connection)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Late(self.command_timeout)),
        }
    }

    /// The same for a command that blocks for so long.
    pub(crate) async fn ask_for(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
        block: Duration,
    ) -> Result<Value, Failure> {
        let limit = self.command_timeout + block;
        match timeout(limit, connection.send_packed_command(command)).await {
            Ok(answer) => Ok(answer.and_then(Value::extract_error)?),
            Err(_) => Err(Failure::Late(limit)),
        }
    }
}

/// The addresses may hold a password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

/// An answer as text; nothing if it is none.
pub(crate) fn text(value: &Value) -> &str {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).unwrap_or_default(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        _ => "",
    }
}

fn away(info: &ConnectionInfo, reason: &dyn fmt::Display) -> Failure {
    Failure::Away {
        server: info.addr().to_string(),
        reason: reason.to_string(),
    }
}

/// What Redis said in the end: its details may name a key, never a payload or a password.
fn shown(error: &RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_its_password_is_not_shown() {
        let connection = |url: &str| Connection {
            urls: vec![url.to_owned()],
            username: None,
            password: None,
            ca: None,
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_secs(1),
        };
        let good = connection("redis://crm:hidden@localhost:6379");

        assert!(!format!("{good:?} {:?}", Dial::new(&good)).contains("hidden"));
        assert!(Dial::new(&good).is_ok());
        for url in [
            "http://crm:hidden@localhost",
            "rediss://crm:hidden@localhost/#insecure",
            "",
        ] {
            let refused = Dial::new(&connection(url)).unwrap_err();
            assert!(!refused.to_string().contains("hidden"), "{refused}");
        }
    }
}
