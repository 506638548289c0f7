//! Where to listen, and for whom.

use std::time::Duration;

use switchboard_engine::{Cidr, ProxyHeader};

use super::origin::Origin;
use super::reader::Section;
use super::tls::TlsSettings;
use crate::nodes::NodeName;

/// `[server]`
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What `/v1/stats` calls this node beside its id. Default none.
    pub name: Option<NodeName>,
    /// The address to listen on. Default `0.0.0.0`: every interface.
    pub host: String,
    /// The port, also as `PORT`. Default 5000; 0 lets the system pick one.
    pub port: u16,
    /// The origins whose pages may talk to the server. Default none: only pages from the server's
    /// own host.
    pub cors_origins: Vec<Origin>,
    /// The proxies whose word about their clients' addresses counts. Default none: a client's address
    /// is that of its connection.
    pub trusted_proxies: Vec<Cidr>,
    /// The header in which they say it. Default `X-Forwarded-For`. They must not pass it on as their
    /// clients sent it.
    pub proxy_header: ProxyHeader,
    /// TLS on the public listener. Default none: a proxy in front speaks it.
    pub tls: Option<TlsSettings>,
    /// How long a drain waits for requests in flight. Default 10 s; raising it makes a restart
    /// wait longer for clients that do not read.
    pub drain_timeout: Duration,
    /// Over how long a drain closes its connections, in waves, at most half of `drain_timeout`.
    /// Default 2 s; raising it makes a restart take longer, and clients come back more slowly.
    pub drain_spread: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            name: None,
            host: "0.0.0.0".to_owned(),
            port: 5000,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            tls: None,
            drain_timeout: Duration::from_secs(10),
            drain_spread: Duration::from_secs(2),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            name: section.parsed("name"),
            host: section.text("host").unwrap_or(default.host),
            port: section
                .number("port", 0..=u16::MAX.into())
                .and_then(|port| port.try_into().ok())
                .unwrap_or(default.port),
            cors_origins: section.list("cors_origins").unwrap_or(default.cors_origins),
            trusted_proxies: section
                .list("trusted_proxies")
                .unwrap_or(default.trusted_proxies),
            proxy_header: section
                .word(
                    "proxy_header",
                    &[
                        ("X-Forwarded-For", ProxyHeader::XForwardedFor),
                        ("Forwarded", ProxyHeader::Forwarded),
                    ],
                )
                .unwrap_or(default.proxy_header),
            tls: TlsSettings::read(&mut section),
            drain_timeout: section
                .duration(
                    "drain_timeout",
                    Duration::from_millis(100)..=DRAIN_TIMEOUT_MAX,
                )
                .unwrap_or(default.drain_timeout),
            drain_spread: section
                .duration("drain_spread", Duration::ZERO..=DRAIN_TIMEOUT_MAX)
                .unwrap_or(default.drain_spread),
        };
        section.finish();
        settings
    }
}

const DRAIN_TIMEOUT_MAX: Duration = Duration::from_mins(10);
