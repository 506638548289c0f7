use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Where a client is: the address of its connection, or what a trusted proxy says.
///
/// Shown as `192.0.2.1:4711`, or without a port if a proxy did not tell it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client(SocketAddr);

impl Client {
    /// The client at `address`; port 0 is an unknown one.
    pub fn new(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The address; an IPv4 one also if it came as an IPv6 one.
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// Address and port, which is 0 if it is unknown.
    pub fn socket_addr(&self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            0 => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}
