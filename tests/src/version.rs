//! Which Tomcat: Debian's 10.1 always; others from Maven's repository when it can be reached.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

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
            eprintln!("skipped: Tomcat {} ({why})", self.name());
        }
        known.push((self, found.clone()));
        found
    }
}

/// Unpacks the first of `versions` that can be had below `target/tomcats`.
fn download(versions: &[&str]) -> Result<PathBuf, String> {
    let directory = binaries::target().parent().unwrap().join("tomcats");
    std::fs::create_dir_all(&directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    for version in versions {
        let home = directory.join(format!("apache-tomcat-{version}"));
        if home.join("bin/bootstrap.jar").exists() || fetch(version, &directory) {
            return Ok(home);
        }
    }
    Err(format!("none of {versions:?} could be fetched with mvn"))
}

fn fetch(version: &str, directory: &Path) -> bool {
    let Some(mvn) = needs::find("mvn") else { return false };
    // A version that was not to be had is not asked for again at every test.
    let marker = directory.join(format!("{version}.missing"));
    if marker.exists() {
        return false;
    }
    let got = Command::new(mvn)
        .args(["--quiet", "--batch-mode", "dependency:copy"])
        .arg(format!("-Dartifact=org.apache.tomcat:tomcat:{version}:tar.gz"))
        .arg(format!("-DoutputDirectory={}", directory.display()))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let archive = directory.join(format!("tomcat-{version}.tar.gz"));
    let unpacked = got
        && Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(directory)
            .status()
            .is_ok_and(|s| s.success());
    if !unpacked {
        let _ = File::create(marker);
    }
    unpacked
}
