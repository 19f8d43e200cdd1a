//! The directory of the socket at which a new process takes the listeners over.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The directory can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "upgrade_sock: cannot make the directory {}: {source}; make it for the gateway's user alone (RuntimeDirectory= of a systemd unit does), or \
     name another", directory.display()
)]
pub struct UpgradeError {
    directory: PathBuf,
    source: io::Error,
}

/// Makes it if it is not there, for this user alone: whoever can connect to the socket can take the listeners.
///
/// # Errors
/// When it can't be made.
pub fn directory(socket: &Path) -> Result<(), UpgradeError> {
    let directory = socket.parent().unwrap_or(Path::new("."));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| UpgradeError { directory: directory.to_owned(), source })
}
