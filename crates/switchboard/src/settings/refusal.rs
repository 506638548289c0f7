//! Why settings were refused.

use std::fmt;

use super::tree::Source;

/// Everything that is wrong with the settings, so that one run shows all of it.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    refusals: Vec<Refusal>,
}

/// One thing that is wrong: where it was written, which key, which value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) source: Source,
    pub(super) problem: String,
}

/// Where wrong settings were written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WrittenIn {
    /// The file, or nowhere.
    File,
    /// Variables of the environment.
    Environment,
    /// Some in the file, some in variables.
    Both,
}

impl SettingsError {
    pub(super) fn new(refusals: Vec<Refusal>) -> Self {
        Self { refusals }
    }

    /// Where what is wrong was written.
    pub fn written(&self) -> WrittenIn {
        let is_variable = |refusal: &Refusal| matches!(refusal.source, Source::Variable(_));
        match self.refusals.iter().filter(|one| is_variable(one)).count() {
            0 => WrittenIn::File,
            count if count == self.refusals.len() => WrittenIn::Environment,
            _ => WrittenIn::Both,
        }
    }

    /// The refusals as sentences, each with its key, its value and where that was written.
    pub fn messages(&self) -> impl Iterator<Item = String> {
        self.refusals.iter().map(Refusal::to_string)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.refusals.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{refusal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.problem)
    }
}
