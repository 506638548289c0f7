//! Where Redis is, for a journal that many nodes share.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use switchboard_bridge::Connection;
use switchboard_cluster::RedisConfig;

use super::reader::Section;
use super::secret::Secret;

/// `[redis]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedisSettings {
    /// Addresses; secrets, because they may hold a password.
    pub urls: Vec<Secret>,
    /// Whose rights we have, if not those of the URL.
    pub username: Option<String>,
    /// The password, if not that of the URL.
    pub password: Option<Secret>,
    /// The authorities that are trusted instead of the system's, as PEM.
    pub ca: Option<Vec<u8>>,
    /// Whether Redis runs as a cluster. Default: no.
    pub cluster: bool,
    /// What all keys begin with. Default `switchboard`.
    pub prefix: String,
    /// How long a connection may take to be made. Default 2 s.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer. Default 2 s; more lets producers wait longer before they
    /// are told to try again.
    pub command_timeout: Duration,
    /// How many replicas must have an append before it is answered. Default 0; more narrows what a
    /// failover can lose, and appends wait for them.
    pub wait_replicas: u16,
}

impl RedisSettings {
    /// None if there is no Redis; it is refused if there has to be one.
    pub(super) fn read(mut section: Section<'_>, is_needed: bool) -> Option<Self> {
        let default = RedisConfig::new("");
        let (is_set, source) = (section.has_secret("url"), section.source_of_secret("url"));
        let key = section.key_of_secret("url");
        let url = section.secret("url");
        let ca_source = section.source_of("ca_file");
        let ca = section.path("ca_file").map(fs::read).transpose();
        let ca = ca.unwrap_or_else(|error| {
            section.refuse(&ca_source, "ca_file", &format!("cannot be read: {error}"));
            None
        });
        let username = section.text("username");
        let password = section.secret("password");
        let cluster = section.flag("cluster").unwrap_or(default.cluster);
        let prefix_source = section.source_of("prefix");
        let prefix = section.text("prefix").unwrap_or(default.prefix);
        let connect_timeout = section
            .duration("connect_timeout", TIMEOUTS)
            .unwrap_or(default.connect_timeout);
        let command_timeout = section
            .duration("command_timeout", TIMEOUTS)
            .unwrap_or(default.command_timeout);
        let wait_replicas = section.number("wait_replicas", 0..=REPLICAS_MAX);
        if is_needed && !is_set {
            section.missing("url");
        }
        section.finish();
        let addresses = url.as_ref()?.reveal().split(',').map(str::trim);
        let settings = Self {
            urls: addresses.map(Secret::new).collect(),
            username,
            password,
            ca,
            cluster,
            prefix,
            connect_timeout,
            command_timeout,
            wait_replicas: wait_replicas
                .and_then(|count| count.try_into().ok())
                .unwrap_or(default.wait_replicas),
        };
        match settings.config().check() {
            Ok(()) => {}
            Err(error @ switchboard_cluster::OpenError::Prefix { .. }) => {
                section.refuse(&prefix_source, "prefix", &format!("is refused: {error}"));
            }
            Err(error) => section.refuse(&source, &key, &format!("is refused: {error}")),
        }
        Some(settings)
    }

    /// How the bridge reaches it.
    pub(crate) fn connection(&self) -> Connection {
        let urls = self.urls.iter().map(|url| url.reveal().to_owned());
        let password = self.password.as_ref();
        Connection {
            urls: urls.collect(),
            username: self.username.clone(),
            password: password.map(|password| password.reveal().to_owned()),
            ca: self.ca.clone(),
            connect_timeout: self.connect_timeout,
            command_timeout: self.command_timeout,
        }
    }

    /// What the journal on Redis is made with; partitions and retention are the journal's.
    pub(crate) fn config(&self) -> RedisConfig {
        let urls = self.urls.iter().map(|url| url.reveal().to_owned());
        let password = self.password.as_ref();
        RedisConfig {
            urls: urls.collect(),
            username: self.username.clone(),
            password: password.map(|password| password.reveal().to_owned()),
            ca: self.ca.clone(),
            cluster: self.cluster,
            prefix: self.prefix.clone(),
            connect_timeout: self.connect_timeout,
            command_timeout: self.command_timeout,
            wait_replicas: self.wait_replicas,
            ..RedisConfig::new("")
        }
    }
}

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);
const REPLICAS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use crate::settings::{Environment, JournalKind, Settings};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(sections: &str) -> Result<Settings, String> {
        let text = format!("[auth]\nsecret = \"{SECRET}\"\n{sections}");
        let file = Some((std::path::Path::new("switchboard.toml"), &*text));
        Settings::from_text(file, &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_journal_on_redis_is_at_its_addresses() {
        let settings = read(
            "[journal]\nkind = \"redis\"\n[redis]\nurl = \"rediss://a, rediss://b:7000\"\n\
             cluster = true\nwait_replicas = 1\npassword = \"hunter2\"\n",
        );

        let JournalKind::Redis(redis) = settings.unwrap().journal.kind else {
            panic!("the journal is elsewhere");
        };
        let config = redis.config();
        assert_eq!(config.urls, ["rediss://a", "rediss://b:7000"]);
        assert_eq!((config.cluster, config.wait_replicas), (true, 1));
        assert_eq!(config.password.as_deref(), Some("hunter2"));
        assert!(!format!("{redis:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_password() {
        let kind = "[journal]\nkind = \"redis\"\n";
        for (redis, expected) in [
            ("", "redis.url is missing"),
            (
                "[redis]\nurl = \"http://:hunter2@x\"\n",
                "redis.url is refused",
            ),
            (
                "[redis]\nurl = \"redis://:hunter2@x,rediss://y\"\n",
                "some addresses have TLS and some have not",
            ),
            (
                "[redis]\nurl = \"redis://x\"\nprefix = \"a}\"\n",
                "redis.prefix is refused",
            ),
        ] {
            let refusal = read(&format!("{kind}{redis}")).unwrap_err();
            assert!(refusal.contains(expected), "{refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
