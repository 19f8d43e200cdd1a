//! What became of one piece of the configuration that is imported.

use super::Kind;

/// Every piece has one of these, so none is dropped silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the new configuration.
    Carried,
    /// It is, with this difference.
    Changed(String),
    /// Nothing has to take its place, for this reason.
    Nothing(String),
    /// It is not there; what to do instead.
    Not(String),
}

impl Outcome {
    /// What a note says of it; nothing, if all was carried over.
    pub fn said(self) -> Option<(Kind, String)> {
        match self {
            Self::Carried => None,
            Self::Changed(text) => Some((Kind::Changed, text)),
            Self::Nothing(text) => Some((Kind::NeedsNothing, text)),
            Self::Not(text) => Some((Kind::NotCarried, text)),
        }
    }
}

/// As [`Outcome::Changed`].
pub fn changed(text: impl Into<String>) -> Outcome {
    Outcome::Changed(text.into())
}

/// As [`Outcome::Nothing`].
pub fn nothing(text: impl Into<String>) -> Outcome {
    Outcome::Nothing(text.into())
}

/// As [`Outcome::Not`].
pub fn not(text: impl Into<String>) -> Outcome {
    Outcome::Not(text.into())
}
