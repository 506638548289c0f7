//! `switchboard config check`

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use switchboard_bridge::Mapping;

use super::{ConfigFile, Failure, say, warn};
use crate::settings::{
    self, AccessSettings, Auth, Environment, JournalKind, Policy, Settings, Stray,
};
use crate::tls::Certificate;
use crate::wiring;

/// Look at the settings
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(Check),
}

/// Check the settings file and the environment, and tell everything that is wrong with them
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard config check --config switchboard.toml")]
struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

impl Config {
    pub(crate) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let Action::Check(check) = &self.action;
        let settings = check.config.load(environment)?;
        for Stray { variable, nearest } in environment.strays() {
            warn(format_args!(
                "{variable} is no setting, and is ignored; the nearest is {nearest}"
            ));
        }
        let is_mute = settings.producers.is_empty() && settings.meta_webhooks.is_empty();
        if is_mute && settings.outbox.is_none() && settings.bridges.is_empty() {
            warn(
                "nobody can publish: there is no [[producers]], no [[webhooks.meta]], no [outbox] \
                 and no [[bridge]]",
            );
        }
        if let Some(files) = &settings.server.tls {
            Certificate::load(files).map_err(Failure::refused)?;
        }
        if let Some(outbox) = &settings.outbox {
            switchboard_outbox::Outbox::new(wiring::outbox(outbox)).map_err(Failure::refused)?;
        }
        say(summary(&settings))
    }
}

/// How rooms are decided.
fn rooms(access: &AccessSettings, auth: &Auth) -> String {
    let mut rooms = match access.policy {
        Policy::Claims | Policy::Sql(_) => format!("what the token's {} cover", auth.rooms_claim),
        Policy::Open => {
            "every room of the tenant (access.policy is open: for demonstrations)".to_owned()
        }
        Policy::Http => "what the CRM's backend says".to_owned(),
    };
    for (kind, policy) in &access.kinds {
        let kind = switchboard_access::kind(kind);
        rooms.extend(["; ", kind, " by ", policy.as_str()]);
    }
    rooms
}

/// What the settings come to, without a secret.
fn summary(settings: &Settings) -> String {
    let Settings {
        server,
        admin,
        auth,
        access,
        journal,
        producers,
        meta_webhooks,
        ..
    } = settings;
    let own = auth.verification.iter().map(ToString::to_string);
    let others = auth.issuers.iter().map(|other| {
        let settings::Issuer {
            issuer,
            verification,
            ..
        } = other;
        format!("of {issuer}: {verification}")
    });
    let tokens = own
        .chain(others)
        .collect::<Vec<_>>()
        .join("\n             ");
    let tenants = auth.single_tenant.as_ref().map_or_else(
        || format!("named by the token's {}", auth.tenant_claims.join(" or ")),
        |tenant| format!("one, {tenant}"),
    );
    let rooms = rooms(access, auth);
    let kept = kept(&journal.kind);
    let metrics = if admin.enabled {
        format!("{}:{}", admin.host, admin.port)
    } else {
        "none".to_owned()
    };
    let outbox = settings.outbox.as_ref();
    let outbox = outbox.map_or_else(|| "none".to_owned(), |outbox| outbox.table.to_string());
    let bridges: Vec<_> = settings.bridges.iter().map(Mapping::name).collect();
    let age = spaced(&humantime::format_duration(journal.retention_age).to_string());
    let size = ByteSize::b(journal.retention_size);
    format!(
        "the settings are good\n  \
         listens    {}:{}{}\n  \
         metrics    {metrics}\n  \
         tokens     {tokens}\n  \
         tenants    {tenants}\n  \
         rooms      {rooms}\n  \
         journal    {kept}, for {age} or {size}, whichever is less\n  \
         producers  {}\n  \
         webhooks   {}\n  \
         outbox     {outbox}\n  \
         bridges    {}",
        server.host,
        server.port,
        if server.tls.is_some() {
            ", with TLS"
        } else {
            ""
        },
        names(producers.iter().map(|producer| producer.name.as_str())),
        names(
            meta_webhooks
                .iter()
                .map(|webhook| webhook.endpoint.as_str())
        ),
        names(bridges.iter().map(String::as_str)),
    )
}

/// Where the journal is.
fn kept(kind: &JournalKind) -> String {
    match kind {
        JournalKind::Disk(path) => format!("in {}", path.display()),
        JournalKind::Memory => "in memory: a restart forgets everything".to_owned(),
        JournalKind::Redis(redis) => format!("on redis, under {}", redis.prefix),
    }
}

/// With a space between each number and its unit: `7 days`.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + 1);
    let mut after_digit = false;
    for letter in text.chars() {
        if after_digit && letter.is_alphabetic() {
            spaced.push(' ');
        }
        after_digit = letter.is_ascii_digit();
        spaced.push(letter);
    }
    spaced
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_summary_tells_both_limits_of_the_journal() {
        let text = "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
                    [journal]\nretention_age = \"36h\"\n";
        let file = Some((Path::new("switchboard.toml"), text));
        let settings = Settings::from_text(file, &Environment::default()).unwrap();

        let summary = summary(&settings);

        assert!(
            summary.contains("in data, for 1 day 12 h or 1.0 GiB, whichever is less"),
            "{summary}"
        );
    }
}
