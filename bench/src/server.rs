//! The servers under test: how each is started.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::identity::{SECRET, TENANT};
use crate::process::Process;
use crate::publisher::API_KEY;
use crate::setup::Prepared;

const START_WAIT: Duration = Duration::from_secs(20);
const START_POLL: Duration = Duration::from_millis(20);

/// What is compared.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ServerKind {
    /// Switchboard, its journal on disk
    Switchboard,
    /// Switchboard without durability: its journal in memory
    SwitchboardMemory,
    /// Node's socket.io with ws
    Node,
    /// The same with connection state recovery, in memory
    NodeRecovery,
    /// axum with socketioxide
    Socketioxide,
    /// Only writes pre-framed bytes: one writev for a burst to a socket
    Floor,
    /// Only writes pre-framed bytes: one write for each message to a socket
    FloorSingle,
}

impl ServerKind {
    /// As in tables and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switchboard => "switchboard",
            Self::SwitchboardMemory => "switchboard-memory",
            Self::Node => "node",
            Self::NodeRecovery => "node-recovery",
            Self::Socketioxide => "socketioxide",
            Self::Floor => "floor",
            Self::FloorSingle => "floor-single",
        }
    }

    /// Whether it is Switchboard.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Switchboard | Self::SwitchboardMemory)
    }

    /// Whether it looks at tokens.
    pub(crate) fn verifies_tokens(self) -> bool {
        !matches!(self, Self::Floor | Self::FloorSingle)
    }

    fn command(
        self,
        prepared: &Prepared,
        switchboard: &Path,
        data: &Path,
    ) -> anyhow::Result<Command> {
        let command = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let journal = |kind: &str| -> anyhow::Result<Command> {
            let settings = data.join("switchboard.toml");
            fs::write(&settings, switchboard_settings(kind, prepared))?;
            let mut command = command(switchboard, &["serve", "--config"]);
            command.arg(settings);
            Ok(command)
        };
        let built = std::env::current_exe()?;
        Ok(match self {
            Self::Switchboard => {
                // A relative path would start at the directory of the settings.
                let path = fs::canonicalize(data)?.join("journal");
                journal(&format!("kind = \"disk\"\npath = '{}'\n", path.display()))?
            }
            Self::SwitchboardMemory => journal("kind = \"memory\"\n")?,
            Self::Node => command(Path::new("node"), &["peers/node/server.js"]),
            Self::NodeRecovery => {
                command(Path::new("node"), &["peers/node/server.js", "--recovery"])
            }
            Self::Socketioxide => command(&built.with_file_name("bench-socketioxide"), &[]),
            Self::Floor => command(
                &built.with_file_name("bench-floor"),
                &["--mode", "vectored"],
            ),
            Self::FloorSingle => {
                command(&built.with_file_name("bench-floor"), &["--mode", "single"])
            }
        })
    }
}

fn switchboard_settings(journal: &str, prepared: &Prepared) -> String {
    let Prepared {
        auth,
        journal: more,
        sections,
        ..
    } = prepared;
    let key_sha256 = Sha256::digest(API_KEY)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            hex += &format!("{byte:02x}");
            hex
        });
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\n\n\
         [admin]\nenabled = false\n\n\
         [engine]\nconnections_per_address_max = 100000\nunjoined_max = 100000\n\
         handshakes_per_second_max = 100000\n\n\
         [limits]\nconnections_per_address = \"off\"\nconnections_per_user_max = 1000000\n\
         connections_per_user = \"off\"\nsubscriptions = \"off\"\nevents = \"off\"\n\
         producer_requests = \"off\"\nproducer_events = \"off\"\n\n\
         [auth]\n{auth}link_default = \"none\"\n\n\
         [journal]\n{journal}{more}\n{sections}\
         [[producers]]\nname = \"bench\"\nkey_sha256 = \"{key_sha256}\"\ntenant = \"{TENANT}\"\n\
         scopes = [\"publish\", \"read\"]\n\n\
         [log]\nformat = \"json\"\nlevel = \"info\"\n"
    )
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What the kernel knows about it.
    pub(crate) process: Process,
}

impl Server {
    /// Starts a server with `data` as its directory and waits until it listens.
    pub(crate) fn start(
        kind: ServerKind,
        prepared: &Prepared,
        switchboard: &Path,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let log = data.join("log");
        let mut command = kind.command(prepared, switchboard, data)?;
        if let Some(path) = &prepared.public_key {
            command.env("BENCH_PUBLIC_KEY_FILE", path);
        }
        let mut child = command
            .env_remove("PORT")
            .env("NODE_ENV", "production")
            .env("BENCH_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", kind.name()))?;
        match listening(&mut child, &log) {
            Ok(address) => {
                let process = Process::new(child.id())?;
                Ok(Self {
                    child,
                    address,
                    process,
                })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(format!("{} did not start", kind.name())))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct LogLine {
    message: String,
    address: SocketAddr,
}

/// Waits for the line that every server logs once it accepts connections.
fn listening(child: &mut Child, log: &PathBuf) -> anyhow::Result<SocketAddr> {
    let deadline = Instant::now() + START_WAIT;
    loop {
        let text = fs::read_to_string(log)?;
        let mut lines = text
            .lines()
            .filter_map(|it| serde_json::from_str::<LogLine>(it).ok());
        if let Some(line) = lines.find(|line| line.message == "listening") {
            return Ok(line.address);
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}: {text}");
        }
        if Instant::now() > deadline {
            bail!("it does not listen after {START_WAIT:?}: {text}");
        }
        thread::sleep(START_POLL);
    }
}
