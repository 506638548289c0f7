//! Randomness of the system, for ids and secrets.

use std::fmt::{self, Write as _};
use std::io;

use crate::settings::Secret;

/// The name of one running server, in logs and statistics. A restart makes a new one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeId(Box<str>);

impl NodeId {
    /// A fresh name.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn random() -> io::Result<Self> {
        Ok(Self(format!("{:08x}", u32::from_be_bytes(bytes()?)).into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fresh secret of 256 bits, as hexadecimal digits after `prefix`: a double click marks it all.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn secret(prefix: &str) -> io::Result<Secret> {
    let mut text = prefix.to_owned();
    for byte in bytes::<32>()? {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Secret::new(&text))
}

/// Fresh bytes.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
