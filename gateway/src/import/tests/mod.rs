//! Whole files: what is printed, and that nothing is lost.

mod golden;
mod properties;

use std::path::Path;

use super::parser::{Directive, parse};
use super::{Imported, import};
use crate::config::raw;

fn with_file<T>(bytes: &[u8], use_it: impl FnOnce(&Path) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nginx.conf");
    std::fs::write(&path, bytes).unwrap();
    use_it(&path)
}

/// What a text consists of.
pub(super) fn directives(text: &str) -> Vec<Directive> {
    with_file(text.as_bytes(), |path| parse(path).unwrap().directives)
}

/// What becomes of it; the TOML is known to be one of the gateway's.
pub(super) fn imported(text: &str) -> Imported {
    with_file(text.as_bytes(), |path| checked(import(path).unwrap()))
}

fn checked(result: Imported) -> Imported {
    if let Err(error) = toml::from_str::<raw::File>(&result.toml) {
        panic!("{error}\n{}", result.toml);
    }
    result
}
