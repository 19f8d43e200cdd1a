//! The command: files in; the configuration on standard output, notes on standard error, XML in a directory.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use satchel_common::address::HostPort;
use satchel_common::cli::{self, EXIT_INCOMPLETE, EXIT_UNAVAILABLE, EXIT_USAGE};

use super::source::is_below;
use super::{ImportError, Imported, Line, Options, RecordKeys, Rewritten, Source, import};
use crate::config::{Secret, load_keys};
use crate::stock::store::BELOW;

const HELP: &str = "\
Examples, in CATALINA_BASE:
  sidecar import --app /shop --xml new conf/context.xml conf/server.xml > sidecar.toml
  sidecar import --keys sidecar.toml --app /shop --xml new conf/context.xml conf/server.xml > other.toml

Exit status: 0 all was carried over, 2 something was not, 64 nothing could be.";

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Import {
    /// Tomcat's files, as they are: conf/context.xml, conf/server.xml, conf/Catalina/HOST/NAME.xml, META-INF/context.xml.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the XML that is to replace them into this directory, laid out like CATALINA_BASE. No file there is overwritten.
    #[arg(long, value_name = "DIR")]
    xml: Option<PathBuf>,
    /// The path of an application that conf/context.xml is for, as /shop; / is ROOT. Once for each that has sessions.
    #[arg(long = "app", value_name = "PATH")]
    apps: Vec<String>,
    /// Where Tomcat's connector listens from now on [default: 127.0.0.1 and its port plus 10000; the sidecar takes the old one].
    #[arg(long, value_name = "ADDRESS")]
    tomcat: Option<HostPort>,
    /// The Tomcat that the XML is for.
    #[arg(long, value_name = "LINE", value_enum, default_value_t)]
    tomcat_version: Line,
    /// A directory on a tmpfs, where each application gets its store directory.
    #[arg(long, value_name = "DIR", default_value = BELOW)]
    store: String,
    /// Take the keys from this sidecar.toml, or from what --new-keys has printed [default: new ones].
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The value of a property, ${NAME} in the files.
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

/// Runs it.
pub fn run(args: &Import) -> ExitCode {
    match imported(args) {
        Ok((imported, written)) => {
            // Without the configuration the files are of no use, and would be in the way of the next try.
            if let Err(error) = cli::print(&imported.toml) {
                remove(&written);
                eprintln!("the configuration can't be printed: {error}. Nothing is written");
                return ExitCode::from(EXIT_UNAVAILABLE);
            }
            for note in &imported.notes {
                eprintln!("{note}");
            }
            if args.xml.is_none() {
                eprintln!("Tomcat's files are written with --xml DIR");
            }
            for path in written {
                eprintln!("{} is written", path.display());
            }
            if imported.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_INCOMPLETE) }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn imported(args: &Import) -> Result<(Imported, Vec<PathBuf>), ImportError> {
    let keys = match &args.keys {
        Some(file) => {
            let (keys, index_key) = load_keys(file).map_err(|error| ImportError::Usage(error.to_string()))?;
            RecordKeys { keys, index_key, new: false }
        }
        None => RecordKeys { keys: vec![Secret::random()], index_key: Secret::random(), new: true },
    };
    let options = Options {
        apps: args.apps.clone(),
        tomcat: args.tomcat.clone(),
        line: args.tomcat_version,
        store: args.store.clone(),
        properties: args.properties.clone(),
        keys,
    };
    let sources = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let imported = import(&sources, &options)?;
    let written = match &args.xml {
        Some(directory) => write(directory, &imported.files)?,
        None => Vec::new(),
    };
    Ok((imported, written))
}

fn read(path: &Path) -> Result<Source, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(failed)?;
    let absolute = std::path::absolute(path).map_err(failed)?;
    Ok(Source { path: path.to_owned(), absolute: without_dots(&absolute), bytes })
}

/// Links are left alone: the name by which a file is known says what it is for.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Nothing is written if anything is there already, and nothing is left of what could not be written whole.
fn write(directory: &Path, files: &[Rewritten]) -> Result<Vec<PathBuf>, ImportError> {
    if let Some(file) = files.iter().find(|file| !is_below(&file.path)) {
        let why = format!("--xml: {} would be outside of it", file.path.display());
        return Err(ImportError::Usage(why));
    }
    let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(&file.path)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        let why = format!("--xml: {} is there already; name another directory", path.display());
        return Err(ImportError::Usage(why));
    }
    for (number, (path, file)) in paths.iter().zip(files).enumerate() {
        if let Err(source) = write_one(path, file) {
            remove(&paths[..=number]);
            return Err(ImportError::Write { path: path.clone(), source });
        }
    }
    Ok(paths)
}

fn write_one(path: &Path, file: &Rewritten) -> std::io::Result<()> {
    // A file with a password is as closed as it was.
    let mode =
        file.of.as_ref().and_then(|of| of.metadata().ok()).map(|data| data.permissions().mode() & 0o777);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode.unwrap_or(0o644)).open(path)?;
    out.write_all(&file.bytes)
}

/// Takes back what was written.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = fs::remove_file(path);
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Rewritten {
        Rewritten { path: path.into(), bytes: b"<Context/>".to_vec(), of: None }
    }

    #[test]
    fn what_can_not_be_written_whole_leaves_nothing_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let files = [file("conf/a.xml"), file("webapps/b/META-INF/context.xml")];
        fs::write(directory.path().join("webapps"), "a file").unwrap();
        assert!(write(directory.path(), &files).unwrap_err().to_string().contains("META-INF/context.xml"));
        fs::remove_file(directory.path().join("webapps")).unwrap();
        assert_eq!(write(directory.path(), &files).unwrap().len(), 2);
        assert!(write(directory.path(), &files).unwrap_err().to_string().contains("is there already"));
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        for path in [outside.path().join("x.xml"), "../x.xml".into()] {
            let files = [file("conf/a.xml"), Rewritten { path, ..file("") }];
            assert!(write(directory.path(), &files).unwrap_err().to_string().contains("outside"));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
