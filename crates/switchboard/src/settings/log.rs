//! What is logged, and how.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

use super::reader::Section;

/// `[log]`
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// How a line looks. Default text.
    pub format: LogFormat,
    /// What is logged. Default `info`.
    pub level: LogLevel,
    /// Where the audit goes. Default nowhere.
    pub audit: AuditLog,
}

/// `log.audit`: who came, heard and went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AuditLog {
    /// Nowhere. The default.
    #[default]
    Off,
    /// Among the other lines, whatever the level.
    Stderr,
    /// To the end of a file of its own, one JSON object a line.
    File(PathBuf),
}

/// `log.format`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people. The default.
    #[default]
    Text,
    /// One object a line, for machines.
    Json,
}

/// `log.level`: a level for everything of ours, and others by module:
/// `info,switchboard_engine=debug`. Libraries log from `warn` up unless they are named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLevel {
    /// For everything of ours.
    pub default: LevelFilter,
    /// For modules whose path starts so.
    pub modules: Vec<(String, LevelFilter)>,
}

/// A text that is no level.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be off, error, warn, info, debug or trace, also as module=level after a comma")]
pub struct InvalidLogLevel;

impl Default for LogLevel {
    fn default() -> Self {
        Self {
            default: LevelFilter::INFO,
            modules: Vec::new(),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default)?;
        self.modules
            .iter()
            .try_for_each(|(module, level)| write!(f, ",{module}={level}"))
    }
}

impl FromStr for LogLevel {
    type Err = InvalidLogLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut level = Self::default();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => level.default = level_of(part)?,
                Some((module, of_module)) if !module.is_empty() => {
                    level
                        .modules
                        .push((module.to_owned(), level_of(of_module)?));
                }
                Some(_) => return Err(InvalidLogLevel),
            }
        }
        Ok(level)
    }
}

impl LogSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let format = section.word(
            "format",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let level = section.parsed("level");
        let audit = audit(&mut section);
        section.finish();
        Self {
            format: format.unwrap_or_default(),
            level: level.unwrap_or_default(),
            audit: audit.unwrap_or_default(),
        }
    }
}

fn audit(section: &mut Section<'_>) -> Option<AuditLog> {
    let words = [("off", AuditLog::Off), ("stderr", AuditLog::Stderr)];
    let word = section.peek("audit")?;
    if let Some((_, audit)) = words.into_iter().find(|(text, _)| *text == word) {
        // Taken, and known.
        let _ = section.text("audit");
        return Some(audit);
    }
    section.path("audit").map(AuditLog::File)
}

/// Words only: tracing's own parser takes numbers too.
fn level_of(text: &str) -> Result<LevelFilter, InvalidLogLevel> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(InvalidLogLevel);
    }
    text.parse().map_err(|_| InvalidLogLevel)
}
