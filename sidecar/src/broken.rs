//! Ways to break the sidecar on purpose, so that those who check it can prove that they would notice.
//!
//! Only the program `sidecar-broken` (cargo feature `broken`) is ever broken, in the one way that `SATCHEL_BROKEN` names. Without the
//! feature every question is answered with a constant, and nothing of this is in the product.

use std::fs::File;
use std::path::Path;

/// A rule of the protocol that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No lock is taken, and stores overwrite (R5, R17).
    NoLock,
    /// A session that is not saved when its response's header comes counts as unchanged; nobody waits or asks (R12).
    BodyCompleteIsSaved,
    /// Local copies are used without a look at what memcached has, and what was made of them overwrites (R7, R17).
    PlainTtlCache,
    /// A session that ends is deleted; no tombstone keeps it so (R24).
    NoTombstones,
    /// Tomcat's file is taken while it is being written (R10).
    HalfWritten,
    /// Connections whose request was given up go back to the pool, with the answers still on their way.
    ReusedConnection,
}

impl Broken {
    /// Whether this rule is not kept.
    #[cfg(not(feature = "broken"))]
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether this rule is not kept.
    #[cfg(feature = "broken")]
    pub fn is_on(self) -> bool {
        choice::is(self)
    }
}

/// The unfinished file of a Tomcat that writes beside `file` and renames, if it is to be taken.
pub(crate) fn half_written(file: &Path) -> Option<File> {
    if !Broken::HalfWritten.is_on() {
        return None;
    }
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".tmp");
    // An empty one is no session yet, for the most careless reader too.
    File::open(unfinished).ok().filter(|file| file.metadata().is_ok_and(|there| there.len() > 0))
}

#[cfg(feature = "broken")]
pub use choice::choose;

#[cfg(feature = "broken")]
mod choice {
    use std::sync::OnceLock;

    use super::Broken;

    const VARIABLE: &str = "SATCHEL_BROKEN";
    const NAMES: [(&str, Broken); 6] = [
        ("no-lock", Broken::NoLock),
        ("body-complete-is-saved", Broken::BodyCompleteIsSaved),
        ("plain-ttl-cache", Broken::PlainTtlCache),
        ("no-tombstones", Broken::NoTombstones),
        ("half-written", Broken::HalfWritten),
        ("reused-connection", Broken::ReusedConnection),
    ];

    /// Unset in any other program, and in tests.
    static CHOICE: OnceLock<Broken> = OnceLock::new();

    pub(super) fn is(broken: Broken) -> bool {
        CHOICE.get() == Some(&broken)
    }

    /// Breaks this process in the way that the environment names. The name.
    ///
    /// # Errors
    /// There is no name, or no such way.
    pub fn choose() -> Result<String, String> {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let found = NAMES.iter().find(|(known, _)| *known == name);
        let (_, broken) = found.ok_or_else(|| {
            let known = NAMES.map(|(known, _)| known).join(", ");
            format!("{VARIABLE} is '{name}'; it must say how the sidecar is to be broken: {known}")
        })?;
        let _ = CHOICE.set(*broken);
        Ok(name)
    }
}
