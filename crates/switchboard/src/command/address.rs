//! The address of a server, as people type it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// `https://host:port`, or `http` without TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    is_secure: bool,
    authority: Authority,
}

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InvalidAddress {
    #[error("{0:?} is not http://host:port or https://host:port")]
    Malformed(String),
    #[error("{0} is not spoken, only http and https")]
    Scheme(String),
    #[error("{0:?} has a path, the server has none")]
    Path(String),
}

impl Address {
    /// The host and port, for the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host alone; an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.authority.host();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, by default that of the scheme.
    pub(crate) fn port(&self) -> u16 {
        let default = if self.is_secure { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Whether TLS is spoken there.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidAddress::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let scheme = uri.scheme().ok_or_else(malformed)?;
        let is_secure = *scheme == Scheme::HTTPS;
        if !is_secure && *scheme != Scheme::HTTP {
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
            is_secure,
            authority: authority.ok_or_else(malformed)?.clone(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.authority)
    }
}

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
            "https://crm.example.com",
            "https://localhost:5000/",
        ] {
            assert!(text.parse::<Address>().is_ok(), "{text}");
        }
    }

    #[test]
    fn its_port_is_that_of_the_scheme_unless_told() {
        for (text, host, port) in [
            ("http://crm.example.com", "crm.example.com", 80),
            ("https://crm.example.com", "crm.example.com", 443),
            ("https://crm.example.com:8443", "crm.example.com", 8443),
            ("https://[::1]:8443", "::1", 8443),
        ] {
            let address: Address = text.parse().unwrap();

            assert_eq!((address.host(), address.port()), (host, port), "{text}");
            assert_eq!(address.is_secure(), text.starts_with("https"), "{text}");
            assert_eq!(address.to_string(), text);
        }
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
            "https://u:p@h:1",
            "ws://localhost:5000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
