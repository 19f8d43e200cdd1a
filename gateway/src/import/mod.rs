//! `gateway import nginx.conf`: nginx's configuration in, ours out, with a word about everything that is different.
//!
//! Files are read into directives (`lexer`, `parser`), each directive becomes keys of ours or a note (`http`, `server`,
//! `location`, `upstream` for the structure, `rules` for all others), and the keys are printed (`satchel_common::import`). Nothing is
//! dropped silently: every directive has an `Outcome`.

mod access;
mod answers;
mod believed;
mod closed;
mod definitions;
mod error;
mod error_page;
mod http;
mod lexer;
mod listen;
mod location;
mod lua;
mod nested;
mod note;
mod parser;
mod path;
mod redirect;
mod regex;
mod rules;
mod scope;
mod server;
mod sockets;
mod units;
mod upstream;
mod valid;
mod variables;

use std::path::Path;

use satchel_common::import::note::{comments, is_complete};
use satchel_common::import::toml;

use definitions::Definitions;
use parser::{Directive, Parsed};
use scope::Context;

pub use error::ImportError;
pub use satchel_common::import::{Kind, Note};

/// A configuration of ours, and what is said about nginx's.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// In the order of the files.
    pub notes: Vec<Note>,
}

impl Imported {
    /// Whether all was carried over.
    pub fn is_complete(&self) -> bool {
        is_complete(&self.notes)
    }
}

/// Reads nginx's main file with all that it includes. A file of `conf.d` alone is taken as a part of `http`.
///
/// # Errors
/// Names the file, the line and what is expected there.
pub fn import(main_file: &Path) -> Result<Imported, ImportError> {
    let Parsed { directives, files, notes } = parser::parse(main_file)?;
    let directives = without_http(directives);
    let base = main_file.parent().unwrap_or(Path::new(""));
    let definitions = Definitions::collect(&directives);
    let mut context = Context { definitions, notes, base: base.to_owned(), ..Context::default() };
    let place =
        |file: &Path, line: usize| format!("{}:{line}", file.strip_prefix(base).unwrap_or(file).display());
    let found = http::translate(&directives, &mut context, |one: &Directive| place(&one.file, one.line));
    let mut notes = std::mem::take(&mut context.notes);
    let order = |note: &Note| (files.iter().position(|file| **file == *note.file), note.line);
    notes.sort_by_key(order);
    notes.dedup();

    let name = main_file.file_name().unwrap_or(main_file.as_os_str()).to_string_lossy();
    let mut out = String::new();
    for line in HEAD {
        toml::comment(&mut out, &line.replace("NAME", &name));
    }
    if !context.top.entries.is_empty() {
        out.push('\n');
    }
    toml::body(&mut out, "", &context.top);
    toml::table(&mut out, "access_log", &context.access_log);
    toml::table(&mut out, "resolver", &context.resolver);
    toml::table(&mut out, "http", &found.http);
    found.upstreams.iter().for_each(|block| toml::array(&mut out, "upstream", "server", block));
    found.servers.iter().for_each(|block| toml::array(&mut out, "server", "location", block));
    if found.servers.is_empty() {
        toml::comment(
            &mut out,
            "No server is in it, and gateway --test wants one: this is a part of a configuration.",
        );
    }
    comments(&mut out, &notes, |note| place(&note.file, note.line));
    Ok(Imported { toml: out, notes })
}

const HEAD: [&str; 7] = [
    "Imported from NAME. Check it with: gateway --test --config FILE",
    "Where the servers below are Tomcats, put the addresses of their sidecars in; those of `sidecar import` have the Tomcats' own.",
    "",
    "Other than nginx, and without being told, the gateway",
    "- sets X-Real-IP, X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, and drops what clients say in them unless they",
    "  are in trusted_proxies;",
    "- keeps connections to the servers, and lets WebSocket through.",
];

/// `http` is replaced by what is in it.
fn without_http(directives: Vec<Directive>) -> Vec<Directive> {
    let mut all = Vec::new();
    for mut directive in directives {
        match directive.block.take() {
            Some(inner) if directive.name() == "http" => all.extend(inner),
            block => all.push(Directive { block, ..directive }),
        }
    }
    all
}

#[cfg(test)]
mod tests;
