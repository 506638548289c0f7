//! Where a Postgres is.

use std::fmt;
use std::str::FromStr;

/// Where a Postgres is, and as whom to connect. Its `Debug` shows no password.
///
/// `postgres://` or `postgresql://`; with TLS if it says `sslmode=require`, and then the server's
/// certificate is verified. Otherwise without: nothing is left to chance.
#[derive(Clone)]
pub struct Address(Box<tokio_postgres::Config>);

/// Why a text is no address of a Postgres. Does not show it, as it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// Another kind of database, or none.
    #[error("must begin with postgres://")]
    Scheme,
    /// It cannot be read.
    #[error("is not an address of Postgres: {0}")]
    Malformed(String),
    /// There is no host to connect to.
    #[error("names no host")]
    Host,
}

impl Address {
    /// Whether a text is meant for one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// What tokio-postgres makes of it.
    pub(crate) fn into_config(self) -> tokio_postgres::Config {
        *self.0
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !Self::is_meant(text) {
            return Err(InvalidAddress::Scheme);
        }
        let config: tokio_postgres::Config = text.parse().map_err(|error| {
            let error: tokio_postgres::Error = error;
            InvalidAddress::Malformed(error.to_string())
        })?;
        if config.get_hosts().is_empty() {
            return Err(InvalidAddress::Host);
        }
        Ok(Self(Box::new(config)))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Postgres")
            .field("hosts", &self.0.get_hosts())
            .field("database", &self.0.get_dbname())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_host_and_shows_no_password() {
        let address: Address = "postgres://crm:secret@db/crm".parse().unwrap();

        assert!(!format!("{address:?}").contains("secret"), "{address:?}");
        for (text, why) in [
            ("mysql://db/crm", InvalidAddress::Scheme),
            ("host=db", InvalidAddress::Scheme),
            ("postgres:///crm", InvalidAddress::Host),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), why, "{text}");
        }
    }
}
