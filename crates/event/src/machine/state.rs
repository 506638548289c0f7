//! States as the journal keeps them: JSON with a version.
//!
//! Fields that a newer version adds are ignored by an older one, which a version that must not be
//! misread prevents by its number.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes that are no state of ours, or that of a newer version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidState {
    /// They cannot be read.
    #[error("state cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version wrote them.
    #[error("state has version {version}, known is {VERSION}")]
    Version {
        /// Which one.
        version: u32,
    },
    /// They contradict themselves.
    #[error("state cannot be: {reason}")]
    Impossible {
        /// What about it.
        reason: &'static str,
    },
}

/// Reads JSON with a version.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidState> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        return Err(InvalidState::Version { version });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Writes JSON with a version.
pub(crate) fn write<T: Serialize>(state: &T) -> Bytes {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        version: u32,
        #[serde(flatten)]
        state: &'a T,
    }
    let version = VERSION;
    serde_json::to_vec(&Versioned { version, state })
        .expect("text and numbers are always JSON")
        .into()
}

const VERSION: u32 = 1;
