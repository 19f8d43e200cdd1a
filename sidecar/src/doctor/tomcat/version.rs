//! Which Tomcat it is: what `lib/catalina.jar` says of itself (`ServerInfo.properties`, as `bin/version.sh` does).

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use super::Properties;

const INFO: &str = "org/apache/catalina/util/ServerInfo.properties";
/// It has a dozen lines.
const INFO_MAX: u64 = 64 * 1024;

/// As in 10.1.60.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `(10, 1)`.
    pub line: (u32, u32),
    /// `60`.
    pub patch: u32,
}

impl Version {
    /// Of numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { line: (major, minor), patch }
    }

    /// Of the Tomcat in this CATALINA_HOME. `Err`: why it can't be told.
    pub fn of(home: &Path) -> Result<Self, String> {
        let jar = home.join("lib/catalina.jar");
        let said = |error: &dyn fmt::Display| format!("{}: {error}", jar.display());
        let file = File::open(&jar).map_err(|error| said(&error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| said(&error))?;
        let info = archive.by_name(INFO).map_err(|error| said(&error))?;
        let mut text = String::new();
        info.take(INFO_MAX).read_to_string(&mut text).map_err(|error| said(&error))?;
        let number = Properties::parse(&text).get("server.number").map(str::to_owned);
        number.and_then(|number| number.parse().ok()).ok_or_else(|| said(&"it does not say its version"))
    }
}

impl FromStr for Version {
    type Err = ();

    /// `10.1.60.0`, as Tomcat says it, and `11.0.0-M7`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.split(['.', '-']).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(());
        Ok(Self::new(next()?, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.line.0, self.line.1, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let read = |text: &str| text.parse::<Version>();
        assert_eq!(read("10.1.60.0").map(|v| v.to_string()).as_deref(), Ok("10.1.60"));
        assert_eq!(read("11.0.0-M7"), Ok(Version::new(11, 0, 0)));
        assert!(read("9.0.9") < read("9.0.10") && read("9.0.122") < read("10.1.0"));
        for text in ["", "10", "10.1", "10.1.x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
