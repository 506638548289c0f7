//! What the server is told before it starts: a file, over it the environment, checked as a whole.
//!
//! Only this module reads the environment. A load either gives settings in which every value was
//! checked, or an error that lists everything that is wrong, each with its key, its value and the
//! line or variable where it was written.

mod access;
mod admin;
mod auth;
mod bridge;
mod catalogue;
mod engine;
mod ingest;
mod journal;
mod limits;
mod log;
mod origin;
mod outbox;
mod presence;
mod producers;
mod reader;
mod redis;
mod refusal;
mod secret;
mod server;
mod session;
mod stray;
mod tls;
mod tree;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard_bridge::Mapping;
use switchboard_event::CatalogueConfig;

use self::reader::Reader;
use self::tree::Source;

pub use self::access::{AccessSettings, HttpSettings, Policy, SqlSettings};
pub use self::admin::AdminSettings;
pub use self::auth::{Auth, Issuer, KeyServers, Keys, LinkDefault, OnExpiry, Verification};
pub use self::engine::EngineSettings;
pub use self::ingest::IngestSettings;
pub use self::journal::{JournalKind, JournalSettings};
pub use self::limits::LimitSettings;
pub use self::log::{AuditLog, InvalidLogLevel, LogFormat, LogLevel, LogSettings};
pub use self::origin::{InvalidOrigin, Origin};
pub use self::outbox::OutboxSettings;
pub use self::presence::{PresenceSettings, TypingSettings};
pub use self::producers::{MetaWebhook, Producer};
pub use self::redis::RedisSettings;
pub use self::refusal::{SettingsError, WrittenIn};
pub use self::secret::Secret;
pub use self::server::ServerSettings;
pub use self::session::SessionSettings;
pub use self::stray::Stray;
pub use self::tls::TlsSettings;
pub use self::written::Written;

/// The settings file that is read if none is named.
pub const FILE_DEFAULT: &str = "switchboard.toml";

/// Everything that can be set. Each section's type tells the defaults, units and costs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, and for whom.
    pub server: ServerSettings,
    /// Where the operator looks.
    pub admin: AdminSettings,
    /// The Engine.IO and Socket.IO side: heartbeats and limits.
    pub engine: EngineSettings,
    /// Who a client is.
    pub auth: Auth,
    /// What a client may hear.
    pub access: AccessSettings,
    /// How much producers and webhooks may send at once.
    pub ingest: IngestSettings,
    /// Where records are kept, and for how long.
    pub journal: JournalSettings,
    /// The table in the CRM's database that events are taken from, if there is one.
    pub outbox: Option<OutboxSettings>,
    /// Where Redis is, if it is anywhere.
    pub redis: Option<RedisSettings>,
    /// Namespaces of Node's Socket.IO on it that are bridged.
    pub bridges: Vec<Mapping>,
    /// How much anybody may do in a time.
    pub limits: LimitSettings,
    /// How long a client may be away.
    pub session: SessionSettings,
    /// How long people are there who do not say so any more.
    pub presence: PresenceSettings,
    /// How long people type who do not say so any more.
    pub typing: TypingSettings,
    /// Events beyond the contract's, and who hears what.
    pub catalogue: CatalogueConfig,
    /// Who may publish over HTTP.
    pub producers: Vec<Producer>,
    /// Webhooks of the WhatsApp Cloud API.
    pub meta_webhooks: Vec<MetaWebhook>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Which keys were written, to tell what changed.
    pub written: Written,
}

/// The environment of the process, as far as it is text.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The named file cannot be read. `switchboard init` writes one.
    #[error("settings file {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The settings were read, and are wrong.
    #[error(transparent)]
    Refused(#[from] SettingsError),
}

impl Environment {
    /// The variables of this process. Values that are not UTF-8 are taken with replacements, so
    /// that the checks refuse them by name.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            variables: variables
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        }
    }

    /// Only the variables of one section.
    #[must_use]
    pub fn section(&self, name: &str) -> Self {
        let prefix = format!("{}__", tree::variable_for(name));
        let ours = self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// One variable, for what is no setting: `SWITCHBOARD_KEY`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
        }
    }
}

impl Settings {
    /// Reads the named file, or [`FILE_DEFAULT`] if there is one, and the environment over it.
    ///
    /// # Errors
    ///
    /// If a named file cannot be read, or anything in the settings is wrong.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, LoadError> {
        let path = file.unwrap_or_else(|| Path::new(FILE_DEFAULT));
        let text = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(LoadError::Unreadable {
                    path: path.to_owned(),
                    error,
                });
            }
        };
        Ok(Self::from_text(
            text.as_deref().map(|text| (path, text)),
            environment,
        )?)
    }

    /// The same for a file that was read already.
    ///
    /// # Errors
    ///
    /// If anything in the settings is wrong.
    pub fn from_text(
        file: Option<(&Path, &str)>,
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let (mut table, origin, directory) = match file {
            None => (tree::Table::new(), Source::Nowhere, Path::new("")),
            Some((path, text)) => {
                let path: Arc<Path> = path.into();
                let table = tree::parse(text, &path)
                    .map_err(|refusal| SettingsError::new(vec![refusal]))?;
                (
                    table,
                    Source::File(path),
                    file.and_then(|(path, _)| path.parent())
                        .unwrap_or_else(|| Path::new("")),
                )
            }
        };
        tree::overlay(&mut table, &environment.variables);
        let written = Written::of(&table, directory);
        let reader = Reader::new(origin, directory);
        let settings = Self::read(&reader, table);
        reader.finish()?;
        // Whoever returned `None` has refused something, and then `finish` has returned.
        let settings = settings.expect("a section without a value has been refused");
        Ok(Self {
            written,
            ..settings
        })
    }

    fn read(reader: &Reader, table: tree::Table) -> Option<Self> {
        let mut root = reader.root(table);
        let server = ServerSettings::read(root.section("server"));
        let admin = AdminSettings::read(root.section("admin"));
        let engine = EngineSettings::read(root.section("engine"));
        let auth = Auth::read(root.section("auth"));
        let access = root.section("access");
        let ingest = IngestSettings::read(root.section("ingest"));
        let journal = root.section("journal");
        let bridges = root.sections("bridge");
        let redis = root.section("redis");
        let (journal, redis) = JournalSettings::read(journal, redis, !bridges.is_empty());
        let limits = LimitSettings::read(root.section("limits"));
        let session = SessionSettings::read(root.section("session"));
        let presence = PresenceSettings::read(root.section("presence"));
        let typing = TypingSettings::read(root.section("typing"));
        let audience = root.section("audience");
        let catalogue = catalogue::read(root.section("catalogue"), audience);
        let declared = catalogue.as_ref().map_or(&[][..], |one| &one.rooms[..]);
        let access = AccessSettings::read(access, declared);
        let single = auth.as_ref().and_then(|auth| auth.single_tenant.as_ref());
        let outbox = OutboxSettings::read(root.section("outbox"), single);
        let bridges = bridge::read_all(bridges, single);
        let producers = Producer::read_all(root.sections("producers"), single);
        let mut webhooks = root.section("webhooks");
        let meta_webhooks = MetaWebhook::read_all(webhooks.sections("meta"), single);
        webhooks.finish();
        let log = LogSettings::read(root.section("log"));
        root.finish();
        Some(Self {
            server,
            admin,
            engine,
            auth: auth?,
            access: access?,
            ingest,
            journal,
            outbox: outbox?,
            redis,
            bridges: bridges?,
            limits,
            session,
            presence,
            typing,
            catalogue: catalogue?,
            producers: producers?,
            meta_webhooks: meta_webhooks?,
            log,
            written: Written::default(),
        })
    }
}

#[cfg(test)]
mod tests;
