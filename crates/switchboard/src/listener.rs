//! The sockets of a server: for clients and producers, and for its operator.

use std::io;

use tokio::net::TcpListener;

use crate::settings::Settings;

/// What a server listens on.
#[derive(Debug)]
pub struct Listeners {
    /// For clients and producers.
    pub public: TcpListener,
    /// For the operator: `/metrics`. Nobody is asked who they are there.
    pub admin: Option<TcpListener>,
}

/// Why the server cannot listen. `advice` says what else tends to sit on that port.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {host}:{port}: {error}{}", advice(*purpose, *port, error))]
pub struct BindError {
    purpose: Purpose,
    host: String,
    port: u16,
    error: io::Error,
}

/// Which settings name a port.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// `[server]`
    Public,
    /// `[admin]`
    Admin,
}

impl Listeners {
    /// Listens where `settings` say.
    ///
    /// # Errors
    ///
    /// If a host has no address or a port is taken.
    pub async fn bind(settings: &Settings) -> Result<Self, BindError> {
        let Settings { server, admin, .. } = settings;
        let public = bind(&server.host, server.port).await?;
        let admin = if admin.enabled {
            Some(bind_for(Purpose::Admin, &admin.host, admin.port).await?)
        } else {
            None
        };
        Ok(Self { public, admin })
    }
}

/// Without a listener for the operator.
impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self {
            public,
            admin: None,
        }
    }
}

/// Listens on `host` and `port`; port 0 lets the system pick one.
///
/// # Errors
///
/// If the host has no address or the port is taken.
pub async fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    bind_for(Purpose::Public, host, port).await
}

async fn bind_for(purpose: Purpose, host: &str, port: u16) -> Result<TcpListener, BindError> {
    // The form `[::1]` is how people write an address next to a port.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bound = TcpListener::bind((bare, port)).await;
    bound.map_err(|error| BindError {
        purpose,
        host: host.to_owned(),
        port,
        error,
    })
}

fn advice(purpose: Purpose, port: u16, error: &io::Error) -> &'static str {
    match (error.kind(), purpose, port) {
        (io::ErrorKind::AddrInUse, Purpose::Admin, _) => {
            "; another program, perhaps another switchboard, has it: choose another port with admin.port \
             (0 lets the system pick one), or do without it: admin.enabled = false"
        }
        (io::ErrorKind::AddrInUse, Purpose::Public, 5000) => {
            "; on macOS the AirPlay receiver sits on 5000 (System Settings, General, AirDrop & Handoff), \
             else another server does: choose another port with --port or server.port"
        }
        (io::ErrorKind::AddrInUse, Purpose::Public, _) => {
            "; another program, perhaps another switchboard, has it: choose another port with --port or server.port"
        }
        (io::ErrorKind::PermissionDenied, _, ..1024) => {
            "; ports below 1024 need a privilege: choose a higher one"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_says_so() {
        let first = bind("127.0.0.1", 0).await.unwrap();
        let port = first.local_addr().unwrap().port();

        let error = bind("127.0.0.1", port).await.unwrap_err();

        let message = error.to_string();
        assert!(
            message.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")),
            "{message}"
        );
        assert!(message.contains("another program"), "{message}");
    }

    #[test]
    fn port_5000_is_where_airplay_sits() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);

        assert!(advice(Purpose::Public, 5000, &in_use).contains("AirPlay"));
    }

    #[test]
    fn the_port_of_the_operator_is_another_setting() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        let advice = advice(Purpose::Admin, 9464, &in_use);

        assert!(advice.contains("admin.port"));
        assert!(!advice.contains("server.port"));
    }
}
