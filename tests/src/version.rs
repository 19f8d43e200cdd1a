//! Which Tomcat: Debian's 10.1 always; others from Maven's repository when it can be reached.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::{maven, needs};

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
    /// One of the last 9.0 that write session files in place.
    V9_0InPlace,
    /// The last 10.1 that writes session files in place.
    V10_1InPlace,
    /// A 10.1 whose `FileStore` can't be loaded.
    V10_1Broken,
}

impl TomcatVersion {
    /// All.
    pub const ALL: [Self; 3] = [Self::V10_1, Self::V9_0, Self::V11_0];

    /// The lines that are here or can be had. The others are named on standard error as skipped.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|version| version.home().is_ok()).collect()
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::V9_0InPlace => "9.0.117",
            Self::V10_1InPlace => "10.1.55",
            Self::V10_1Broken => "10.1.45",
            other => other.line(),
        }
    }

    /// Which Tomcats are configured alike: the name of a file in `conf/`.
    pub fn line(self) -> &'static str {
        match self {
            Self::V9_0 | Self::V9_0InPlace => "9.0",
            Self::V10_1 | Self::V10_1InPlace | Self::V10_1Broken => "10.1",
            Self::V11_0 => "11.0",
        }
    }

    /// The package that holds the Servlet API.
    pub fn api(self) -> &'static str {
        if self.line() == "9.0" { "javax" } else { "jakarta" }
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
            Self::V9_0InPlace => download(&["9.0.117"]),
            Self::V10_1InPlace => download(&["10.1.55"]),
            Self::V10_1Broken => download(&["10.1.45"]),
        };
        if let Err(why) = &found {
            needs::skipped(&format!("Tomcat {}", self.name()), why);
        }
        known.push((self, found.clone()));
        found
    }
}

/// The first of `versions` that is below `target/tomcats` or can be had.
fn download(versions: &[&str]) -> Result<PathBuf, String> {
    let mut why = String::new();
    for version in versions {
        let found = maven::directory("tomcats", &format!("apache-tomcat-{version}"), &[], |runs| {
            let artifact = format!("-Dartifact=org.apache.tomcat:tomcat:{version}:tar.gz");
            runs.mvn(&["dependency:copy", "-DoutputDirectory=.", &artifact])
                && runs.run(Command::new("tar").args(["-xzf", &format!("tomcat-{version}.tar.gz")]))
        });
        match found {
            Ok(home) => return Ok(home),
            Err(error) => why = error,
        }
    }
    Err(why)
}
