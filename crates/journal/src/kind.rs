use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Records of a kind that are kept for a shorter time than the others: their payloads go, their
/// positions stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KindRetention {
    /// Which records.
    pub kind: EventKind,
    /// How long their payloads are kept.
    pub age: Duration,
}

/// The name of an event, or what the names of several begin with: `presence:*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventKind {
    name: Box<str>,
    is_prefix: bool,
}

/// A text that names no kind of event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be an event's name, or the beginning of one and `*`")]
pub struct InvalidEventKind;

impl EventKind {
    /// Whether events of this name are of it.
    pub fn covers(&self, name: &str) -> bool {
        if self.is_prefix {
            name.starts_with(&*self.name)
        } else {
            name == &*self.name
        }
    }

    /// The longest, in bytes.
    pub const LEN_MAX: usize = 128;
}

impl FromStr for EventKind {
    type Err = InvalidEventKind;

    fn from_str(text: &str) -> Result<Self, InvalidEventKind> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_letter = |letter: char| letter.is_ascii_graphic() && letter != '*';
        // `*` alone is what the retention of all records is for.
        if name.is_empty() || text.len() > Self::LEN_MAX || !name.chars().all(is_letter) {
            return Err(InvalidEventKind);
        }
        Ok(Self {
            name: name.into(),
            is_prefix,
        })
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_name_or_the_beginning_of_names() {
        let covers = |kind: &str, name| kind.parse::<EventKind>().unwrap().covers(name);

        assert!(covers("presence:*", "presence:update"));
        assert!(!covers("presence:*", "typing:presence:update"));
        assert!(covers("presence:update", "presence:update"));
        assert!(!covers("presence:update", "presence:updated"));
        for text in ["", "*", "a*b", "**", "a b", &"x".repeat(129)] {
            assert_eq!(text.parse::<EventKind>(), Err(InvalidEventKind), "{text}");
        }
    }
}
