//! Asks the CRM's database, with one query for each kind of room.
//!
//! A query is the operator's; what clients send is bound to it as text and is never part of it:
//! `$1` is the user, `$2` the tenant, `$3` the id. Its answer is the one column of its first row:
//! true, or a number other than 0. No row, false, 0 and null are a no.

mod pool;
mod postgres;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchboard_postgres::{Address, InvalidAddress};

use self::postgres::Postgres;
use self::sqlite::Sqlite;
use crate::question::Question;
use crate::source::{Answer, AskError, Source, Turn};

pub use switchboard_postgres::OpenError;

/// One query, and the database that it is put to.
#[derive(Debug)]
pub struct Sql {
    database: Database,
    query: Arc<str>,
}

/// A database with its connections. Cheap to clone; one for all queries.
#[derive(Clone, Debug)]
pub struct Database(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Postgres(Arc<Postgres>),
    Sqlite(Arc<Sqlite>),
}

/// Where the database is, and how much it is asked at once.
#[derive(Clone, Debug)]
pub struct SqlConfig {
    /// Where it is.
    pub url: SqlUrl,
    /// Most connections, default 4. Each is one question at a time.
    pub pool_max: usize,
    /// How long one question may take; the database itself stops a query that takes longer.
    pub timeout: Duration,
    /// Whom to trust for the certificate of Postgres, as PEM. Default: whom the system trusts.
    pub ca: Option<Box<[u8]>>,
}

/// Where a database is. Its `Debug` shows no password.
#[derive(Clone)]
pub enum SqlUrl {
    /// A Postgres.
    Postgres(Address),
    /// `sqlite:` and the path of a file. It is opened for reading only.
    Sqlite(PathBuf),
}

/// Why a text is no address of a database. Does not show it, as it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Another kind of database, or none.
    #[error("must begin with postgres:// or sqlite:")]
    Scheme,
    /// It cannot be read.
    #[error("is not an address of Postgres: {0}")]
    Postgres(String),
    /// There is no host to connect to.
    #[error("names no host")]
    Host,
    /// There is no path.
    #[error("names no file")]
    Path,
}

impl Sql {
    /// `query`, put to `database`.
    #[must_use]
    pub fn new(database: Database, query: &str) -> Self {
        Self {
            database,
            query: query.into(),
        }
    }
}

impl Database {
    /// Prepares to connect; connects with the first question.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if TLS cannot be set up.
    pub fn new(config: SqlConfig) -> Result<Self, OpenError> {
        let SqlConfig {
            url,
            pool_max,
            timeout,
            ca,
        } = config;
        Ok(Self(match url {
            SqlUrl::Postgres(address) => Kind::Postgres(Arc::new(Postgres::new(
                address,
                pool_max,
                timeout,
                ca.as_deref(),
            )?)),
            SqlUrl::Sqlite(path) => Kind::Sqlite(Arc::new(Sqlite::new(path, pool_max, timeout))),
        }))
    }
}

#[async_trait]
impl Source for Sql {
    fn policy(&self) -> &'static str {
        "sql"
    }

    async fn turn(&self) -> Turn {
        match &self.database.0 {
            Kind::Postgres(postgres) => postgres.turn().await,
            Kind::Sqlite(sqlite) => sqlite.turn().await,
        }
    }

    async fn ask(&self, turn: Turn, question: &Question) -> Result<Answer, AskError> {
        let is_allowed = match &self.database.0 {
            Kind::Postgres(postgres) => postgres.ask(turn, &self.query, question).await?,
            Kind::Sqlite(sqlite) => sqlite.ask(turn, &self.query, question).await?,
        };
        Ok(Answer::of(is_allowed))
    }
}

impl FromStr for SqlUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(InvalidUrl::Path)
            } else {
                Ok(Self::Sqlite(path.into()))
            };
        }
        let address = text.parse().map_err(|error| match error {
            InvalidAddress::Host => InvalidUrl::Host,
            InvalidAddress::Malformed(reason) => InvalidUrl::Postgres(reason),
            _ => InvalidUrl::Scheme,
        });
        address.map(Self::Postgres)
    }
}

impl fmt::Debug for SqlUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(address) => address.fmt(formatter),
            Self::Sqlite(path) => formatter.debug_tuple("Sqlite").field(path).finish(),
        }
    }
}

/// What is bound to a query: `$1`, `$2`, `$3`.
fn parameters(question: &Question) -> [&str; 3] {
    [
        question.user.as_str(),
        question.tenant.as_str(),
        question.id(),
    ]
}

/// What a query must be like.
const COLUMN: &str = "the query must give one column, a boolean or a number";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_postgres_or_of_a_file() {
        for text in [
            "postgres://crm:secret@db/crm",
            "postgresql://crm@%2Frun%2Fpostgresql/crm?sslmode=disable",
            "postgresql:///crm?host=/run/postgresql",
            "sqlite:crm.db",
            "sqlite:///srv/crm.db",
        ] {
            let url: SqlUrl = text.parse().unwrap();
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
        }
        for (text, why) in [
            ("mysql://db/crm", InvalidUrl::Scheme),
            ("", InvalidUrl::Scheme),
            ("host=db", InvalidUrl::Scheme),
            ("postgres:///crm", InvalidUrl::Host),
            ("sqlite:", InvalidUrl::Path),
        ] {
            assert_eq!(text.parse::<SqlUrl>().unwrap_err(), why, "{text}");
        }
        assert!(matches!(
            "postgres://db/crm?sslmode=secret".parse::<SqlUrl>(),
            Err(InvalidUrl::Postgres(_))
        ));
    }
}
