//! What comes from Maven's repository, kept below `target`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{binaries, needs};

/// What could not be had is not asked for again so soon.
const AGAIN: Duration = Duration::from_secs(3600);

/// The directory `target/<kind>/<name>`: as it is, or made by `make`, which is given an empty directory with a `pom.xml` of these
/// artifacts (`group:artifact:version`) to make it in, and a way to run commands there. It is put in place when it is whole.
///
/// # Errors
/// Why it can't be had.
///
/// # Panics
/// When `target` can't be written.
pub fn directory(
    kind: &str,
    name: &str,
    artifacts: &[&str],
    make: impl FnOnce(&Runs<'_>) -> bool,
) -> Result<PathBuf, String> {
    let kinds = binaries::target().parent().unwrap().join(kind);
    std::fs::create_dir_all(&kinds).unwrap();
    let lock = File::create(kinds.join("lock")).unwrap();
    lock.lock().unwrap();
    let made = kinds.join(name);
    if made.exists() {
        return Ok(made);
    }
    let mvn = needs::find("mvn").ok_or("mvn is not installed")?;
    let missing = kinds.join(format!("{name}.missing"));
    let age = missing.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_none_or(|age| age > AGAIN) {
        let scratch = tempfile::tempdir_in(&kinds).unwrap();
        std::fs::write(scratch.path().join("pom.xml"), pom(artifacts)).unwrap();
        let runs = Runs { mvn: &mvn, directory: scratch.path() };
        if make(&runs) && std::fs::rename(scratch.path().join(name), &made).is_ok() {
            return Ok(made);
        }
        let _ = File::create(missing);
    }
    Err(format!("{name} could not be fetched with mvn"))
}

/// These artifacts with all that they need, as jars in `target/jars/<name>`.
///
/// # Errors
/// Why they can't be had.
///
/// # Panics
/// As [`directory`].
pub fn jars(name: &str, artifacts: &[&str]) -> Result<Vec<PathBuf>, String> {
    let directory = directory("jars", name, artifacts, |runs| {
        runs.mvn(&[
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            &format!("-DoutputDirectory={name}"),
        ])
    })?;
    let mut jars: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    jars.sort();
    Ok(jars)
}

/// Runs commands in a directory.
pub struct Runs<'a> {
    mvn: &'a Path,
    directory: &'a Path,
}

impl Runs<'_> {
    /// Maven with these arguments. Whether it went well.
    pub fn mvn(&self, arguments: &[&str]) -> bool {
        self.run(Command::new(self.mvn).args(["--quiet", "--batch-mode"]).args(arguments))
    }

    /// Any command, silently. Whether it went well.
    pub fn run(&self, command: &mut Command) -> bool {
        command.current_dir(self.directory).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn pom(artifacts: &[&str]) -> String {
    let dependency = |artifact: &&str| {
        let parts: Vec<&str> = artifact.split(':').collect();
        format!(
            "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>",
            parts[0], parts[1], parts[2]
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>satchel</groupId><artifactId>needs</artifactId><version>1</version>\
         <dependencies>{}</dependencies></project>",
        artifacts.iter().map(dependency).collect::<String>()
    )
}
