//! Which web pages may talk to the server from another origin.

use std::str::FromStr;

/// An origin that is allowed: `https://crm.example.com`, or for development `http://localhost:*`.
///
/// Compared as text, as browsers send it. Only a loopback host may leave its port open: any other
/// wildcard would let strangers' pages use the visitor's rights.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Exactly this origin.
    Exact(Box<str>),
    /// This scheme and loopback host, on any port or none.
    AnyPort(Box<str>),
}

/// A text that is no origin as browsers send it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be scheme://host or scheme://host:port, without a path; only http://localhost:* leaves a port open"
)]
pub struct InvalidOrigin;

impl Origin {
    /// Whether a request that says it comes from `origin` is allowed by this entry.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *origin,
            Self::AnyPort(host) => match origin.strip_prefix(&**host) {
                Some("") => true,
                Some(rest) => rest.strip_prefix(':').is_some_and(is_port),
                None => false,
            },
        }
    }

    /// The entry as it is written in the settings.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Exact(exact) => exact.to_string(),
            Self::AnyPort(host) => format!("{host}:*"),
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        let scheme_fits = !scheme.is_empty()
            && scheme.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
            });
        if !scheme_fits || authority.is_empty() || !authority.bytes().all(is_authority_byte) {
            return Err(InvalidOrigin);
        }
        if let Some(host) = authority.strip_suffix(":*") {
            return match host {
                "localhost" | "127.0.0.1" | "[::1]" => {
                    Ok(Self::AnyPort(format!("{scheme}://{host}").into()))
                }
                _ => Err(InvalidOrigin),
            };
        }
        if authority.contains('*') {
            return Err(InvalidOrigin);
        }
        Ok(Self::Exact(text.into()))
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_authority_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' | b'[' | b']' | b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_origin_allows_itself_only() {
        let origin: Origin = "https://crm.example.com".parse().unwrap();

        assert!(origin.allows("https://crm.example.com"));
        assert!(!origin.allows("https://crm.example.com.evil.example"));
        assert!(!origin.allows("http://crm.example.com"));
        assert!(!origin.allows("https://crm.example.com:8443"));
    }

    #[test]
    fn an_open_port_allows_any_port_of_that_host() {
        let origin: Origin = "http://localhost:*".parse().unwrap();

        assert!(origin.allows("http://localhost"));
        assert!(origin.allows("http://localhost:3000"));
        assert!(!origin.allows("http://localhost:"));
        assert!(!origin.allows("http://localhost:+1"));
        assert!(!origin.allows("http://localhost.evil.example"));
        assert!(!origin.allows("http://localhost:3000.evil.example"));
    }

    #[test]
    fn what_a_browser_never_sends_is_refused() {
        for text in [
            "*",
            "crm.example.com",
            "https://crm.example.com/",
            "https://*.example.com",
            "https://x:*",
            "https://",
            "://x",
            "https://Crm.example.com",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin), "{text}");
        }
    }
}
