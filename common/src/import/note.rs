//! What is said about a piece of the configuration that is imported.

use std::fmt;
use std::path::PathBuf;

use super::toml;

/// What is said about one piece: a directive, an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// As it is written, shortened, and without what may be a secret.
    pub written: String,
    /// What became of it.
    pub kind: Kind,
    /// Why, and what to do.
    pub text: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is not in the new configuration.
    NotCarried,
    /// It is, but acts differently in what the text names.
    Changed,
    /// The files do not say it; the text names what was taken.
    Assumed,
    /// Nothing has to take its place.
    NeedsNothing,
}

/// What stands above the notes of a kind in the new configuration.
const TITLES: [(Kind, &str); 3] = [
    (Kind::Assumed, "Not said in these files, and taken to be so:"),
    (Kind::Changed, "Carried over, with a difference:"),
    (Kind::NotCarried, "NOT CARRIED OVER, and what to do instead:"),
];

/// Longer texts are cut.
const LONGEST: usize = 100;

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file.display(), self.line, self.written, self.text)
    }
}

/// Whether all was carried over.
pub fn is_complete(notes: &[Note]) -> bool {
    notes.iter().all(|note| note.kind != Kind::NotCarried)
}

/// The notes as comments at the end of a configuration; `place` is file and line of one.
pub fn comments(out: &mut String, notes: &[Note], place: impl Fn(&Note) -> String) {
    for (kind, title) in TITLES {
        let mut of_kind = notes.iter().filter(|note| note.kind == kind).peekable();
        if of_kind.peek().is_some() {
            out.push('\n');
            toml::comment(out, title);
        }
        for note in of_kind {
            toml::comment(out, &format!("  {}: {}: {}", place(note), note.written, note.text));
        }
    }
}

/// A URL without `user:password@`; nothing, if it has none.
pub fn url_without_credentials(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (_, host) = rest.rsplit_once('@')?;
    Some(format!("{scheme}://***{host}"))
}

/// On one line, and short.
pub fn shown(text: &str) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}
