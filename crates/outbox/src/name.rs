//! Names that are safe in a statement, because no other value can be built.

use std::fmt;
use std::str::FromStr;

/// The outbox's table: `name`, or `schema.name`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    schema: Option<Box<str>>,
    name: Box<str>,
}

/// The channel of NOTIFY.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel(Box<str>);

/// Why a text is no such name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be 1 to {NAME_LEN_MAX} of a-z, 0-9 and _, and not begin with a digit{}",
    if *.may_have_schema { "; or two of them with a dot in between" } else { "" }
)]
pub struct InvalidName {
    may_have_schema: bool,
}

impl Table {
    /// The table itself, as it stands in statements.
    pub fn quoted(&self) -> String {
        self.of_suffix("")
    }

    /// A thing beside it, in the same schema.
    pub(crate) fn of_suffix(&self, suffix: &str) -> String {
        let Self { schema, name } = self;
        match schema {
            Some(schema) => format!("\"{schema}\".\"{name}{suffix}\""),
            None => format!("\"{name}{suffix}\""),
        }
    }

    /// The same for what takes no schema, because it is in that of its table.
    pub(crate) fn bare(&self, suffix: &str) -> String {
        format!("\"{}{suffix}\"", self.name)
    }

    /// The channel that it has unless told otherwise.
    pub fn channel(&self) -> Channel {
        Channel(self.name.clone())
    }
}

impl Channel {
    /// The channel as it stands in LISTEN.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// The channel as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Table {
    fn default() -> Self {
        Self {
            schema: None,
            name: "switchboard_outbox".into(),
        }
    }
}

impl FromStr for Table {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if schema.into_iter().chain([name]).all(is_name) {
            return Ok(Self {
                schema: schema.map(Into::into),
                name: name.into(),
            });
        }
        Err(InvalidName {
            may_have_schema: true,
        })
    }
}

impl FromStr for Channel {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_name(text) {
            return Ok(Self(text.into()));
        }
        Err(InvalidName {
            may_have_schema: false,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let mut bytes = text.bytes();
    text.len() <= NAME_LEN_MAX
        && bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Postgres cuts names at 63 bytes; what is beside the table has a suffix.
const NAME_LEN_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_quoted_with_its_schema() {
        let table: Table = "crm.switchboard_outbox".parse().unwrap();

        assert_eq!(table.quoted(), r#""crm"."switchboard_outbox""#);
        assert_eq!(table.to_string(), "crm.switchboard_outbox");
        assert_eq!(table.channel().as_str(), "switchboard_outbox");
    }

    #[test]
    fn what_could_be_more_than_a_name_is_refused() {
        for text in ["", "a.b.c", "a\"b", "Outbox", "1a", "a b", "a;", ".a", "a."] {
            assert!(text.parse::<Table>().is_err(), "{text}");
        }
        assert!("a".repeat(NAME_LEN_MAX + 1).parse::<Table>().is_err());
        assert!("a.b".parse::<Channel>().is_err());
    }
}
