//! The ports of one store.

use std::fmt;
use std::sync::Arc;

use switchboard_journal::{Fleeting, Holder, Journal, Leases, ReadError, Sessions};

/// What the clients' side is made of: the ports of one store.
#[derive(Clone)]
pub struct Ports {
    /// What happened.
    pub journal: Arc<dyn Journal>,
    /// What clients come back to.
    pub sessions: Arc<dyn Sessions>,
    /// What ends when this node dies.
    pub leases: Arc<dyn Leases>,
    /// What is so for a moment.
    pub fleeting: Arc<dyn Fleeting>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// Names this life of this process.
pub(crate) fn random_holder() -> Result<Holder, ReadError> {
    let number = getrandom::u64().map_err(|error| ReadError::Unavailable {
        reason: error.to_string(),
    })?;
    Ok(Holder::new(number))
}
