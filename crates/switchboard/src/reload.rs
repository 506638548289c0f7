//! Which settings change while the server runs, and which only with its next start.

use std::collections::BTreeSet;

use crate::settings::{Settings, Written};

/// What is in force: since the start, and since the settings were read last.
#[derive(Debug)]
pub(crate) struct InForce {
    started: Written,
    loaded: Written,
}

/// What became of settings that were read again.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Reloaded {
    /// Sections and keys that are in force now as they were not before.
    pub(crate) applied: BTreeSet<&'static str>,
    /// Keys that differ from what the server was started with, which goes on.
    pub(crate) restart: BTreeSet<String>,
}

impl InForce {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            started: settings.written.clone(),
            loaded: settings.written.clone(),
        }
    }

    /// Tells what is different in `settings`, which are in force from now on as far as they can be.
    pub(crate) fn take(&mut self, settings: &Settings) -> Reloaded {
        let new = &settings.written;
        let applied = self.loaded.differences(new);
        let applied = applied.iter().filter_map(|key| applicable(key)).collect();
        let mut restart = self.started.differences(new);
        restart.retain(|key| applicable(key).is_none());
        self.loaded = new.clone();
        Reloaded { applied, restart }
    }
}

/// Which of [`APPLICABLE`] a key is, or is of.
fn applicable(key: &str) -> Option<&'static str> {
    APPLICABLE.into_iter().find(|applicable| {
        let rest = key.strip_prefix(applicable);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// What can change while the server runs; see [`Server::reload`](crate::Server::reload).
const APPLICABLE: [&str; 7] = [
    "limits",
    "log.level",
    "producers",
    "server.cors_origins",
    "server.proxy_header",
    "server.trusted_proxies",
    "webhooks",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Environment;

    #[test]
    fn what_can_change_is_told_apart_from_what_needs_a_restart() {
        let mut in_force = InForce::new(&settings(""));

        let first = in_force.take(&settings(
            "[limits]\nevents = \"1/s\"\n[server]\nport = 1\ncors_origins = []\n[log]\nlevel = \"warn\"\nformat = \"json\"",
        ));
        let second = in_force.take(&settings("[server]\nport = 1\ncors_origins = []"));
        let third = in_force.take(&settings(""));

        assert_eq!(
            first,
            reloaded(
                &["limits", "log.level", "server.cors_origins"],
                &["log.format", "server.port"]
            )
        );
        assert_eq!(second, reloaded(&["limits", "log.level"], &["server.port"]));
        assert_eq!(third, reloaded(&["server.cors_origins"], &[]));
    }

    #[test]
    fn a_key_of_a_list_is_told_with_its_place() {
        let hash = switchboard_ingest::KeyHash::of("k");
        let producer =
            format!("[[producers]]\nname = \"p\"\ntenant = \"t\"\nkey_sha256 = \"{hash}\"\n");
        let event = "[[catalogue.events]]\nname = \"a:b\"\naudience = [\"team:{tenant}\"]\n";
        let mut in_force = InForce::new(&settings(""));

        let told = in_force.take(&settings(&format!("{producer}{event}")));

        assert_eq!(
            told,
            reloaded(
                &["producers"],
                &["catalogue.events[0].audience", "catalogue.events[0].name"]
            )
        );
    }

    #[test]
    fn a_secret_in_a_file_counts_with_what_the_file_holds() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        let load = |text: &str| {
            std::fs::write(&secret, text).unwrap();
            let file = directory.path().join("switchboard.toml");
            let text = "[auth]\nsecret_file = \"secret\"\n";
            Settings::from_text(Some((&file, text)), &Environment::default()).unwrap()
        };
        let mut in_force = InForce::new(&load("0123456789abcdef0123456789abcdef"));

        let same = in_force.take(&load("0123456789abcdef0123456789abcdef"));
        let other = in_force.take(&load("another one that is long enough!"));

        assert_eq!(same, reloaded(&[], &[]));
        assert_eq!(other, reloaded(&[], &["auth.secret_file"]));
    }

    fn reloaded(applied: &[&'static str], restart: &[&str]) -> Reloaded {
        Reloaded {
            applied: applied.iter().copied().collect(),
            restart: restart.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn settings(more: &str) -> Settings {
        let text = format!("[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n{more}");
        let file = Some((Path::new("switchboard.toml"), &*text));
        Settings::from_text(file, &Environment::default()).unwrap()
    }
}
