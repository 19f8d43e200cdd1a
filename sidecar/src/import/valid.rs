//! What the sidecar itself says about a key, so that none is printed that it refuses.

use std::path::Path;

use satchel_common::config::ConfigError;
use satchel_common::import::block::{Block, Value};
use satchel_common::import::toml;

use crate::config::Config;

/// Whether the sidecar takes a key of `[table]`.
///
/// # Errors
/// What it says instead.
pub(super) fn check(table: &str, key: &'static str, value: &str) -> Result<(), String> {
    let mut block = Block::default();
    block.set(key, Value::Text(value.to_owned()));
    with(table, &[], &block)
}

/// Whether the sidecar takes a `[[context]]` beside those before it.
///
/// # Errors
/// As [`check`].
pub(super) fn context(before: &[&Block], block: &Block) -> Result<(), String> {
    with("context", before, block)
}

fn with(table: &str, before: &[&Block], block: &Block) -> Result<(), String> {
    let mut text = String::from("listen = \"127.0.0.1:1\"\nclient_body_temp_path = \"/\"\n");
    for (name, rest) in REST.iter().filter(|(name, _)| *name != table) {
        text.push_str(&format!("{}\n{rest}\n", head(name)));
    }
    for block in before.iter().copied().chain([block]) {
        text.push_str(&format!("{}\n", head(table)));
        toml::body(&mut text, table, block);
    }
    match Config::parse(Path::new(""), &text) {
        Ok(_) => Ok(()),
        Err(ConfigError::Invalid { message, .. } | ConfigError::Parse { message, .. }) => {
            Err(one_line(&message))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Without the picture of where a regular expression is wrong.
fn one_line(message: &str) -> String {
    let (start, why) = message.rsplit_once("\nerror: ").unwrap_or((message, ""));
    let start = start.split_once("\n").map_or(start, |(first, _)| first).trim_end_matches(':');
    let start = start.strip_suffix(": regex parse error").unwrap_or(start);
    if why.is_empty() { start.to_owned() } else { format!("{start}: {why}") }
}

fn head(table: &str) -> String {
    if table == "context" { "[[context]]".into() } else { format!("[{table}]") }
}

/// The least that a configuration needs beside it.
const REST: [(&str, &str); 4] = [
    ("tomcat", "address = \"127.0.0.1:1\""),
    ("context", "path = \"/\"\ndirectory = \"/x\""),
    ("memcached", "nodes = \"n1:127.0.0.1:1\""),
    ("record", "encryption = \"off\""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidecar_is_asked() {
        assert_eq!(check("session", "ignore_uri", ".*\\.png"), Ok(()));
        assert_eq!(check("memcached", "nodes", "n1:a:1 n2:b:2"), Ok(()));
        assert!(check("memcached", "nodes", "a:1").unwrap_err().contains("name:host:port"));
        let why = check("session", "locking", "uri:(?=a)").unwrap_err();
        assert!(why.contains("look-around") && !why.contains('\n'), "{why}");
        assert!(check("session", "farm", "a b").unwrap_err().contains("A-Z"));
        let mut block = Block::default();
        block.set("path", Value::Text("/a%20b".into()));
        block.set("directory", Value::Text("/x".into()));
        assert!(context(&[], &block).unwrap_err().contains("as in Tomcat"));
    }
}
