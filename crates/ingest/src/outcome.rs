//! What becomes of a draft.

use http::StatusCode;
use switchboard_event::{EventId, InvalidId, Position, Rejected};
use switchboard_journal::Batch;

use crate::draft::InvalidDraft;
use crate::problem::Problem;

/// An event that is durable, or was passed on for a moment: what publishing it comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// The event's id: the draft's, or the one that we gave it.
    pub id: EventId,
    /// Where it is in the journal; `None` if it is fleeting and nowhere.
    pub position: Option<Position>,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// A draft that made no event.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// The draft's own id, if it had one.
    pub id: Option<EventId>,
    /// Why.
    pub refusal: Refusal,
}

/// Why a draft made no event.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The catalogue does not accept it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It is not the JSON of a draft.
    #[error(transparent)]
    Invalid(#[from] InvalidDraft),
    /// It names a tenant that is not its producer's.
    #[error("the tenant is not one that this producer speaks for")]
    OtherTenant,
    /// The tenant that it names cannot be one.
    #[error("the tenant is not valid: {0}")]
    InvalidTenant(InvalidId),
    /// Its producer publishes for any tenant, so the draft must say for which.
    #[error("the producer speaks for all tenants, so `tenant` must name one")]
    TenantRequired,
    /// It is for every tenant and has no id. It goes to one partition after the other, so only a
    /// retry with the same id can finish what broke off and repeat nothing.
    #[error("an event for every tenant must have an id, or an Idempotency-Key")]
    IdRequired,
    /// Its id was used for an event with other content.
    #[error("the id was used for another event")]
    IdReused,
    /// Its source has told it before. Only of webhooks, which are answered with 200.
    #[error("the source has told this before")]
    Told,
    /// It does not fit into a batch on its own.
    #[error("the event is longer than the limit of {} bytes", Batch::BYTES_MAX)]
    TooLong,
    /// The journal did not take it. The same draft with the same id can be tried again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing can be appended right now. Passes by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The journal's storage fails.
    #[error("the journal cannot append right now")]
    Failing,
    /// Too much is waiting to be appended, or too many want to change the same state.
    #[error("too many events are waiting")]
    Overloaded,
    /// The node is going away.
    #[error("this node is shutting down")]
    Closed,
    /// The system has no randomness for a fresh id.
    #[error("no fresh id can be made right now")]
    NoRandomness,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejected) => rejected.code(),
            Self::Invalid(invalid) => invalid.code(),
            Self::OtherTenant => "other_tenant",
            Self::InvalidTenant(_) => "invalid_tenant",
            Self::TenantRequired => "tenant_required",
            Self::IdRequired => "id_required",
            Self::IdReused => "id_reused",
            Self::Told => "told",
            Self::TooLong => "event_too_large",
            Self::Unavailable(unavailable) => unavailable.code(),
        }
    }

    /// The field that is wrong, as a path like `data.message.id`.
    pub fn field(&self) -> Option<&str> {
        match self {
            // The event is as good as any, but not for everyone.
            Self::Rejected(Rejected::NotForEveryone { .. })
            | Self::OtherTenant
            | Self::InvalidTenant(_)
            | Self::TenantRequired => Some("tenant"),
            Self::Rejected(rejected) => rejected.field(),
            Self::Invalid(invalid) => invalid.field(),
            Self::IdRequired | Self::IdReused | Self::Told => Some("id"),
            Self::TooLong => Some("data"),
            Self::Unavailable(_) => None,
        }
    }

    /// The same for the log, which holds no word that a producer made up.
    pub fn logged_field(&self) -> Option<&str> {
        self.field().filter(|_| !self.is_field_made_up())
    }

    fn is_field_made_up(&self) -> bool {
        matches!(self.code(), "unknown_field" | "duplicate_field" | "schema")
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::OtherTenant | Self::Rejected(Rejected::OtherTenant { .. }) => {
                StatusCode::FORBIDDEN
            }
            Self::Invalid(InvalidDraft::NotAnObject) => StatusCode::BAD_REQUEST,
            Self::Rejected(_)
            | Self::Invalid(_)
            | Self::InvalidTenant(_)
            | Self::TenantRequired
            | Self::IdRequired => StatusCode::UNPROCESSABLE_ENTITY,
            Self::IdReused | Self::Told => StatusCode::CONFLICT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(unavailable) => unavailable.into(),
            _ => Self::new(refusal.status(), refusal.code(), refusal.to_string())
                .with_field(refusal.field())
                .with_made_up_field(refusal.is_field_made_up()),
        }
    }
}

impl Unavailable {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failing | Self::NoRandomness => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Closed => "closing",
        }
    }
}

impl From<&Unavailable> for Problem {
    fn from(unavailable: &Unavailable) -> Self {
        Self::unavailable(unavailable.code(), unavailable.to_string())
    }
}
