//! Where the operator looks.

use super::reader::Section;

/// `[admin]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminSettings {
    /// Whether there is a listener for the operator: `/metrics`. Default true.
    pub enabled: bool,
    /// The address to listen on. Default `127.0.0.1`: nobody is asked who they are, so only this
    /// machine.
    pub host: String,
    /// The port. Default 9464; 0 lets the system pick one.
    pub port: u16,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            host: "127.0.0.1".to_owned(),
            port: 9464,
        }
    }
}

impl AdminSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            enabled: section.flag("enabled").unwrap_or(default.enabled),
            host: section.text("host").unwrap_or(default.host),
            port: section
                .number("port", 0..=u16::MAX.into())
                .and_then(|port| port.try_into().ok())
                .unwrap_or(default.port),
        };
        section.finish();
        settings
    }
}
