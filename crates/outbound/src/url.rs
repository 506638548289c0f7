//! Where one may ask.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// An address that may be asked: `https`, or `http` on this machine.
///
/// Parsed from text it is held to that; [`Url::with_plain_http`] is for whoever runs a network of
/// their own. Its `Display` leaves out the query, which may hold a key.
#[derive(Clone, Eq, PartialEq)]
pub struct Url(Uri);

/// Why an address may not be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It is none.
    #[error("must be a URL such as https://host/path")]
    Malformed,
    /// It names a user or a password, which would go to logs.
    #[error("must not hold a user or a password")]
    Credentials,
    /// `file:`, `data:` and the like.
    #[error("must begin with https:// (or http:// on this machine)")]
    Scheme,
    /// What it answers could be anybody's.
    #[error("must be https:// unless its host is this machine (localhost, 127.0.0.1, [::1])")]
    Plain,
}

impl Url {
    /// The longest address, in bytes.
    pub const LEN_MAX: usize = 2_048;

    /// Parses `text` and allows `http` to any host: what is asked and answered can be read and
    /// changed on the way.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`], but never for the lack of TLS.
    pub fn with_plain_http(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidUrl::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP => {}
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::Malformed),
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(InvalidUrl::Credentials),
            Some(authority) if !authority.host().is_empty() => Ok(Self(uri)),
            _ => Err(InvalidUrl::Malformed),
        }
    }

    /// The host, without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Self::with_plain_http(text)?;
        if url.0.scheme() == Some(&Scheme::HTTPS) || url.is_loopback() {
            Ok(url)
        } else {
            Err(InvalidUrl::Plain)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        write!(formatter, "{scheme}://{authority}{}", self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_may_be_asked_anywhere_and_http_on_this_machine() {
        for text in [
            "https://id.example.com/.well-known/jwks.json",
            "https://10.0.0.7:8443/keys?tenant=1",
            "http://localhost:3000/keys",
            "http://LOCALHOST/keys",
            "http://127.0.0.1:3000",
            "http://127.9.9.9/",
            "http://[::1]:3000/keys",
        ] {
            assert!(text.parse::<Url>().is_ok(), "{text}");
        }
    }

    #[test]
    fn whatever_else_is_refused_with_its_reason() {
        for (text, why) in [
            ("", InvalidUrl::Malformed),
            ("/keys", InvalidUrl::Malformed),
            ("id.example.com/keys", InvalidUrl::Malformed),
            ("https:///keys", InvalidUrl::Malformed),
            ("https://a b/", InvalidUrl::Malformed),
            ("file:///etc/passwd", InvalidUrl::Malformed),
            ("file://host/etc/passwd", InvalidUrl::Scheme),
            ("data:application/json,{}", InvalidUrl::Malformed),
            ("ftp://id.example.com/keys", InvalidUrl::Scheme),
            (
                "https://ana:secret@id.example.com/",
                InvalidUrl::Credentials,
            ),
            ("http://127.0.0.1@id.example.com/", InvalidUrl::Credentials),
            ("http://id.example.com/keys", InvalidUrl::Plain),
            ("http://localhost.example.com/keys", InvalidUrl::Plain),
            ("http://127.0.0.1.example.com/keys", InvalidUrl::Plain),
            ("http://10.0.0.7/keys", InvalidUrl::Plain),
            ("http://0.0.0.0/keys", InvalidUrl::Plain),
        ] {
            assert_eq!(text.parse::<Url>(), Err(why), "{text}");
        }
        let long = format!("https://host/{}", "x".repeat(Url::LEN_MAX));
        assert_eq!(long.parse::<Url>(), Err(InvalidUrl::Malformed));
    }

    #[test]
    fn a_network_of_ones_own_may_go_without_tls_but_not_with_another_scheme() {
        assert!(Url::with_plain_http("http://crm:3000/access").is_ok());
        assert_eq!(
            Url::with_plain_http("gopher://crm/access"),
            Err(InvalidUrl::Scheme)
        );
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_query() {
        let url: Url = "https://id.example.com/keys?key=secret".parse().unwrap();

        assert_eq!(url.to_string(), "https://id.example.com/keys");
        assert_eq!(format!("{url:?}"), "Url(https://id.example.com/keys)");
        assert_eq!(url.host(), "id.example.com");
    }
}
