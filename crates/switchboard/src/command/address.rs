//! The address of a server, as people type it.

use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;

/// `http://host:port`. Without TLS, which these commands leave to a proxy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    authority: Authority,
}

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InvalidAddress {
    #[error("{0:?} is not http://host:port")]
    Malformed(String),
    #[error("{0} is not spoken yet, only http: use the address behind the TLS proxy")]
    Scheme(String),
    #[error("{0:?} has a path, the server has none")]
    Path(String),
}

impl Address {
    /// The host and port, for the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Connects, in bounded time.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Failure> {
        let host = self
            .authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or(80);
        let failed = |reason: String| {
            Failure::new(format_args!(
                "cannot connect to http://{}: {reason}",
                self.authority
            ))
            .advise("is the server running? `switchboard demo` or `switchboard serve` starts one")
        };
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {CONNECT_TIMEOUT:?}"))),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidAddress::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let scheme = uri.scheme().ok_or_else(malformed)?;
        if *scheme != Scheme::HTTP {
            return Err(InvalidAddress::Scheme(scheme.to_string()));
        }
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(InvalidAddress::Path(text.to_owned()));
        }
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty());
        let authority = authority.filter(|authority| !authority.as_str().contains('@'));
        Ok(Self {
            authority: authority.ok_or_else(malformed)?.clone(),
        })
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in [
            "http://localhost:5000",
            "http://localhost:5000/",
            "http://[::1]:5000",
            "http://crm.example.com",
        ] {
            assert!(text.parse::<Address>().is_ok(), "{text}");
        }
    }

    #[test]
    fn https_is_refused_by_name() {
        let error = "https://crm.example.com".parse::<Address>().unwrap_err();

        assert_eq!(
            error.to_string(),
            "https is not spoken yet, only http: use the address behind the TLS proxy"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:5000",
            "http://",
            "http://u:p@h:1",
            "http://localhost:5000/v1/events",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
