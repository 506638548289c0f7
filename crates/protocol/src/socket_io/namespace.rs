use std::borrow::Cow;
use std::fmt;

/// The name of a namespace: a slash and up to 255 more bytes, no comma, no control character.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Namespace<'a>(Cow<'a, str>);

impl<'a> Namespace<'a> {
    /// The longest name, in bytes. Node has no limit; names are kept and echoed, so we do.
    pub const LEN_MAX: usize = 256;

    /// The namespace `/`, which packets do not name.
    pub const ROOT: Namespace<'static> = Namespace(Cow::Borrowed("/"));

    /// Checks a name.
    pub fn new(name: &'a str) -> Result<Self, InvalidNamespace> {
        if name.len() > Self::LEN_MAX {
            return Err(InvalidNamespace::TooLong(name.len()));
        }
        if !name.starts_with('/') {
            return Err(InvalidNamespace::NoSlash);
        }
        if name.contains(|c: char| c == ',' || c.is_control()) {
            return Err(InvalidNamespace::Character);
        }
        Ok(Self(Cow::Borrowed(name)))
    }

    /// The same name, for keeping.
    pub fn into_owned(self) -> Namespace<'static> {
        match self.0 {
            Cow::Borrowed("/") => Namespace::ROOT,
            name => Namespace(Cow::Owned(name.into_owned())),
        }
    }

    /// The name with its slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl fmt::Display for Namespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no name of a namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNamespace {
    /// Longer than [`Namespace::LEN_MAX`].
    #[error("namespace is {0} bytes, the limit is {max}", max = Namespace::LEN_MAX)]
    TooLong(usize),
    /// Every name begins with a slash.
    #[error("namespace does not begin with a slash")]
    NoSlash,
    /// A comma would end the name on the wire; a control character has no place in a log.
    #[error("namespace has a comma or a control character")]
    Character,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_written_are_refused() {
        let longest = format!("/{}", "a".repeat(Namespace::LEN_MAX - 1));
        let longer = format!("{longest}a");

        for (name, result) in [
            ("/", Ok(())),
            ("/admin", Ok(())),
            ("/caf\u{e9}/1?a=b", Ok(())),
            (&*longest, Ok(())),
            (&*longer, Err(InvalidNamespace::TooLong(257))),
            ("", Err(InvalidNamespace::NoSlash)),
            ("admin", Err(InvalidNamespace::NoSlash)),
            ("/a,b", Err(InvalidNamespace::Character)),
            ("/a\nb", Err(InvalidNamespace::Character)),
            ("/a\u{1e}b", Err(InvalidNamespace::Character)),
        ] {
            assert_eq!(Namespace::new(name).map(|_| ()), result, "{name}");
        }
    }
}
