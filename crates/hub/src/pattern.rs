//! How a token names the rooms that it covers.

use std::str::FromStr;

use switchboard_event::Room;

/// A room name, or the beginning of one and a `*`: `contact:42`, `whatsapp:*`, `*`.
///
/// A pattern never covers the inner room of an account (`whatsapp:{id}:link`): the right to pair is
/// its own claim.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    text: Box<str>,
    is_prefix: bool,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// Empty, or longer than [`Pattern::LEN_MAX`].
    #[error("pattern is {0} bytes, 1 to {max} are allowed", max = Pattern::LEN_MAX)]
    Length(usize),
    /// A `*` that is not the last character.
    #[error("pattern {0:?} has a * before its end")]
    Star(Box<str>),
}

impl Pattern {
    /// The longest pattern, in bytes.
    pub const LEN_MAX: usize = 160;

    /// Whether this pattern covers `name`, taken literally.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        if self.is_prefix {
            name.starts_with(&*self.text)
        } else {
            *self.text == *name
        }
    }

    /// Whether this pattern covers every room of the kind whose names begin with `prefix`
    /// (`contact:`).
    #[must_use]
    pub fn covers_all(&self, prefix: &str) -> bool {
        self.is_prefix && prefix.starts_with(&*self.text)
    }

    /// Whether this pattern covers `room`.
    #[must_use]
    pub fn covers_room(&self, room: &Room) -> bool {
        self.covers(room.name())
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return Err(InvalidPattern::Length(text.len()));
        }
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(InvalidPattern::Star(text.into()));
        }
        Ok(Self {
            text: text.into(),
            is_prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_covers_itself_only() {
        check("contact:42", "contact:42", true);
        check("contact:42", "contact:421", false);
        check("contact:42", "contact:4", false);
    }

    #[test]
    fn a_star_covers_what_begins_alike() {
        check("contact:*", "contact:42", true);
        check("contact:4*", "contact:42", true);
        check("contact:*", "contacts:acme", false);
        check("*", "campaign:7", true);
    }

    #[test]
    fn only_a_prefix_of_the_kind_covers_all_of_it() {
        let covers_all = |text: &str| text.parse::<Pattern>().unwrap().covers_all("contact:");

        assert!(covers_all("*"));
        assert!(covers_all("contact:*"));
        assert!(!covers_all("contact:4*"));
        assert!(!covers_all("contact:"));
    }

    #[test]
    fn a_star_inside_is_refused() {
        assert_eq!(
            "contact:*:x".parse::<Pattern>(),
            Err(InvalidPattern::Star("contact:*:x".into()))
        );
        assert_eq!("".parse::<Pattern>(), Err(InvalidPattern::Length(0)));
    }

    #[track_caller]
    fn check(pattern: &str, name: &str, covered: bool) {
        assert_eq!(pattern.parse::<Pattern>().unwrap().covers(name), covered);
    }
}
