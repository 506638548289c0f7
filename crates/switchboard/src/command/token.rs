//! `switchboard token`

use std::time::Duration;

use clap::Args;
use switchboard_event::{Catalogue, CatalogueConfig, RoomKind, TenantId, UserId};
use switchboard_hub::{InvalidPattern, Pattern};

use super::{ConfigFile, Failure, say, warn};
use crate::clock;
use crate::settings::{Auth, Environment, Keys, Secret, Verification};
use crate::token::{Claims, SignError};

/// Sign a client's token with the shared secret, and print it
///
/// The CRM signs the tokens of its users; this is for trying things out. With anything but HS256,
/// HS384 and HS512 only the CRM can sign, for it alone holds the private key.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  switchboard token --user 7 --room 'whatsapp:*' --room 'contact:*'
  switchboard token --user 7 --room 'whatsapp:*' --tenant acme      # with several customers
  switchboard listen --auth '{\"token\":\"'$(switchboard token --user 7)'\"}'")]
pub(crate) struct Token {
    /// The user whom the token names
    #[arg(long, value_name = "ID")]
    user: UserId,

    /// The user's tenant; needed unless auth.single_tenant is set
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,

    /// A pattern of rooms that may be joined, such as whatsapp:* (repeatable)
    #[arg(long = "room", value_name = "PATTERN")]
    rooms: Vec<String>,

    /// A pattern of accounts that may be paired (repeatable); without it auth.link_default counts
    #[arg(long = "link", value_name = "PATTERN")]
    links: Vec<String>,

    /// The issuer as whom to sign, one of [[auth.issuers]]; without it that of [auth]
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,

    /// For how long the token is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,

    /// The shared secret, instead of the one in the settings; without settings it is enough
    #[arg(long, value_name = "TEXT")]
    secret: Option<String>,

    #[command(flatten)]
    config: ConfigFile,
}

impl Token {
    pub(crate) fn run(self, environment: &Environment) -> Result<(), Failure> {
        let (auth, catalogue) = self.settings(environment)?;
        let catalogue = Catalogue::new(catalogue)?;
        for (option, pattern, why) in self.idle(&catalogue) {
            warn(format_args!("{option} {pattern:?} grants nothing: {why}"));
        }
        let claims = Claims {
            issuer: self.issuer,
            user: self.user,
            tenant: self.tenant,
            rooms: self.rooms,
            link: Some(self.links).filter(|links| !links.is_empty()),
            ttl: self.ttl,
        };
        let token = claims.sign(&auth, clock::now()).map_err(|error| {
            let advice = match &error {
                SignError::NoSecret(_) => {
                    Some("ask the CRM for a token: it signs them with its private key")
                }
                SignError::NoneNamed => Some("name one: --issuer ISS"),
                SignError::NoTenant => Some("name the tenant: --tenant ID"),
                SignError::OtherTenant { .. } => Some("leave --tenant away"),
                SignError::TooLong(_) => Some("name a shorter one: --ttl 24h"),
                _ => None,
            };
            let failure = Failure::refused(error);
            match advice {
                Some(advice) => failure.advise(advice),
                None => failure,
            }
        })?;
        say(token)
    }
    /// Whose claims have which names, and which rooms there are.
    fn settings(&self, environment: &Environment) -> Result<(Auth, CatalogueConfig), Failure> {
        let Some(secret) = &self.secret else {
            let settings = self.config.load(environment)?;
            return Ok((settings.auth, settings.catalogue));
        };
        let mut verification = Verification::hs256(Secret::new(secret));
        if !self.config.is_there() {
            return Ok((Auth::new(verification), CatalogueConfig::default()));
        }
        let settings = self.config.load(environment)?;
        if let Some(Verification {
            algorithms,
            keys: Keys::Secret(_),
        }) = &settings.auth.verification
        {
            verification.algorithms.clone_from(algorithms);
        }
        let auth = Auth {
            verification: Some(verification),
            ..settings.auth
        };
        Ok((auth, settings.catalogue))
    }

    /// The patterns that grant nothing, each with its option and the reason.
    fn idle(&self, catalogue: &Catalogue) -> Vec<(&'static str, &str, String)> {
        let rooms = self.rooms.iter().filter_map(|pattern| {
            let why = why_idle(pattern, catalogue)?;
            Some(("--room", pattern.as_str(), why))
        });
        let links = self.links.iter().filter_map(|pattern| {
            let why = pattern.parse::<Pattern>().err()?;
            Some(("--link", pattern.as_str(), refused(&why)))
        });
        rooms.chain(links).collect()
    }
}

/// Why nobody who has `pattern` may join a room by it.
fn why_idle(pattern: &str, catalogue: &Catalogue) -> Option<String> {
    if let Err(error) = pattern.parse::<Pattern>() {
        return Some(refused(&error));
    }
    let name = match pattern.strip_suffix('*') {
        // Whatever begins alike: some kind, or all of them.
        Some(prefix) if !prefix.contains(':') => return None,
        Some(prefix) => format!("{prefix}x"),
        None => pattern.to_owned(),
    };
    let room = match catalogue.room(&name) {
        Ok(room) => room,
        Err(error) => return Some(error.to_string()),
    };
    match room.kind() {
        RoomKind::User | RoomKind::Team | RoomKind::Contacts => {
            Some("rooms of this kind are joined by themselves, or not at all".to_owned())
        }
        RoomKind::WhatsappLink => Some("who may pair is said by --link".to_owned()),
        RoomKind::Whatsapp
        | RoomKind::Campaign
        | RoomKind::Contact
        | RoomKind::Flow
        | RoomKind::Custom(_) => None,
    }
}

fn refused(error: &InvalidPattern) -> String {
    format!("{error}, and the server refuses the token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_grants_nothing_is_known() {
        let catalogue = Catalogue::new(CatalogueConfig {
            rooms: vec!["order".to_owned()],
            ..CatalogueConfig::default()
        })
        .unwrap();

        for pattern in [
            "*",
            "cont*",
            "whatsapp:*",
            "contact:42",
            "order:*",
            "order:7",
        ] {
            assert_eq!(why_idle(pattern, &catalogue), None, "{pattern}");
        }
        for (pattern, why) in [
            ("contct:*", "contct"),
            ("contct:42", "contct"),
            ("support", "kind:id"),
            ("contact:*:x", "before its end"),
            ("", "0 bytes"),
            ("user:*", "by themselves"),
            ("whatsapp:1:link", "--link"),
        ] {
            let said = why_idle(pattern, &catalogue).unwrap_or_default();
            assert!(said.contains(why), "{pattern}: {said}");
        }
    }

    #[test]
    fn a_secret_of_the_command_line_leaves_the_other_settings_as_they_are() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            token: Token,
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("switchboard.toml");
        let secret = "0123456789abcdef0123456789abcdef";
        let text = format!("[auth]\nsecret = \"{secret}\"\nsingle_tenant = true\n");
        std::fs::write(&file, text).unwrap();
        let settings = |file: &std::path::Path| {
            let config = file.display().to_string();
            let line = ["token", "--user", "7", "--secret", "s", "--config", &config];
            let Line { token } = Line::try_parse_from(line).unwrap();
            token.settings(&Environment::default()).unwrap().0
        };

        assert!(settings(&file).single_tenant.is_some());
        assert!(matches!(
            settings(&file).verification,
            Some(Verification { keys: Keys::Secret(secret), .. }) if secret.reveal() == "s"
        ));
        let nowhere = directory.path().join("nowhere.toml");
        assert_eq!(settings(&nowhere).single_tenant, None);
    }
}
