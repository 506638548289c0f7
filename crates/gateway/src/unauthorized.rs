//! Why nobody was let in.

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
    /// It was revoked: another one cures it.
    #[error("token revoked")]
    Revoked,
    /// Nothing that it says counts. Only the log learns why.
    #[error("token invalid: {0}")]
    Invalid(InvalidToken),
    /// Whether it counts cannot be said now.
    #[error("token cannot be verified now: {0}")]
    KeyUnavailable(#[from] KeyUnavailable),
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
    /// Its header names an algorithm that is not configured, or not the one of its key.
    #[error("its algorithm is not a configured one")]
    Algorithm,
    /// Its header asks for an extension that must be understood (`crit`); none is.
    #[error("its header has critical extensions")]
    Critical,
    /// Its header says that it is for another end (`typ`).
    #[error("its type is not that of an access token")]
    Type,
    /// Nobody of that name is configured.
    #[error("its issuer is not configured")]
    Issuer,
    /// Its issuer has no key of that name.
    #[error("its issuer has no such key")]
    KeyUnknown,
    /// It names no key, and its issuer has several.
    #[error("it names none of its issuer's keys")]
    KeyAmbiguous,
    /// Somebody else signed it, or it was changed after that.
    #[error("its signature is wrong")]
    Signature,
}

/// Why the key of a token cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUnavailable {
    /// The key server did not answer with keys.
    #[error("the key server does not answer")]
    NoAnswer,
    /// The key server was asked a moment ago.
    #[error("the key server was asked a moment ago")]
    TooSoon,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimFault {
    /// It is of another type than it must be, or too long.
    #[error("is not usable")]
    Unusable,
    /// It names nobody who is configured.
    #[error("does not name this server")]
    OtherAudience,
    /// It lies ahead of the clock.
    #[error("lies in the future")]
    Future,
    /// It names another tenant than
    /// [`IssuerConfig::single_tenant`](crate::IssuerConfig::single_tenant).
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
            Self::KeyUnavailable(_) => "unavailable",
            Self::Missing
            | Self::TooLong(_)
            | Self::Early
            | Self::Revoked
            | Self::Invalid(_)
            | Self::ClaimMissing(_)
            | Self::ClaimInvalid { .. } => "unauthorized",
        }
    }

    /// Whether the same token may be taken a little later: whoever holds it must not be told to get
    /// another one.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::KeyUnavailable(_))
    }

    /// What clients are told: not how a token failed that says nothing.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(_) => "token invalid".to_owned(),
            Self::KeyUnavailable(_) => "token cannot be verified now".to_owned(),
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
