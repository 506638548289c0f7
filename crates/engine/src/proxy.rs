use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{
    HeaderMap,
    header::{FORWARDED, HeaderName},
};

use crate::Client;

/// The proxies whose word about their clients counts, and the header that they say it in.
///
/// Only one header is read: a proxy that sets one of them passes the other one on as its client
/// sent it, and so it must not count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// Their addresses. None by default: then no header counts.
    pub trusted: Vec<Cidr>,
    /// What they say it in.
    pub header: ProxyHeader,
}

/// The header in which proxies name their clients.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, as nearly all of them do. The default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cidr {
    address: IpAddr,
    prefix_len: u8,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be an address or a network, such as \"10.0.0.1\", \"10.0.0.0/8\" or \"fd00::/8\"")]
pub struct InvalidCidr;

impl Proxies {
    /// Who sent a request that came from `peer`.
    ///
    /// The entries are read from the right, where the nearest proxy wrote. The first that is no
    /// trusted proxy is the client: whatever stands left of it, the client may have made up. What is
    /// no address ends the search at the last proxy that is known.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        let mut client = Client::new(peer);
        if !self.trusts(client.ip()) {
            return client;
        }
        let name = match self.header {
            ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
            ProxyHeader::Forwarded => FORWARDED,
        };
        let values: Vec<_> = headers.get_all(name).iter().collect();
        let mut hops = 0;
        for value in values.into_iter().rev() {
            let Ok(text) = value.to_str() else {
                return client;
            };
            for entry in entries(text).into_iter().rev() {
                let address = match self.header {
                    ProxyHeader::XForwardedFor => address(entry.trim()),
                    ProxyHeader::Forwarded => forwarded(entry),
                };
                let Some(address) = address else {
                    return client;
                };
                client = Client::new(address);
                hops += 1;
                if hops == HOPS_MAX || !self.trusts(client.ip()) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.holds(address))
    }
}

impl Cidr {
    /// Whether `address`, in its canonical form, is of this network.
    fn holds(&self, address: IpAddr) -> bool {
        let shared = match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= u32::from(self.prefix_len)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix_len) = match text.split_once('/') {
            None => (text, None),
            Some((address, len)) => (address, Some(len)),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidCidr)?;
        let len_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len: u8 = match prefix_len {
            None => len_max,
            Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
                len.parse().map_err(|_| InvalidCidr)?
            }
            Some(_) => return Err(InvalidCidr),
        };
        if prefix_len > len_max {
            return Err(InvalidCidr);
        }
        // An IPv4 network that is written as an IPv6 one is meant for what comes as IPv4.
        let canonical = address.to_canonical();
        let prefix_len = if canonical.is_ipv4() && address.is_ipv6() {
            prefix_len.checked_sub(MAPPED_LEN).ok_or(InvalidCidr)?
        } else {
            prefix_len
        };
        Ok(Self {
            address: canonical,
            prefix_len,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The entries of a list, in which a comma between quotes parts nothing.
fn entries(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(|char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match char {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    })
    .collect()
}

/// The `for` of one element of `Forwarded`.
fn forwarded(element: &str) -> Option<SocketAddr> {
    let node = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })?;
    let node = node.trim();
    let bare = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    address(bare.unwrap_or(node))
}

/// An address as proxies write it: bare, in brackets, and each with or without a port.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(SocketAddr::new(address, 0));
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(SocketAddr::new(IpAddr::V6(bare.parse().ok()?), 0))
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many entries are looked at.
const HOPS_MAX: usize = 16;
/// By how much the prefix of a network is longer when IPv4 is written as IPv6.
const MAPPED_LEN: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_client() {
        let proxies = proxies(ProxyHeader::XForwardedFor);
        for (header, client) in [
            ("203.0.113.7", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
            ("203.0.113.7,10.0.0.9 , 10.0.0.8", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "[2001:db8::7]:443"),
            ("203.0.113.7:4711", "203.0.113.7:4711"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            // Only proxies: the one furthest away.
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ] {
            assert_eq!(seen(&proxies, "10.1.2.3:80", &[header]), client, "{header}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let proxies = proxies(ProxyHeader::XForwardedFor);

        assert_eq!(
            seen(
                &proxies,
                "10.1.2.3:80",
                &["198.51.100.1", "203.0.113.7, 10.0.0.9"]
            ),
            "203.0.113.7"
        );
    }

    #[test]
    fn what_a_stranger_says_of_itself_changes_nothing() {
        let proxies = proxies(ProxyHeader::XForwardedFor);

        for peer in ["192.0.2.1:99", "[2001:db8::1]:99"] {
            assert_eq!(seen(&proxies, peer, &["203.0.113.7"]), peer);
        }
        let nobody = Proxies::default();
        assert_eq!(
            seen(&nobody, "127.0.0.1:99", &["203.0.113.7"]),
            "127.0.0.1:99"
        );
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_last_proxy() {
        let proxies = proxies(ProxyHeader::XForwardedFor);

        for malformed in [
            "unknown",
            "",
            "_hidden",
            "1.2.3",
            "203.0.113.7:x",
            "[::1",
            "\"1.2.3.4\"",
        ] {
            let header = format!("203.0.113.7, {malformed}, 10.0.0.9");
            assert_eq!(
                seen(&proxies, "10.1.2.3:80", &[&header]),
                "10.0.0.9",
                "{header}"
            );
        }
        assert_eq!(
            seen(&proxies, "10.1.2.3:80", &["203.0.113.7,"]),
            "10.1.2.3:80"
        );
        assert_eq!(seen(&proxies, "10.1.2.3:80", &[]), "10.1.2.3:80");
    }

    #[test]
    fn a_peer_that_comes_as_ipv6_is_the_ipv4_address_it_is() {
        let proxies = proxies(ProxyHeader::XForwardedFor);

        assert_eq!(
            seen(&proxies, "[::ffff:10.1.2.3]:80", &["203.0.113.7"]),
            "203.0.113.7"
        );
        assert_eq!(
            seen(&proxies, "[::ffff:192.0.2.1]:80", &["203.0.113.7"]),
            "192.0.2.1:80"
        );
    }

    #[test]
    fn forwarded_is_read_as_its_standard_has_it() {
        let proxies = proxies(ProxyHeader::Forwarded);
        for (header, client) in [
            ("for=203.0.113.7", "203.0.113.7"),
            (
                "For=\"203.0.113.7:4711\";proto=https;by=10.0.0.9",
                "203.0.113.7:4711",
            ),
            (
                "proto=https; for=\"[2001:db8::7]:443\"",
                "[2001:db8::7]:443",
            ),
            (
                "for=198.51.100.1, for=203.0.113.7, for=10.0.0.9",
                "203.0.113.7",
            ),
            (
                "for=198.51.100.1, for=203.0.113.7;host=\"a,b\\\",c\"",
                "203.0.113.7",
            ),
            ("for=203.0.113.7, for=unknown", "10.1.2.3:80"),
            ("for=203.0.113.7, by=10.0.0.9", "10.1.2.3:80"),
            ("for=\"_gazonk\"", "10.1.2.3:80"),
        ] {
            assert_eq!(seen(&proxies, "10.1.2.3:80", &[header]), client, "{header}");
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_counts() {
        let proxies = proxies(ProxyHeader::XForwardedFor);
        let mut headers = headers(&X_FORWARDED_FOR, &["203.0.113.7"]);
        headers.insert(FORWARDED, "for=198.51.100.1".parse().unwrap());

        let client = proxies.client("10.1.2.3:80".parse().unwrap(), &headers);

        assert_eq!(client.to_string(), "203.0.113.7");
    }

    #[test]
    fn a_chain_without_end_is_not_followed() {
        let proxies = proxies(ProxyHeader::XForwardedFor);
        let header = format!("203.0.113.7{}", ", 10.0.0.9".repeat(HOPS_MAX));

        assert_eq!(seen(&proxies, "10.1.2.3:80", &[&header]), "10.0.0.9");
    }

    #[test]
    fn a_network_holds_its_own_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("192.168.1.77/24", "192.168.1.1", "192.168.2.1"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
        ] {
            let network: Cidr = network.parse().unwrap();
            assert!(network.holds(inside.parse().unwrap()), "{network}");
            assert!(!network.holds(outside.parse().unwrap()), "{network}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0",
            "a",
            "::/129",
            "::ffff:10.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(InvalidCidr), "{text:?}");
        }
    }

    fn proxies(header: ProxyHeader) -> Proxies {
        Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            header,
        }
    }

    fn seen(proxies: &Proxies, peer: &str, values: &[&str]) -> String {
        let name = match proxies.header {
            ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
            ProxyHeader::Forwarded => FORWARDED,
        };
        let client = proxies.client(peer.parse().unwrap(), &headers(&name, values));
        client.to_string()
    }

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let fields = values
            .iter()
            .map(|value| (name.clone(), value.parse().unwrap()));
        fields.collect()
    }
}
