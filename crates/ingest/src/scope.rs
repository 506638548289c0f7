//! What an API key is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that an API key may be for. None of them holds another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Publishing events.
    Publish,
    /// Reading events, what the server counts, and who got an event.
    Read,
    /// Making and revoking keys, and whatever else an operator does.
    Admin,
}

/// What an API key is for: at least one thing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(Vec<Scope>);

/// A text that is no scope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be \"publish\", \"read\" or \"admin\"")]
pub struct InvalidScope;

/// A key that is for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must have at least one scope")]
pub struct NoScope;

impl Scope {
    /// The scope as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl Scopes {
    /// Whether `scope` is among them.
    pub fn contain(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

/// What every backend needs: to publish. Whoever may read reads all that the tenant said, so that
/// is asked for by name.
impl Default for Scopes {
    fn default() -> Self {
        Self(vec![Scope::Publish])
    }
}

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = NoScope;

    fn try_from(mut scopes: Vec<Scope>) -> Result<Self, NoScope> {
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(NoScope);
        }
        Ok(Self(scopes))
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Publish, Self::Read, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(InvalidScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
