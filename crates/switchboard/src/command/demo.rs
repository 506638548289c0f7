//! `switchboard demo`

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use switchboard_event::TenantId;
use switchboard_ingest::{Ingest, KeyHash};
use tempfile::TempDir;
use tokio::time::sleep;
use tracing::warn;

use super::{Failure, program, say};
use crate::demo::{ACCOUNTS, CAMPAIGNS, CONTACTS, Simulation, Step};
use crate::listener::Listeners;
use crate::server::Server;
use crate::settings::{Auth, Environment, Secret, Settings};
use crate::token::Claims;
use crate::{clock, random, shutdown, telemetry};

/// Run a server with a simulated shop, and print what to paste to see it
///
/// Nothing has to be prepared and nothing is left behind: secrets are made for this run, and the
/// records lie in a temporary directory. Whoever has a token may join every room.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard demo --port 5001")]
pub(crate) struct Demo {
    /// The port; 0 lets the system pick one
    #[arg(long, default_value_t = 5000)]
    port: u16,

    /// Keep the records in this directory instead of a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What this run made up.
struct Credentials {
    tenant: TenantId,
    secret: Secret,
    key: Secret,
}

impl Demo {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let credentials = Credentials {
            tenant: TENANT.parse()?,
            secret: random::secret("")?,
            key: random::secret("sb_")?,
        };
        let (directory, _temporary) = self.directory()?;
        let settings = settings(&credentials, &directory, self.port, environment)?;
        telemetry::start(&settings.log)?;
        telemetry::tell_strays(environment);
        let listeners = Listeners::bind(&settings).await?;
        let mut server = Server::start(&settings, listeners).await?;
        say(Welcome::new(
            server.local_addr().port(),
            &credentials,
            &settings.auth,
        )?)?;

        let seed = u64::from_be_bytes(random::bytes()?);
        let ingest = server.ingest().clone();
        let simulation = simulate(&ingest, &credentials.tenant, seed);
        watch(&mut server, shutdown::requested(), simulation).await?;
        server.shutdown().await;
        Ok(())
    }

    /// Where the records go; the second value removes the directory when it is dropped.
    fn directory(&self) -> Result<(PathBuf, Option<TempDir>), Failure> {
        if let Some(directory) = &self.data {
            return Ok((directory.clone(), None));
        }
        let directory = tempfile::Builder::new()
            .prefix("switchboard-demo-")
            .tempdir()?;
        Ok((directory.path().to_owned(), Some(directory)))
    }
}

/// Waits until somebody stops it; an error if the simulation or the server ends before.
async fn watch(
    server: &mut Server,
    stop: impl Future<Output = io::Result<()>>,
    simulation: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        stop = stop => Ok(stop?),
        ended = simulation => ended,
        ended = server.ended() => Err(ended.into()),
    }
}

/// Publishes the simulated day as a producer would, without an end.
async fn simulate(ingest: &Ingest, tenant: &TenantId, seed: u64) -> Result<(), Failure> {
    for Step { wait, draft } in Simulation::new(seed, clock::now()) {
        sleep(wait).await;
        let event = draft.event.clone();
        match ingest.publish(tenant, vec![draft]).await {
            Ok(outcomes) => {
                for refused in outcomes.into_iter().filter_map(Result::err) {
                    warn!(
                        event,
                        code = refused.refusal.code(),
                        "the simulation was refused"
                    );
                }
            }
            Err(error) => {
                warn!(event, %error, "the simulation waits");
                sleep(RETRY_WAIT).await;
            }
        }
    }
    Err(Failure::new("the simulated day is over"))
}

/// What is running, and what to paste to see it.
struct Welcome {
    program: String,
    url: String,
    token: String,
    key: Secret,
}

impl Welcome {
    fn new(port: u16, credentials: &Credentials, auth: &Auth) -> Result<Self, Failure> {
        let claims = Claims {
            issuer: None,
            user: "user-1".parse()?,
            tenant: Some(credentials.tenant.clone()),
            rooms: ["whatsapp:*", "contact:*", "campaign:*", "flow:*"]
                .map(str::to_owned)
                .into(),
            link: None,
            ttl: TOKEN_TTL,
        };
        Ok(Self {
            program: program()?,
            url: format!("http://localhost:{port}"),
            token: claims.sign(auth, clock::now())?,
            key: credentials.key.clone(),
        })
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            url,
            token,
            key,
        } = self;
        let (account, contact, campaign) = (ACCOUNTS[0].id, CONTACTS[0].id, CAMPAIGNS[0].id);
        let message = json!({"message": {
            "id": "hello-1",
            "contactId": contact,
            "whatsappAccountId": account,
            "direction": "Inbound",
            "type": "Text",
            "content": "Hello from the other terminal!",
        }});
        write!(
            f,
            "Switchboard runs at {url} for the tenant \"{TENANT}\", with a simulated shop in it.
Anyone with a token may join every room: a demo, and nothing else. Ctrl-C ends it.

See what happens (paste into a second terminal):

  {program} listen {url} --auth '{{\"token\":\"{token}\"}}' --subscribe whatsapp:{account} --subscribe campaign:{campaign}

Make something happen (a third one; the same message twice is one event only with an --id):

  {program} publish --url {url} --key {key} message:received '{message}'

From a web page, with the stock client (npm install socket.io-client):

  import {{ io }} from 'socket.io-client';
  const socket = io('{url}', {{ auth: {{ token: '{token}' }} }});
  socket.on('message:received', ({{ message }}) => console.log(message.content));
  socket.emit('subscribe:whatsapp', '{account}');
",
            key = key.reveal(),
        )
    }
}

/// The settings of a demo: a file that nobody has to write. The environment may say how to log.
fn settings(
    credentials: &Credentials,
    directory: &Path,
    port: u16,
    environment: &Environment,
) -> Result<Settings, Failure> {
    let Credentials {
        tenant,
        secret,
        key,
    } = credentials;
    let text = format!(
        r#"
        [server]
        host = "127.0.0.1"
        port = {port}
        cors_origins = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]
        drain_timeout = "2s"
        [admin]
        port = 0
        [auth]
        secret = "{secret}"
        [access]
        policy = "open"
        [journal]
        path = {directory}
        [[producers]]
        name = "demo"
        key_sha256 = "{hash}"
        scopes = ["publish", "read"]
        tenant = "{tenant}"
        "#,
        secret = secret.reveal(),
        directory = toml::Value::from(directory.display().to_string()),
        hash = KeyHash::of(key.reveal()),
    );
    let environment = environment.section("log");
    Settings::from_text(Some((Path::new("demo"), &text)), &environment).map_err(Failure::refused)
}

const TENANT: &str = "demo";
const TOKEN_TTL: Duration = Duration::from_hours(24);
const RETRY_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::settings::{JournalKind, LogFormat, Policy, Verification};

    #[test]
    fn the_settings_of_the_demo_are_settings() {
        let environment = [("SWITCHBOARD_LOG__FORMAT", "json"), ("PORT", "1")]
            .into_iter()
            .collect();

        let settings =
            settings(&credentials(), Path::new("some \"where\""), 7, &environment).unwrap();

        assert_eq!(settings.server.port, 7);
        assert_eq!(settings.access.policy, Policy::Open);
        assert_eq!(settings.log.format, LogFormat::Json);
        assert_eq!(
            settings.journal.kind,
            JournalKind::Disk("some \"where\"".into())
        );
        assert!(
            settings
                .server
                .cors_origins
                .iter()
                .any(|origin| origin.allows("http://localhost:3000"))
        );
    }

    #[tokio::test]
    async fn a_demo_whose_server_has_ended_ends() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::default();
        let settings = settings(&credentials(), directory.path(), 0, &environment).unwrap();
        let listeners = Listeners::bind(&settings).await.unwrap();
        let mut server = Server::start(&settings, listeners).await.unwrap();

        server.end_fan_out();
        let watched = watch(&mut server, future::pending(), future::pending()).await;

        assert!(watched.is_err());
        server.shutdown().await;
    }

    #[test]
    fn what_to_paste_is_on_one_line_each() {
        let auth = Auth::new(Verification::hs256(credentials().secret));
        let text = Welcome::new(5000, &credentials(), &auth)
            .unwrap()
            .to_string();
        let line = |words: &str| {
            text.lines()
                .find(|line| line.contains(words))
                .unwrap()
                .to_owned()
        };

        assert!(line(" listen ").contains("http://localhost:5000 --auth '{\"token\":\""));
        assert!(line(" publish ").contains("--key sb_key message:received '{"));
        assert!(text.contains("io('http://localhost:5000'"));
    }

    fn credentials() -> Credentials {
        Credentials {
            tenant: TENANT.parse().unwrap(),
            secret: Secret::new("0123456789abcdef0123456789abcdef"),
            key: Secret::new("sb_key"),
        }
    }
}
