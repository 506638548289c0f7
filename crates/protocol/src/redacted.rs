use std::fmt;

/// Stands for content in a `Debug` text: only its length shows.
///
/// Message text, tokens and attachments go through this crate, and none may reach a log.
pub(crate) struct Redacted(pub(crate) usize);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}
