//! What a client may hear.

use super::reader::Section;

/// `access.policy`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// What the token's patterns cover, and nothing else. The default.
    #[default]
    Claims,
    /// Every room of the client's tenant. For demonstrations.
    Open,
}

impl Policy {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let policy = section.word("policy", &[("claims", Self::Claims), ("open", Self::Open)]);
        section.finish();
        policy.unwrap_or_default()
    }
}
