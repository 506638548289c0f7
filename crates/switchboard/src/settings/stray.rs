//! Variables that were meant as settings, and are none.

use super::reader::Reader;
use super::tree::{PREFIX, SEPARATOR, Source, Table, variable_for};
use super::{Environment, Settings};

/// A variable that begins as those of settings do, and names no section: nobody reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stray {
    /// Its name.
    pub variable: String,
    /// The variable of a setting that is nearest to it.
    pub nearest: String,
}

impl Environment {
    /// The variables that were perhaps meant as settings: `SWITCHBOARD_LOG_FORMAT`, where
    /// `SWITCHBOARD_LOG__FORMAT` is one.
    #[must_use]
    pub fn strays(&self) -> Vec<Stray> {
        let names = self.variables.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(PREFIX)?;
            let is_stray = !rest.contains(SEPARATOR)
                && !NO_SETTINGS.contains(&rest)
                && !is_of_kubernetes(rest, value);
            is_stray.then_some(name)
        });
        let mut names = names.peekable();
        if names.peek().is_none() {
            return Vec::new();
        }
        let settings = variables_of_settings();
        let stray = |name: &String| {
            let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, name);
            let nearest = settings
                .iter()
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
            Some(Stray {
                variable: name.clone(),
                nearest: nearest.clone(),
            })
        };
        names.filter_map(stray).collect()
    }
}

/// What Kubernetes tells every container about a service that is called switchboard.
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    let begins = |prefix: &str| rest.starts_with(prefix);
    begins("SERVICE_") || begins("PORT_") || (rest == "PORT" && value.contains("://"))
}

/// The variables of all settings that have a fixed name: reading nothing asks for each.
fn variables_of_settings() -> Vec<String> {
    let reader = Reader::new(Source::Nowhere, "".as_ref());
    let _ = Settings::read(&reader, Table::new());
    let keys = reader.known_keys();
    let keys = keys.iter().filter(|key| key.contains('.'));
    keys.map(|key| variable_for(key)).collect()
}

/// Variables of ours that are not settings: of the command line, and of the tests.
const NO_SETTINGS: [&str; 2] = ["KEY", "BIN"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_with_one_underscore_too_few_is_told_with_the_setting_it_was_meant_as() {
        let strays = strays(&[
            ("SWITCHBOARD_LOG_FORMAT", "json"),
            ("SWITCHBOARD_SECRET", "s"),
            ("SWITCHBOARD_PORT", "5001"),
        ]);

        let strays: Vec<_> = strays
            .iter()
            .map(|stray| (&*stray.variable, &*stray.nearest))
            .collect();
        assert_eq!(
            strays,
            [
                ("SWITCHBOARD_LOG_FORMAT", "SWITCHBOARD_LOG__FORMAT"),
                ("SWITCHBOARD_PORT", "SWITCHBOARD_ADMIN__PORT"),
                ("SWITCHBOARD_SECRET", "SWITCHBOARD_AUTH__SECRET"),
            ]
        );
    }

    #[test]
    fn settings_and_what_is_not_ours_are_no_strays() {
        let strays = strays(&[
            ("SWITCHBOARD_LOG__FORMAT", "json"),
            ("SWITCHBOARD_KEY", "sb_1"),
            ("SWITCHBOARD_BIN", "target/debug/switchboard"),
            ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
            ("SWITCHBOARD_PORT", "tcp://10.0.0.1:80"),
            ("SWITCHBOARD_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("PORT", "1"),
            ("SWITCHBOARDS_OF_OTHERS", "1"),
        ]);

        assert_eq!(strays, []);
    }

    fn strays(variables: &[(&str, &str)]) -> Vec<Stray> {
        let environment: Environment = variables.iter().copied().collect();
        environment.strays()
    }
}
