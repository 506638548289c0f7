//! What the server says about itself, on stderr, and for the record.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use switchboard_gateway::audit;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, registry, reload};

use crate::settings::{AuditLog, Environment, LogFormat, LogSettings, Stray};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Somebody has taken the logs of this process already.
    #[error("logs of this process go elsewhere already")]
    AlreadyStarted,
    /// The file of the audit cannot be written.
    #[error("log.audit is {}, which cannot be opened: {error}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The logs of this process. They go on when this is dropped.
#[derive(Debug)]
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
    audit: Option<Arc<AuditFile>>,
}

/// The file of the audit, written to its end.
#[derive(Debug)]
struct AuditFile {
    path: PathBuf,
    file: Mutex<File>,
}

/// Sends the logs of this process to stderr from now on.
///
/// # Errors
///
/// If this was called before, an embedding program has its own logs, or the audit has nowhere to
/// go.
pub fn start(settings: &LogSettings) -> Result<Logs, LogError> {
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
    let (filter, handle) = reload::Layer::new(targets(settings));
    let audit = match &settings.audit {
        AuditLog::Off | AuditLog::Stderr => None,
        AuditLog::File(path) => Some(Arc::new(AuditFile::open(path)?)),
    };
    let audit_layer = audit.clone().map(|file| {
        fmt::layer()
            .with_writer(file)
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_filter(Targets::new().with_target(audit::TARGET, LevelFilter::INFO))
    });
    registry()
        .with(layer.with_filter(filter))
        .with(audit_layer)
        .try_init()
        .map_err(|_| LogError::AlreadyStarted)?;
    Ok(Logs {
        filter: handle,
        audit,
    })
}

impl Logs {
    /// Takes another level from now on, and opens the file of the audit again, which may have been
    /// moved away. Where logs go stays.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened; then the old one is written on.
    pub fn reload(&self, settings: &LogSettings) -> Result<(), LogError> {
        // It is gone only with the process.
        let _ = self.filter.reload(targets(settings));
        self.audit.as_ref().map_or(Ok(()), |audit| audit.reopen())
    }
}

impl AuditFile {
    fn open(path: &Path) -> Result<Self, LogError> {
        let file = append(path)?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    fn reopen(&self) -> Result<(), LogError> {
        let file = append(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

/// Each line is one write.
impl io::Write for &AuditFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a file that only its owner may read.
fn append(path: &Path) -> Result<File, LogError> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| LogError::Audit {
        path: path.to_owned(),
        error,
    })
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

/// The level is ours: libraries are heard from `warn` up, unless they are named. The audit is here
/// only if it has no place of its own.
fn targets(settings: &LogSettings) -> Targets {
    let level = &settings.level;
    let audit = match settings.audit {
        AuditLog::Stderr => LevelFilter::INFO,
        AuditLog::Off | AuditLog::File(_) => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(level.default.min(LevelFilter::WARN))
        .with_target("switchboard", level.default)
        .with_targets(level.modules.iter().cloned())
        .with_target(audit::TARGET, audit)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tracing::Level;

    use super::*;

    #[test]
    fn the_level_is_that_of_our_own_modules() {
        let targets = of("debug,switchboard_engine=warn", AuditLog::Off);

        assert!(targets.would_enable("switchboard_gateway::auth", &Level::DEBUG));
        assert!(!targets.would_enable("switchboard_engine::drive", &Level::INFO));
        assert!(targets.would_enable("hyper", &Level::WARN));
        assert!(!targets.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn off_is_silence() {
        let targets = of("off", AuditLog::Off);

        assert!(!targets.would_enable("switchboard", &Level::ERROR));
        assert!(!targets.would_enable("hyper", &Level::ERROR));
    }

    #[test]
    fn the_audit_is_among_the_other_lines_only_if_it_is_to_be_there() {
        let is_heard = |level, audit| of(level, audit).would_enable(audit::TARGET, &Level::INFO);

        assert!(is_heard("error", AuditLog::Stderr));
        assert!(!is_heard("trace", AuditLog::Off));
        assert!(!is_heard("trace", AuditLog::File("audit.log".into())));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("a"), directory.path().join("b"));
        let audit = AuditFile::open(&path).unwrap();
        (&audit).write_all(b"1\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        (&audit).write_all(b"2\n").unwrap();

        audit.reopen().unwrap();
        (&audit).write_all(b"3\n").unwrap();

        assert_eq!(std::fs::read_to_string(moved).unwrap(), "1\n2\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "3\n");
    }

    fn of(level: &str, audit: AuditLog) -> Targets {
        targets(&LogSettings {
            level: level.parse().unwrap(),
            audit,
            ..LogSettings::default()
        })
    }
}
