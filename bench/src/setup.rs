//! What a server is prepared with before it starts: keys, policies, a past.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::identity::{SECRET, Signer, TENANT, user};

/// The kinds of rooms that are decided by a token, by a query, and by the CRM's backend.
pub(crate) const CLAIMED: &str = "claimed";
pub(crate) const BY_SQL: &str = "queried";
pub(crate) const BY_HTTP: &str = "asked";

/// How many rights the database holds: more than there are clients, as in a CRM.
const RIGHTS: usize = 100_000;
const QUERY: &str = "select 1 from access where user_id = $1 and tenant_id = $2 and room_id = $3";

/// How a server is set up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setup {
    /// HS256, and tokens decide
    Plain,
    /// Tokens are signed with ES256
    Es256,
    /// Kinds of rooms that a token, a database and a backend decide about
    Policies,
    /// A journal that keeps whatever it finds, for as long as the bench takes
    Past,
}

/// What is ready for a server.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) signer: Signer,
    /// The public key of `signer`, if it has one.
    pub(crate) public_key: Option<PathBuf>,
    /// Answers as long as this is there.
    pub(crate) backend: Option<Backend>,
    /// Lines for Switchboard's `[auth]` and `[journal]`, and sections of their own.
    pub(crate) auth: String,
    pub(crate) journal: String,
    pub(crate) sections: String,
}

impl Setup {
    /// As in options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Es256 => "es256",
            Self::Policies => "policies",
            Self::Past => "past",
        }
    }

    /// Writes what a server needs to `data`, and starts whom it asks.
    pub(crate) fn prepare(self, data: &Path) -> anyhow::Result<Prepared> {
        fs::create_dir_all(data)?;
        let mut prepared = Prepared {
            signer: Signer::Secret,
            public_key: None,
            backend: None,
            auth: format!("algorithm = \"HS256\"\nsecret = \"{SECRET}\"\n"),
            journal: String::new(),
            sections: String::new(),
        };
        match self {
            Self::Plain => {}
            Self::Es256 => prepared.sign_with_a_key(data)?,
            Self::Policies => prepared.ask_others(data)?,
            Self::Past => {
                prepared.journal = "retention_age = \"7d\"\nretention_size = \"1TiB\"\n".into();
            }
        }
        Ok(prepared)
    }
}

impl Prepared {
    fn sign_with_a_key(&mut self, data: &Path) -> anyhow::Result<()> {
        self.signer = Signer::es256()?;
        let path = fs::canonicalize(data)?.join("es256.pem");
        if let Some(pem) = self.signer.public_pem()? {
            fs::write(&path, pem)?;
        }
        let name = path.display();
        self.auth = format!("algorithm = \"ES256\"\npublic_key_file = '{name}'\n");
        self.public_key = Some(path);
        Ok(())
    }

    fn ask_others(&mut self, data: &Path) -> anyhow::Result<()> {
        let database = fs::canonicalize(data)?.join("access.db");
        write_rights(&database)?;
        let backend = Backend::start()?;
        // What was said holds for longer than the bench takes, so that warm is warm.
        self.sections = format!(
            "[catalogue]\nrooms = [\"{CLAIMED}\", \"{BY_SQL}\", \"{BY_HTTP}\"]\n\n\
             [access]\nttl = \"10m\"\n\n\
             [access.kinds.{BY_SQL}]\npolicy = \"sql\"\nquery = \"{QUERY}\"\n\n\
             [access.kinds.{BY_HTTP}]\npolicy = \"http\"\n\n\
             [access.sql]\nurl = 'sqlite:{}'\n\n\
             [access.http]\nurl = \"http://{}/access\"\nsecret = \"{SECRET}\"\n\n",
            database.display(),
            backend.address
        );
        self.backend = Some(backend);
        Ok(())
    }
}

/// The client of each number may hear the room of the same number.
fn write_rights(path: &Path) -> anyhow::Result<()> {
    let mut database = Connection::open(path)?;
    let transaction = database.transaction()?;
    transaction.execute_batch(
        "create table access (user_id text, tenant_id text, room_id text, \
         primary key (user_id, tenant_id, room_id)) without rowid",
    )?;
    let mut insert = transaction.prepare("insert into access values (?1, ?2, ?3)")?;
    for number in 0..RIGHTS {
        insert.execute((user(number), TENANT, number.to_string()))?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}
