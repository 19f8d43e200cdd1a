//! What the doctor has to say: findings, and what it could not look at.

use std::path::PathBuf;

use super::edit::Edit;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know. It does not count for the exit status.
    Note,
    /// It works, but not as well as it could, or not always.
    Warning,
    /// Sessions are not shared, are lost, or are open to others.
    Error,
}

impl Severity {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where it stands. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file or directory.
    pub path: PathBuf,
    /// Line and column, if it is a place in a text.
    pub at: Option<(usize, usize)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.at {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Its name, for scripts: the group and what is wrong, as in `valve.level`. It never changes.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do. A line that begins with `$ ` is a command.
    pub fix: String,
    /// The same, for `--fix-print`: how files of XML are to be changed. Empty: it is not a matter of XML.
    pub edits: Vec<Edit>,
}

impl Finding {
    /// One without place and edits yet.
    pub fn new(
        id: &'static str,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (what, why, fix) = (what.into(), why.into(), fix.into());
        Self { id, severity, place: None, what, why, fix, edits: Vec::new() }
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// With a file or directory as its place.
    #[must_use]
    pub fn of(self, path: impl Into<PathBuf>) -> Self {
        self.at(Place { path: path.into(), at: None })
    }

    /// With what `--fix-print` applies.
    #[must_use]
    pub fn with(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.edits.extend(edits);
        self
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub unchecked: Vec<Unchecked>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    /// What.
    pub what: String,
    /// Why not, and what to do.
    pub why: String,
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Something could not be looked at.
    pub fn unchecked(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let unchecked = Unchecked { what: what.into(), why: why.into() };
        if !self.unchecked.contains(&unchecked) {
            self.unchecked.push(unchecked);
        }
    }

    /// How many findings are as bad as this.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Each once, the worst first; of equal ones in the order in which they were found. What several applications share is found with each.
    pub fn tidy(&mut self) {
        let same = |a: &Finding, b: &Finding| a.id == b.id && a.place == b.place && a.what == b.what;
        let mut kept: Vec<Finding> = Vec::new();
        for finding in std::mem::take(&mut self.findings) {
            match kept.iter_mut().find(|other| same(other, &finding)) {
                // Its edits may be another application's.
                Some(other) => other.edits.extend(finding.edits),
                None => kept.push(finding),
            }
        }
        kept.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.findings = kept;
    }

    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
