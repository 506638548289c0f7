//! The table in the CRM's database that events are taken from.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use switchboard_event::TenantId;
use switchboard_outbox::{After, Channel, Table};
use switchboard_postgres::Address;

use super::producers;
use super::reader::Section;

/// `[outbox]`
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Where the database is.
    pub url: Address,
    /// Whom to trust for its certificate, as PEM. Default: whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The table. Default `switchboard_outbox`.
    pub table: Table,
    /// Where the database tells that there are rows. Default: as the table is called.
    pub channel: Channel,
    /// Whose events the rows may be; all tenants by default, or the only one.
    pub tenant: TenantId,
    /// How often it is looked for rows when nothing was told. Default 1 s; behind a PgBouncer that
    /// pools transactions nothing ever is, and this is the latency. Each look is one small query.
    pub poll: Duration,
    /// Most rows of one tenant that are taken at once. Default 500; more are faster, and are waited
    /// for by other tenants.
    pub batch: u32,
    /// What becomes of a row that was taken. Default: it is deleted.
    pub after: After,
    /// How long the tenants of a node that died wait for another one. Default 10 s; less costs a
    /// statement for each half of it and tenant with rows.
    pub lease: Duration,
    /// How long connecting or a statement may take. Default 5 s.
    pub timeout: Duration,
}

impl OutboxSettings {
    /// The outer `None` means that it was refused. `single` is the only tenant, if there is one.
    #[expect(clippy::option_option, reason = "absent is not refused")]
    pub(super) fn read(
        mut section: Section<'_>,
        single: Option<&TenantId>,
    ) -> Option<Option<Self>> {
        let is_wanted = !section.keys().is_empty();
        let (is_set, source) = (section.has_secret("url"), section.source_of_secret("url"));
        let url = section.secret("url");
        let ca_source = section.source_of("ca_file");
        let ca = section.path("ca_file").map(fs::read).transpose();
        let ca = ca.unwrap_or_else(|error| {
            section.refuse(&ca_source, "ca_file", &format!("cannot be read: {error}"));
            None
        });
        let table = section.parsed::<Table>("table").unwrap_or_default();
        let channel = section.parsed("channel");
        let everyone = || single.cloned().unwrap_or_else(TenantId::everyone);
        let tenant = section.value("tenant", |value| match value.as_text() {
            Some("*") => Ok(everyone()),
            text => producers::tenant(text, single),
        });
        let after = [("delete", After::Delete), ("mark", After::Mark)];
        let after = section.word("after", &after).unwrap_or(After::Delete);
        let poll = section.duration("poll", POLLS).unwrap_or(POLL);
        let batch = section.number("batch", 1..=1_000).unwrap_or(500);
        let lease = section.duration("lease", LEASES).unwrap_or(LEASE);
        let timeout = section.duration("timeout", TIMEOUTS).unwrap_or(TIMEOUT);
        section.finish();
        let Some(url) = url else {
            if is_wanted && !is_set {
                section.missing("url");
            }
            return (!is_wanted).then_some(None);
        };
        let url = match url.reveal().trim().parse() {
            Ok(url) => url,
            Err(error) => {
                let error: switchboard_postgres::InvalidAddress = error;
                section.refuse(&source, "url", &error.to_string());
                return None;
            }
        };
        Some(Some(Self {
            url,
            ca,
            channel: channel.unwrap_or_else(|| table.channel()),
            table,
            tenant: tenant.unwrap_or_else(everyone),
            poll,
            batch,
            after,
            lease,
            timeout,
        }))
    }
}

const POLLS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
const POLL: Duration = Duration::from_secs(1);
const LEASES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
const LEASE: Duration = Duration::from_secs(10);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{Environment, Settings, SettingsError};

    #[test]
    fn without_an_address_there_is_no_outbox() {
        assert!(load("").unwrap().outbox.is_none());

        let refused = load("[outbox]\npoll = \"1s\"\n").unwrap_err().to_string();

        assert!(refused.contains("outbox.url is missing"), "{refused}");
    }

    #[test]
    fn an_outbox_has_its_table_and_whose_events_its_rows_may_be() {
        let url = "url = \"postgres://crm:hidden@db/crm\"";
        let settings = load(&format!(
            "[outbox]\n{url}\ntable = \"crm.events\"\nafter = \"mark\"\ntenant = \"acme\"\n"
        ))
        .unwrap();

        assert!(!format!("{settings:?}").contains("hidden"));
        let outbox = settings.outbox.unwrap();
        assert_eq!(outbox.table.to_string(), "crm.events");
        assert_eq!(outbox.channel.as_str(), "events");
        assert_eq!(outbox.after, After::Mark);
        assert_eq!(outbox.tenant.as_str(), "acme");
        let settings = load(&format!("[outbox]\n{url}\n")).unwrap();
        assert!(settings.outbox.unwrap().tenant.is_everyone());
    }

    #[test]
    fn what_is_wrong_is_refused_and_no_password_is_shown() {
        for (line, reason) in [
            (
                "url = \"mysql://crm:hidden@db/crm\"",
                "outbox.url must begin with",
            ),
            ("url = \"postgres:///crm\"", "outbox.url names no host"),
            (
                "url = \"postgres://db/crm\"\ntable = \"Out;box\"",
                "outbox.table is \"Out;box\", must be",
            ),
            (
                "url = \"postgres://db/crm\"\nafter = \"keep\"",
                "outbox.after is \"keep\"",
            ),
            (
                "url = \"postgres://db/crm\"\nbatch = 5000",
                "outbox.batch is 5000",
            ),
            (
                "url = \"postgres://db/crm\"\npol = \"1s\"",
                "the nearest known one is outbox.poll",
            ),
        ] {
            let refused = load(&format!("[outbox]\n{line}\n"))
                .unwrap_err()
                .to_string();

            assert!(refused.contains(reason), "{line}: {refused}");
            assert!(!refused.contains("hidden"), "{refused}");
        }
    }

    fn load(more: &str) -> Result<Settings, SettingsError> {
        let text = format!("[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n{more}");
        let file = Some((Path::new("switchboard.toml"), &*text));
        Settings::from_text(file, &Environment::default())
    }
}
