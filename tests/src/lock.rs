//! Locks on files, between test processes that run at the same time.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A lock that is held until this is dropped, or the process ends.
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock.
    ///
    /// # Panics
    /// When the file can't be made.
    pub fn wait(path: &Path) -> Self {
        let file = open(path);
        flock(&file, FlockOperation::LockExclusive).unwrap();
        Self { _file: file }
    }

    /// Takes the lock if nobody holds it.
    pub fn take(path: &Path) -> Option<Self> {
        let file = open(path);
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { _file: file })
    }

    /// A directory for locks that all test processes of this user share.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn directory() -> PathBuf {
        let user = rustix::process::geteuid().as_raw();
        let directory = std::env::temp_dir().join(format!("satchel-test-locks-{user}"));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }
}

fn open(path: &Path) -> File {
    let open = File::options().create(true).append(true).open(path);
    open.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
