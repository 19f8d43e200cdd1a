//! Why nothing was imported.

use std::path::PathBuf;

/// Why nothing was imported; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not XML, or none of Tomcat's files.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// What the command line says does not fit.
    #[error("{0}")]
    Usage(String),
    /// Nothing to import.
    #[error(
        "no <Manager> of memcached-session-manager (de.javakaffee.web.msm.…) is in these files. It stands in conf/context.xml, in \
         META-INF/context.xml, in conf/Catalina/HOST/NAME.xml or in conf/server.xml; for Tomcats without it, see docs/quick-start.md"
    )]
    NoManager,
}
