//! Why nobody was let in.

use jsonwebtoken::errors::ErrorKind;

use crate::auth::Authenticator;

/// Why nobody was let in. No variant holds any part of the token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthorized {
    /// Neither `auth.token` nor an `Authorization` header.
    #[error("token missing")]
    Missing,
    /// Longer than [`Authenticator::TOKEN_LEN_MAX`].
    #[error("token is {0} bytes, at most {max} are allowed", max = Authenticator::TOKEN_LEN_MAX)]
    TooLong(usize),
    /// `exp` is past: a new token cures it.
    #[error("token expired")]
    Expired,
    /// `nbf` is not reached.
    #[error("token is not valid yet")]
    Early,
    /// Nothing that it says counts. Only the log learns why.
    #[error("token invalid: {0}")]
    Invalid(InvalidToken),
    /// A claim that is needed is not there.
    #[error("token has no claim {0:?}")]
    ClaimMissing(String),
    /// A claim that cannot be taken.
    #[error("claim {claim:?} of the token {fault}")]
    ClaimInvalid {
        /// Its name.
        claim: String,
        /// What is wrong with it.
        fault: ClaimFault,
    },
}

/// Why nothing that a token says counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The text is no JWT.
    #[error("it is no JWT")]
    Malformed,
    /// Its header names another algorithm than the one that is configured.
    #[error("its algorithm is not the configured one")]
    Algorithm,
    /// Somebody else signed it, or it was changed after that.
    #[error("its signature is wrong")]
    Signature,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimFault {
    /// It is of another type than it must be, or too long.
    #[error("is not usable")]
    Unusable,
    /// It names another tenant than [`AuthConfig::single_tenant`](crate::AuthConfig::single_tenant).
    #[error("names another tenant than the single one")]
    OtherTenant,
    /// It lies beyond [`Authenticator::LIFETIME_MAX`], as seconds do that were meant as
    /// milliseconds.
    #[error("looks like milliseconds, and counts seconds")]
    Milliseconds,
}

impl Unauthorized {
    /// The stable code that clients see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::Missing
            | Self::TooLong(_)
            | Self::Early
            | Self::Invalid(_)
            | Self::ClaimMissing(_)
            | Self::ClaimInvalid { .. } => "unauthorized",
        }
    }

    /// What clients are told: not how a token failed that says nothing.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(_) => "token invalid".to_owned(),
            _ => self.to_string(),
        }
    }

    pub(crate) fn claim(name: &str, fault: ClaimFault) -> Self {
        Self::ClaimInvalid {
            claim: name.to_owned(),
            fault,
        }
    }
}

impl From<&ErrorKind> for InvalidToken {
    fn from(error: &ErrorKind) -> Self {
        match error {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidAlgorithmName
            | ErrorKind::UnsupportedAlgorithm => Self::Algorithm,
            // The header is JSON, and names an algorithm that the library does not know: `none`.
            ErrorKind::Json(error) if error.is_data() => Self::Algorithm,
            _ => Self::Malformed,
        }
    }
}
