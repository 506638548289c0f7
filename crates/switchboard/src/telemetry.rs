//! What the server says about itself, on stderr.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::settings::{Environment, LogFormat, LogLevel, LogSettings, Stray};

/// Somebody has taken the logs of this process already.
#[derive(Debug, thiserror::Error)]
#[error("logs of this process go elsewhere already")]
pub struct AlreadyStarted;

/// Sends the logs of this process to stderr from now on.
///
/// # Errors
///
/// If this was called before, or an embedding program has its own logs.
pub fn start(settings: &LogSettings) -> Result<(), AlreadyStarted> {
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = match settings.format {
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        // Otherwise the layer's default holds, which NO_COLOR turns off.
        LogFormat::Text if io::stderr().is_terminal() => layer.boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    };
    let layer = layer.with_filter(targets(&settings.level));
    registry()
        .with(layer)
        .try_init()
        .map_err(|_| AlreadyStarted)
}

/// Warns of variables that were meant as settings, and are none.
pub(crate) fn tell_strays(environment: &Environment) {
    for Stray { variable, nearest } in environment.strays() {
        warn!(
            variable,
            nearest, "a variable is no setting, and is ignored"
        );
    }
}

/// The level is ours: libraries are heard from `warn` up, unless they are named.
fn targets(level: &LogLevel) -> Targets {
    Targets::new()
        .with_default(level.default.min(LevelFilter::WARN))
        .with_target("switchboard", level.default)
        .with_targets(level.modules.iter().cloned())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_level_is_that_of_our_own_modules() {
        let targets = targets(&"debug,switchboard_engine=warn".parse().unwrap());

        assert!(targets.would_enable("switchboard_gateway::auth", &Level::DEBUG));
        assert!(!targets.would_enable("switchboard_engine::drive", &Level::INFO));
        assert!(targets.would_enable("hyper", &Level::WARN));
        assert!(!targets.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn off_is_silence() {
        let targets = targets(&"off".parse().unwrap());

        assert!(!targets.would_enable("switchboard", &Level::ERROR));
        assert!(!targets.would_enable("hyper", &Level::ERROR));
    }
}
