//! `switchboard init`

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use switchboard_ingest::KeyHash;

use super::{Failure, program, quoted, say};
use crate::random;
use crate::settings::{FILE_DEFAULT, Secret};

/// Write a commented settings file with fresh secrets, and print its two API keys, once
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  switchboard init
  switchboard init --multi-tenant --config switchboard.toml")]
pub(crate) struct Init {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = FILE_DEFAULT)]
    config: PathBuf,

    /// Replace the file if it is there; its secrets are lost
    #[arg(long)]
    force: bool,

    /// For a CRM with one customer, whose tenant nobody has to name (the default)
    #[arg(long, conflicts_with = "multi_tenant")]
    single_tenant: bool,

    /// For a CRM with several customers: every token and every event names its tenant
    #[arg(long)]
    multi_tenant: bool,
}

/// For how many customers the settings are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Customers {
    One,
    Several,
}

impl Init {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let secret = random::secret("")?;
        let key = random::secret("sb_")?;
        let admin_key = random::secret("sb_")?;
        let path = &self.config;
        let customers = if self.multi_tenant {
            Customers::Several
        } else {
            Customers::One
        };
        let hash = |key: &Secret| KeyHash::of(key.reveal());
        let text = file_text(customers, &secret, &hash(&key), &hash(&admin_key));
        write(path, &text, self.force).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                Failure::refused(format_args!("{} exists", path.display()))
                    .advise("keep it, name another with --config FILE, or replace it and its secrets with --force")
            } else {
                Failure::new(format_args!("cannot write {}: {error}", path.display()))
            }
        })?;
        say(next_steps(&program()?, path, customers, &key, &admin_key))
    }
}

fn file_text(customers: Customers, secret: &Secret, key: &KeyHash, admin_key: &KeyHash) -> String {
    let (single_tenant, tenant) = match customers {
        Customers::One => ("true", "default"),
        Customers::Several => ("false", "*"),
    };
    TEMPLATE
        .replace("{single_tenant}", single_tenant)
        .replace("{producer_tenant}", tenant)
        .replace("{secret}", secret.reveal())
        .replace("{key_sha256}", &key.to_string())
        .replace("{admin_key_sha256}", &admin_key.to_string())
}

/// Writes a file that only its owner may read: whole, or not at all.
fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if !replace && fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    // A temporary file is made with mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".switchboard-")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let written = if replace {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    written.map_err(|error| error.error)?;
    // The name is durable once its directory is; elsewhere directories cannot be opened.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

fn next_steps(
    program: &str,
    path: &Path,
    customers: Customers,
    key: &Secret,
    admin_key: &Secret,
) -> String {
    let (key, admin_key, file) = (key.reveal(), admin_key.reveal(), path.display());
    let config = if path == Path::new(FILE_DEFAULT) {
        String::new()
    } else {
        format!(" --config {}", quoted(&file.to_string()))
    };
    let (tenant, is_for) = match customers {
        Customers::One => (
            "",
            "ONE customer; `init --multi-tenant` is for several, or edit auth.single_tenant",
        ),
        Customers::Several => (
            " --tenant acme",
            "several customers: every token and every event names its tenant",
        ),
    };
    format!(
        "wrote {file}: only you can read it
It is for {is_for}.

The API key of the producer \"crm-backend\", shown this once (the file holds only its SHA-256):

  {key}

Next, run the server (--port for another port than 5000):

  {program} serve{config}

In a second terminal, see what happens:

  TOKEN=$({program} token{config}{tenant} --user 7 --room 'contact:*')
  {program} listen --auth '{{\"token\":\"'$TOKEN'\"}}' --subscribe contact:42

In a third, make something happen:

  export SWITCHBOARD_KEY={key}
  {program} publish{tenant} contact:updated '{{\"contactId\":\"42\",\"updates\":{{\"name\":\"Ana\"}}}}'

The API key of the producer \"admin\", shown this once too, makes and revokes others:

  SWITCHBOARD_KEY={admin_key} {program} producer list",
    )
}

const TEMPLATE: &str = include_str!("init.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Keys, Settings, Verification};

    #[test]
    fn the_written_file_is_complete_and_holds_no_api_key() {
        let (secret, key) = (random::secret("").unwrap(), random::secret("sb_").unwrap());

        let text = file_text(
            Customers::One,
            &secret,
            &KeyHash::of(key.reveal()),
            &KeyHash::of("admin"),
        );

        let settings = settings(&text);
        let Some(Verification {
            keys: Keys::Secret(read),
            ..
        }) = &settings.auth.verification
        else {
            panic!("not a secret")
        };
        assert_eq!(read, &secret);
        assert_eq!(settings.producers[0].key_sha256, KeyHash::of(key.reveal()));
        assert!(!text.contains(key.reveal()));
    }

    #[test]
    fn the_file_is_for_one_customer_or_for_several() {
        let text = |customers| {
            file_text(
                customers,
                &random::secret("").unwrap(),
                &KeyHash::of("k"),
                &KeyHash::of("admin"),
            )
        };

        let (one, several) = (
            settings(&text(Customers::One)),
            settings(&text(Customers::Several)),
        );

        assert_eq!(
            one.auth.single_tenant.as_ref(),
            Some(&one.producers[0].tenant)
        );
        assert_eq!(several.auth.single_tenant, None);
        assert!(several.producers[0].tenant.is_everyone());
    }

    #[test]
    fn the_next_steps_can_be_pasted_as_they_are() {
        let key = Secret::new("sb_key");

        let one = next_steps("./sb", Path::new(FILE_DEFAULT), Customers::One, &key, &key);
        let several = next_steps("./sb", Path::new("my file"), Customers::Several, &key, &key);

        assert!(one.contains("\n  ./sb serve\n"), "{one}");
        assert!(one.contains("\n  export SWITCHBOARD_KEY=sb_key\n"), "{one}");
        assert!(
            several.contains("./sb token --config 'my file' --tenant acme --user 7"),
            "{several}"
        );
        assert!(
            several.contains("./sb publish --tenant acme contact"),
            "{several}"
        );
    }

    #[test]
    fn every_setting_that_is_commented_out_is_a_setting() {
        let text = file_text(
            Customers::One,
            &random::secret("").unwrap(),
            &KeyHash::of("k"),
            &KeyHash::of("admin"),
        );
        let all: Vec<_> = text
            .lines()
            .map(|line| {
                line.strip_prefix("#")
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            // Other keys than the secret, which would have to exist.
            .filter(|line| {
                !line.starts_with("algorithm")
                    && !line.starts_with("public_key_file")
                    && !line.starts_with("jwks_file")
                    && !line.starts_with("jwks_url = \"https://id.")
                    && !line.starts_with("schema_file")
                    && !line.starts_with("ca_file")
            })
            .collect();

        let settings = settings(&all.join("\n"));

        assert_eq!(settings.meta_webhooks.len(), 1);
        assert_eq!(settings.catalogue.events.len(), 1);
        assert_eq!(settings.auth.issuers.len(), 1);
        assert_eq!(settings.access.kinds.len(), 1);
        assert!(settings.access.sql.is_some() && settings.access.http.is_some());
    }

    #[test]
    fn a_file_that_exists_is_kept_unless_replacing_is_forced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.toml");

        write(&path, "first", false).unwrap();
        let second = write(&path, "second", false);

        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        write(&path, "third", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.toml");

        write(&path, "secret", false).unwrap();

        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    fn settings(text: &str) -> Settings {
        let file = Some((Path::new(FILE_DEFAULT), text));
        Settings::from_text(file, &Environment::default()).unwrap()
    }
}
