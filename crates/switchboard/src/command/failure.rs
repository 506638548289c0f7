//! What a command says when it fails.

use std::fmt;
use std::process::ExitCode;

/// Why a command failed, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    advice: Option<String>,
    code: u8,
}

impl Failure {
    /// The command could not do what it was asked to do.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        anyhow::anyhow!("{message}").into()
    }

    /// The arguments or the settings are wrong.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self {
            code: REFUSED,
            ..Self::new(message)
        }
    }

    /// Adds what to do next.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }

    /// What went wrong, with what led to it. Some errors tell their cause themselves and some leave
    /// it to whoever asks, so a cause is added only if it was not told yet.
    pub(crate) fn reason(&self) -> String {
        let mut reason = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !reason.contains(&cause) {
                reason = format!("{reason}: {cause}");
            }
        }
        reason
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            advice: None,
            code: FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.reason().lines() {
            writeln!(f, "error: {line}")?;
        }
        self.advice
            .iter()
            .try_for_each(|advice| writeln!(f, " next: {advice}"))
    }
}

const FAILED: u8 = 1;
/// As clap has it for arguments.
const REFUSED: u8 = 2;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open it: {0}")]
        struct Tells(#[source] io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open it")]
        struct Leaves(#[source] io::Error);

        let told = Failure::from(Tells(io::Error::other("no disk")));
        let left = Failure::from(Leaves(io::Error::other("no disk")));

        assert_eq!(told.to_string(), "error: cannot open it: no disk\n");
        assert_eq!(left.to_string(), "error: cannot open it: no disk\n");
    }
}
