//! Reading a TOML file strictly: an unknown key or a wrong value is an error that names it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and what is allowed.
        message: String,
    },
    /// The values are well formed but do not make a working configuration.
    #[error("{}: {key}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key with its table, as written in the file.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

/// A value that is well formed but not allowed: the key with its table, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key with its table, as written in the file.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Invalid {
    /// `key` is what the user wrote, `message` what is allowed there.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// Reads `path` as `Raw` and checks it whole with `check`.
///
/// # Errors
/// Names the file, the key and what is allowed.
pub fn load<Raw: DeserializeOwned, T>(
    path: &Path,
    check: impl FnOnce(Raw) -> Result<T, Invalid>,
) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text, check)
}

/// The same of a text that is read already; `path` is for errors.
///
/// # Errors
/// Names the file, the key and what is allowed.
pub fn parse<Raw: DeserializeOwned, T>(
    path: &Path,
    text: &str,
    check: impl FnOnce(Raw) -> Result<T, Invalid>,
) -> Result<T, ConfigError> {
    let raw = toml::from_str(text).map_err(|error: toml::de::Error| ConfigError::Parse {
        path: path.to_owned(),
        message: place(text, &error),
    })?;
    check(raw).map_err(|Invalid { key, message }| ConfigError::Invalid {
        path: path.to_owned(),
        key,
        message,
    })
}

/// Line, key and toml's message. Its own text would show the whole line, and a line can hold a secret.
fn place(text: &str, error: &toml::de::Error) -> String {
    let message = without_keys(without_value(error.message().trim_end()));
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    // Within a list of several lines there may be a secret before the "=" of its base64.
    let name = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
    match line.split_once('=').map(|(key, _)| key.trim()) {
        Some(key) if key.chars().all(name) => format!("line {}, {key}: {message}", number + 1),
        _ => format!("line {}: {message}", number + 1),
    }
}

/// What was written where something else belongs can be a secret, too: a key without its brackets.
fn without_value(message: &str) -> String {
    match message
        .split_once(": string \"")
        .and_then(|(before, rest)| Some((before, rest.rsplit_once("\", expected ")?)))
    {
        Some((before, (_, expected))) => format!("{before}: a text, expected {expected}"),
        None => message.to_owned(),
    }
}

/// And so can a word that belongs nowhere: a key without its quotes.
fn without_keys(message: String) -> String {
    const SHORTEST: usize = 24;
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    // Names of settings are as long, but in lower case.
    let secret =
        |word: &&str| word.len() >= SHORTEST && word.contains(|c: char| !c.is_ascii_lowercase() && c != '_');
    let words: Vec<_> = message.split(|c| !base64(c)).filter(secret).map(str::to_owned).collect();
    words.iter().fold(message, |text, word| text.replace(word, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "keys")]
        _keys: Vec<String>,
    }

    fn refused(text: &str) -> String {
        place(text, &toml::from_str::<File>(text).err().unwrap())
    }

    #[test]
    fn an_error_does_not_show_what_is_no_list() {
        let text = "keys = \"secret\\\", expected\"";
        assert_eq!(refused(text), "line 1, keys: invalid type: a text, expected a sequence");
    }

    #[test]
    fn an_error_names_the_line_and_does_not_show_it() {
        let text = refused("\nkeys = [\"secret\n");
        assert!(text.starts_with("line 2, keys: ") && !text.contains("secret"), "{text}");
        assert!(refused("a_key_that_has_a_long_name = 1\n").contains("a_key_that_has_a_long_name"));
    }

    #[test]
    fn no_error_shows_a_secret() {
        for text in [
            format!("keys = \"{KEY}\""),
            format!("keys = '{KEY}, {KEY}'"),
            format!("keys = {KEY}"),
            format!("keys = [\n{KEY}\n]"),
            format!("keys = [\n  \"{KEY}\"\n{KEY}\n]"),
            format!("{KEY} = 1"),
            format!("[\"{KEY}\"]"),
        ] {
            assert!(!refused(&text).contains("MzMz"), "{text}: {}", refused(&text));
        }
    }
}
