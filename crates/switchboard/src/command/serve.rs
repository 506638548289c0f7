//! `switchboard serve`

use clap::Args;

use super::{ConfigFile, Failure};
use crate::listener::Listeners;
use crate::server::Server;
use crate::settings::Environment;
use crate::{shutdown, telemetry};

/// Run the server until it is told to stop
///
/// SIGTERM and Ctrl-C drain it: it accepts nothing more, finishes what it has begun and closes its
/// clients' connections, so that they come back to another node or after the restart.
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
        settings.server.host = self.host.unwrap_or(settings.server.host);
        settings.server.port = self.port.unwrap_or(settings.server.port);
        telemetry::start(&settings.log)?;
        telemetry::tell_strays(environment);
        let listeners = Listeners::bind(&settings).await?;
        let mut server = Server::start(&settings, listeners).await?;
        tokio::select! {
            stop = shutdown::requested() => stop?,
            ended = server.ended() => return Err(ended.into()),
        }
        server.shutdown().await;
        Ok(())
    }
}
