//! `switchboard serve`

use clap::Args;

use tracing::{error, info, warn};

use super::{ConfigFile, Failure};
use crate::listener::Listeners;
use crate::reload::{InForce, Reloaded};
use crate::server::Server;
use crate::settings::{Environment, LoadError, Settings};
use crate::shutdown::{self, Hangups};
use crate::telemetry::{self, Logs};

/// Run the server until it is told to stop
///
/// SIGTERM and Ctrl-C drain it: it accepts nothing more, finishes what it has begun and closes its
/// clients' connections, so that they come back to another node or after the restart.
///
/// SIGHUP lets it read its settings again: it says which are in force then and which need a restart.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard serve --config switchboard.toml --port 5001")]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigFile,

    /// The address to listen on, instead of server.host
    #[arg(long)]
    host: Option<String>,

    /// The port, instead of server.port; 0 lets the system pick one
    #[arg(long)]
    port: Option<u16>,
}

impl Serve {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let mut settings = self.config.load(environment)?;
        settings.server.host = self.host.clone().unwrap_or(settings.server.host);
        settings.server.port = self.port.unwrap_or(settings.server.port);
        let logs = telemetry::start(&settings.log)?;
        telemetry::tell_strays(environment);
        // Before it is ready: whoever sees that may send one.
        let mut hangups = Hangups::listen()?;
        let mut in_force = InForce::new(&settings);
        let listeners = Listeners::bind(&settings).await?;
        let mut server = Server::start(&settings, listeners).await?;
        let mut stop = std::pin::pin!(shutdown::requested());
        loop {
            tokio::select! {
                stop = &mut stop => {
                    stop?;
                    break;
                }
                ended = server.ended() => return Err(ended.into()),
                () = hangups.next() => {}
            }
            match self.config.read(environment) {
                Ok(settings) => reload(&server, &logs, &mut in_force, &settings),
                Err(error) => refuse(&error),
            }
        }
        server.shutdown().await;
        Ok(())
    }
}

fn reload(server: &Server, logs: &Logs, in_force: &mut InForce, settings: &Settings) {
    server.reload(settings);
    if let Err(error) = logs.reload(&settings.log) {
        warn!(%error, "the audit goes on where it was");
    }
    let Reloaded { applied, restart } = in_force.take(settings);
    let applied = Vec::from_iter(applied).join(", ");
    info!(applied, "settings reloaded");
    if !restart.is_empty() {
        let keys = Vec::from_iter(restart).join(", ");
        warn!(keys, "settings that need a restart differ");
    }
}

/// A line for each thing that is wrong, as `config check` has them.
fn refuse(error: &LoadError) {
    match error {
        LoadError::Refused(refused) => {
            for reason in refused.messages() {
                error!(reason, "settings not reloaded, nothing has changed");
            }
        }
        LoadError::Unreadable { .. } => {
            error!(reason = %error, "settings not reloaded, nothing has changed");
        }
    }
}
