//! `sidecar import context.xml`: Tomcat's files with msm's `<Manager>` in; `sidecar.toml`, and the files with Tomcat's own manager out.
//!
//! Files are read as trees (`source`, `xml`), the applications in them are found with their managers (`find`, `name`), each attribute of a
//! manager becomes a wish for a setting or a note (`attributes`, one table row each), the wishes become one configuration (`settings`,
//! `configuration`), and the files are changed where the managers stand (`manager`, `server`, `rewrite`). Nothing is dropped silently. Only
//! `command` touches the disk.

mod attributes;
pub mod command;
mod configuration;
mod error;
mod find;
mod manager;
mod property;
mod rewrite;
mod server;
mod settings;
mod source;
mod valid;
mod xml;

use std::path::PathBuf;

use satchel_common::address::HostPort;
use satchel_common::import::Note;
use satchel_common::import::note::is_complete;

use crate::config::Secret;
use find::At;
use server::Hosts;
use source::{File, Place, Text, is_below};

pub use error::ImportError;
pub use manager::Line;
pub use source::Source;

/// What the files do not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// The paths of the applications that `conf/context.xml` is for.
    pub apps: Vec<String>,
    /// Where Tomcat listens from now on.
    pub tomcat: Option<HostPort>,
    /// Which Tomcat.
    pub line: Line,
    /// Below it each application gets its store directory.
    pub store: String,
    /// Tomcat's properties, by their names.
    pub properties: Vec<(String, String)>,
    /// For `[record]`.
    pub keys: RecordKeys,
}

/// What seals and names records.
#[derive(Debug, Clone)]
pub struct RecordKeys {
    /// `record.keys`.
    pub keys: Vec<Secret>,
    /// `record.index_key`.
    pub index_key: Secret,
    /// Nobody has them yet.
    pub new: bool,
}

/// A configuration of ours, the files that Tomcat needs with it, and what is said about msm's.
#[derive(Debug, Clone)]
pub struct Imported {
    /// `sidecar.toml`.
    pub toml: String,
    /// For CATALINA_BASE.
    pub files: Vec<Rewritten>,
    /// In the order of the files.
    pub notes: Vec<Note>,
}

/// A file for CATALINA_BASE.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// Where it belongs, below CATALINA_BASE.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Which file it is to replace; none, if it is new.
    pub of: Option<PathBuf>,
}

impl Imported {
    /// Whether all was carried over.
    pub fn is_complete(&self) -> bool {
        is_complete(&self.notes)
    }
}

/// Makes our configuration of Tomcat's files.
///
/// # Errors
/// Names the file and what is expected there.
pub fn import(sources: &[Source], options: &Options) -> Result<Imported, ImportError> {
    check(options)?;
    let texts = sources.iter().map(Source::decode).collect::<Result<Vec<Text>, _>>()?;
    let files = sources
        .iter()
        .zip(&texts)
        .map(|(source, text)| File::read(source, text))
        .collect::<Result<Vec<File<'_>>, _>>()?;
    for (number, file) in files.iter().enumerate() {
        if !is_below(&file.target()) {
            let (path, target) = (file.source.path.display(), file.target());
            return Err(ImportError::Usage(format!(
                "{path}: by its name it would be {} of a Tomcat, which is not below CATALINA_BASE",
                target.display()
            )));
        }
        if let Some(other) = files[..number].iter().find(|other| other.target() == file.target()) {
            let (one, two) = (other.source.path.display(), file.source.path.display());
            let target = file.target();
            return Err(ImportError::Usage(format!(
                "{one} and {two} are both {} of a Tomcat: give one of them",
                target.display()
            )));
        }
    }
    let hosts = Hosts::of(&files);
    let found = find::applications(&files, &hosts, options)?;
    let mut notes = found.notes;
    let applications = found.applications;

    let mut managers: Vec<(At<'_>, attributes::Manager)> = Vec::new();
    for application in &applications {
        let at = application.manager;
        if managers.iter().all(|(other, _)| other.node != at.node) {
            let read = attributes::read(&files[at.file], at.node, options.line, &options.properties);
            notes.extend(read.notes.iter().cloned());
            managers.push((at, read));
        }
    }
    let contexts = configuration::contexts(&files, &hosts, &applications, options, &mut notes);
    if contexts.is_empty() {
        let paths: Vec<_> = applications.iter().map(|one| one.name.shown()).collect();
        return Err(ImportError::Usage(format!(
            "none of these applications can have sessions behind a sidecar: {}. A path is / or like /app",
            paths.join(", ")
        )));
    }
    let wanted = settings::merged(&files, &managers, &mut notes).ok_or(ImportError::NoManager)?;
    let (rewritten, ports) = rewrite::rewrite(&files, &hosts, &contexts, &managers, options, &mut notes);
    for file in &files {
        server::look_around(file, &mut notes);
    }
    configuration::say_what_is_assumed(&files, &managers, options, &mut notes);
    let order = |note: &Note| (files.iter().position(|file| file.source.path == note.file), note.line);
    notes.sort_by_key(order);
    notes.dedup();
    let toml = configuration::print(&files, &contexts, &wanted, &ports, options, &notes);
    Ok(Imported { toml, files: rewritten, notes })
}

/// What comes from a command line is put into XML, and Tomcat would take `${…}` for a property.
fn check(options: &Options) -> Result<(), ImportError> {
    let refused = |why: String| Err(ImportError::Usage(why));
    let store = &options.store;
    if !store.starts_with('/') || store.contains("${") || store.contains(char::is_control) {
        return refused(format!(
            "--store: '{}' is not an absolute path without ${{…}}",
            store.escape_debug()
        ));
    }
    match options.properties.iter().find(|(_, value)| value.contains(char::is_control)) {
        Some((name, _)) => refused(format!("-D {name}: the value has a control character")),
        None => Ok(()),
    }
}

/// Whether there is a `conf/server.xml`.
fn has_server(files: &[File<'_>]) -> bool {
    files.iter().any(|file| file.place == Place::Server)
}

#[cfg(test)]
mod tests;
