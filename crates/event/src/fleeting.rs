//! Facts that are so for a moment.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{Audience, Event, EventParts};
use crate::id::{Id, TenantId};
use crate::time::Timestamp;

/// What somebody says of a fact that ends by itself: that a person types, looks, is there.
///
/// It goes the way of a record with a retention of zero: to every node, and nowhere else. Whoever
/// says it again says it for longer, and a word that is lost is made good by its lifetime.
#[derive(Clone, Eq, PartialEq)]
pub struct FleetingEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event's name.
    pub name: Arc<str>,
    /// The payload: the text of a JSON object.
    pub data: Bytes,
    /// Who hears it, if it changes anything.
    pub audience: Audience,
    /// Who says so: a later word of the same voice about the same fact takes this one's place.
    pub voice: Id,
    /// From when on nobody needs to hear it, and the fact has ended.
    pub expires_at: Timestamp,
}

impl FleetingEvent {
    /// What `voice` says with `event`, which ends with its expiry, or else at once.
    pub fn of(event: Event, voice: Id) -> Self {
        let EventParts {
            tenant,
            at,
            name,
            data,
            audience,
            expires_at,
            ..
        } = event.into_parts();
        Self {
            tenant,
            name,
            data,
            audience,
            voice,
            expires_at: expires_at.unwrap_or(at),
        }
    }
}

/// The payload stays out of logs, as that of an event.
impl fmt::Debug for FleetingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetingEvent")
            .field("tenant", &self.tenant)
            .field("name", &self.name)
            .field("data_len", &self.data.len())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
