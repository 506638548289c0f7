use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an operator calls a node: 1 to 40 bytes of letters, digits, `.`, `_`, `:` and `-`.
///
/// Nothing hangs on it, and two nodes may have the same one.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct NodeName(Box<str>);

/// Why a name is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to 40 letters, digits, '.', '_', ':' or '-'")]
pub struct InvalidNodeName;

impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > LEN_MAX || !text.bytes().all(is_allowed) {
            return Err(InvalidNodeName);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for NodeName {
    type Error = InvalidNodeName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const LEN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for (text, is_name) in [
            ("web-1", true),
            ("pod/a", false),
            ("10.0.0.7:5000", true),
            ("", false),
            ("two words", false),
            (&"x".repeat(40), true),
            (&"x".repeat(41), false),
            ("n\u{e9}", false),
        ] {
            assert_eq!(text.parse::<NodeName>().is_ok(), is_name, "{text}");
        }
    }
}
