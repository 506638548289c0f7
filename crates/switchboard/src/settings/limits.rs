//! How much a client, a user and a producer may do in a time.

use std::ops::RangeInclusive;

use switchboard_limit::Rate;

use super::reader::Section;

/// `[limits]`. A rate is written as `"20/s burst 100"` or `"off"`. All of them hold for one node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitSettings {
    /// How often clients of one address may connect: of an IPv4 address, or of the /64 of an IPv6
    /// one. Default 200 each second after a burst of 10,000, which is what one office or one proxy
    /// brings when all come back at once.
    pub connections_per_address: Rate,
    /// How many clients of one user may be connected at once. Default 200.
    pub connections_per_user_max: u32,
    /// How often clients of one user may connect. Default 2 each second after a burst of 200.
    pub connections_per_user: Rate,
    /// How many rooms a client may be in. Default 1000, about 100 bytes each.
    pub rooms_per_session_max: u32,
    /// How often a user may subscribe and unsubscribe. Default 200 each second after a burst of
    /// 5000: ten tabs that open 500 rooms each.
    pub subscriptions: Rate,
    /// How often a user may send what is fleeting: `typing:*` and `presence:*`. Default 20 each
    /// second after a burst of 100.
    pub fleeting: Rate,
    /// How often a user may send anything else. Default 50 each second after a burst of 500.
    pub events: Rate,
    /// How often a client may be told that it is too fast before it is closed. Default 10 each
    /// second after a burst of 100.
    pub refusals: Rate,
    /// How many requests may come by one API key. Default 1000 each second after a burst of 5000.
    pub producer_requests: Rate,
    /// How many events may come by one API key. Default 5000 each second after a burst of 50,000.
    pub producer_events: Rate,
    /// How often one address may come with an API key that is not known. Default 60 each minute after
    /// a burst of 300; beyond it every key from there is refused for a while.
    pub unknown_keys_per_address: Rate,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections_per_address: Rate::per_second(200, 10_000),
            connections_per_user_max: 200,
            connections_per_user: Rate::per_second(2, 200),
            rooms_per_session_max: 1_000,
            subscriptions: Rate::per_second(200, 5_000),
            fleeting: Rate::per_second(20, 100),
            events: Rate::per_second(50, 500),
            refusals: Rate::per_second(10, 100),
            producer_requests: Rate::per_second(1_000, 5_000),
            producer_events: Rate::per_second(5_000, 50_000),
            unknown_keys_per_address: Rate::per_minute(60, 300),
        }
    }
}

impl LimitSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let mut rate = |key, default| section.parsed(key).unwrap_or(default);
        let settings = Self {
            connections_per_address: rate(
                "connections_per_address",
                default.connections_per_address,
            ),
            connections_per_user: rate("connections_per_user", default.connections_per_user),
            subscriptions: rate("subscriptions", default.subscriptions),
            fleeting: rate("fleeting", default.fleeting),
            events: rate("events", default.events),
            refusals: rate("refusals", default.refusals),
            producer_requests: rate("producer_requests", default.producer_requests),
            producer_events: rate("producer_events", default.producer_events),
            unknown_keys_per_address: rate(
                "unknown_keys_per_address",
                default.unknown_keys_per_address,
            ),
            connections_per_user_max: section
                .number("connections_per_user_max", CONNECTIONS)
                .unwrap_or(default.connections_per_user_max),
            rooms_per_session_max: section
                .number("rooms_per_session_max", ROOMS)
                .unwrap_or(default.rooms_per_session_max),
        };
        section.finish();
        settings
    }
}

const CONNECTIONS: RangeInclusive<u32> = 1..=10_000_000;
/// As many as are kept of a session.
const ROOMS: RangeInclusive<u32> = 1..=10_000;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{AuditLog, Environment, Settings, SettingsError};

    #[test]
    fn limits_are_read_from_the_file_and_from_variables() {
        let text = "[limits]\nevents = \"5/s burst 20\"\nconnections_per_user_max = 3\n";
        let variables = [("SWITCHBOARD_LIMITS__SUBSCRIPTIONS", "off")];

        let settings = load(text, &variables).unwrap();

        assert_eq!(
            settings.limits,
            LimitSettings {
                events: Rate::per_second(5, 20),
                connections_per_user_max: 3,
                subscriptions: Rate::OFF,
                ..LimitSettings::default()
            }
        );
    }

    #[test]
    fn proxies_and_where_the_audit_goes_are_read() {
        let text = "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nproxy_header = \"Forwarded\"\n\
                    [log]\naudit = \"audit.log\"\n";

        let settings = load(text, &[]).unwrap();
        let off = load("[log]\naudit = \"off\"\n", &[]).unwrap();
        let variable = load("", &[("SWITCHBOARD_LOG__AUDIT", "audit.log")]).unwrap();

        let proxies = settings.server.trusted_proxies.iter();
        let proxies: Vec<_> = proxies.map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
        assert_eq!(settings.log.audit, AuditLog::File("etc/audit.log".into()));
        assert_eq!(off.log.audit, AuditLog::Off);
        assert_eq!(variable.log.audit, AuditLog::File("audit.log".into()));
    }

    #[test]
    fn what_is_no_limit_or_proxy_is_refused_with_its_key() {
        for (text, message) in [
            ("[limits]\nevents = 5\n", "limits.events is 5, must be text"),
            (
                "[limits]\nevents = \"5\"\n",
                "limits.events is \"5\", must be a count by s, m or h",
            ),
            (
                "[limits]\nevent = \"5/s\"\n",
                "unknown key limits.event, the nearest known one is limits.events",
            ),
            (
                "[server]\ntrusted_proxies = [\"10.0.0.0/40\"]\n",
                "server.trusted_proxies[0] is \"10.0.0.0/40\", must be an address or a network",
            ),
            (
                "[server]\nproxy_header = \"X-Real-IP\"\n",
                "server.proxy_header is \"X-Real-IP\", must be \"X-Forwarded-For\" or \"Forwarded\"",
            ),
            ("[log]\naudit = 1\n", "log.audit is 1, must be text"),
            (
                "[[producers]]\nscopes = [\"write\"]\n",
                "producers[0].scopes[0] is \"write\", must be \"publish\", \"read\" or \"admin\"",
            ),
            (
                "[[producers]]\nscopes = []\n",
                "producers[0].scopes must have at least one scope",
            ),
        ] {
            let refused = load(text, &[]).unwrap_err();
            assert!(refused.to_string().contains(message), "{refused}");
        }
    }

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let text = format!("[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n{text}");
        let file = Some((Path::new("etc/switchboard.toml"), &*text));
        Settings::from_text(file, &variables.iter().copied().collect::<Environment>())
    }
}
