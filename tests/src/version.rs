//! Which Tomcat: Debian's 10.1 always; others from Maven's repository when it can be reached.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::lock::FileLock;
use crate::{binaries, needs};

/// Where a line is, or why it is not.
type Known = (TomcatVersion, Result<PathBuf, String>);

/// A line of Tomcat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TomcatVersion {
    /// Java EE: `javax.servlet`.
    V9_0,
    /// Debian's package.
    V10_1,
    /// The newest.
    V11_0,
}

impl TomcatVersion {
    /// All.
    pub const ALL: [Self; 3] = [Self::V10_1, Self::V9_0, Self::V11_0];

    /// The lines that are here or can be had. The others are named on standard error as skipped.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|version| version.home().is_ok()).collect()
    }

    /// As in a directory's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V9_0 => "9.0",
            Self::V10_1 => "10.1",
            Self::V11_0 => "11.0",
        }
    }

    /// The package that holds the Servlet API.
    pub fn api(self) -> &'static str {
        if self == Self::V9_0 { "javax" } else { "jakarta" }
    }

    /// CATALINA_HOME.
    ///
    /// # Errors
    /// Why it is not here; told on standard error once.
    pub fn home(self) -> Result<PathBuf, String> {
        static KNOWN: OnceLock<Mutex<Vec<Known>>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
        if let Some((_, found)) = known.iter().find(|(version, _)| *version == self) {
            return found.clone();
        }
        needs::ensure();
        let found = match self {
            Self::V10_1 => Ok(PathBuf::from(needs::DEBIAN_TOMCAT)),
            Self::V9_0 => download(&["9.0.122"]),
            // The newest that the repository has; 11.0.26 is the first with every repair.
            Self::V11_0 => download(&["11.0.26", "11.0.25"]),
        };
        if let Err(why) = &found {
            needs::skipped(&format!("Tomcat {}", self.name()), why);
        }
        known.push((self, found.clone()));
        found
    }
}

/// How long a version that could not be had is not asked for again.
const FORGET: Duration = Duration::from_secs(60 * 60);

/// Unpacks the first of `versions` that can be had below `target/tomcats`.
fn download(versions: &[&str]) -> Result<PathBuf, String> {
    let directory = binaries::target().parent().unwrap().join("tomcats");
    std::fs::create_dir_all(&directory).unwrap();
    let _lock = FileLock::wait(&directory.join("lock"));
    let mut why = String::new();
    for version in versions {
        let home = directory.join(format!("apache-tomcat-{version}"));
        if home.join("bin/bootstrap.jar").exists() {
            return Ok(home);
        }
        match fetch(version, &directory) {
            Ok(()) => return Ok(home),
            Err(error) => why = error,
        }
    }
    Err(format!("{}: {why}", versions.join(", ")))
}

fn fetch(version: &str, directory: &Path) -> Result<(), String> {
    let mvn = needs::find("mvn").ok_or("mvn is not installed")?;
    let marker = directory.join(format!("{version}.missing"));
    let asked = std::fs::metadata(&marker).and_then(|meta| meta.modified()).ok();
    if asked.is_some_and(|asked| asked.elapsed().is_ok_and(|age| age < FORGET)) {
        return Err("could not be fetched with mvn less than an hour ago".into());
    }
    let got = Command::new(mvn)
        .args(["--quiet", "--batch-mode", "dependency:copy"])
        .arg(format!("-Dartifact=org.apache.tomcat:tomcat:{version}:tar.gz"))
        .arg(format!("-DoutputDirectory={}", directory.display()))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if got.is_ok_and(|status| status.success()) && unpack(version, directory) {
        let _ = std::fs::remove_file(marker);
        return Ok(());
    }
    let _ = File::create(marker);
    Err("could not be fetched with mvn".into())
}

/// Unpacks aside and renames, so that a run that was killed leaves no half Tomcat.
fn unpack(version: &str, directory: &Path) -> bool {
    let aside = directory.join("unpacking");
    let _ = std::fs::remove_dir_all(&aside);
    std::fs::create_dir(&aside).unwrap();
    let archive = directory.join(format!("tomcat-{version}.tar.gz"));
    let mut tar = Command::new("tar");
    let unpacked = tar.arg("-xzf").arg(&archive).arg("-C").arg(&aside).status().is_ok_and(|s| s.success());
    let name = format!("apache-tomcat-{version}");
    let renamed = unpacked && std::fs::rename(aside.join(&name), directory.join(&name)).is_ok();
    let _ = std::fs::remove_dir_all(&aside);
    renamed
}
