//! A file that was placed for Tomcat: has it been read, replaced or deleted?
//!
//! The placed inode is kept open, so its number can't be given to another file while it is watched.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Timespec, Timestamps, futimens};

use super::directory::OMIT;
use super::finished::Finished;
use crate::broken::{Broken, half_written};

/// What a look at the file tells (R10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Tomcat has not read it.
    Untouched,
    /// Read and not replaced: the request is running, or will never be saved.
    Loaded,
    /// Read, and another inode is there now, whole.
    Saved,
    /// Read, and written to in place, as Tomcats before 9.0.119, 10.1.56 and 11.0.23 do. Perhaps still being
    /// written.
    Written,
    /// No file is there any more.
    Gone,
    /// Ours was never read, and another file is there, or none: the doing of a request that was given up earlier.
    Foreign,
}

/// The placed file.
#[derive(Debug)]
pub struct Placed {
    file: File,
    path: PathBuf,
    finished: Arc<Finished>,
    /// Remembered, because a probe resets the access time.
    loaded: bool,
}

impl Placed {
    pub(super) fn new(file: File, path: PathBuf, finished: Arc<Finished>) -> Self {
        Self { file, path, finished, loaded: false }
    }

    /// Looks. Two system calls.
    ///
    /// # Errors
    /// The directory has become unreadable.
    pub fn look(&mut self) -> io::Result<Seen> {
        let placed = self.file.metadata()?;
        self.loaded |= moved(placed.atime(), placed.atime_nsec());
        let there = match fs::symlink_metadata(&self.path) {
            // Tomcat reads before it deletes: a file that was never read was taken away by somebody else.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if self.loaded { Seen::Gone } else { Seen::Foreign });
            }
            other => other?,
        };
        let replaced = there.ino() != placed.ino() || half_written(&self.path).is_some();
        let written = moved(there.mtime(), there.mtime_nsec());
        Ok(match (self.loaded, replaced || written) {
            (false, false) => Seen::Untouched,
            (true, false) => Seen::Loaded,
            (true, true) if replaced && self.is_whole() || Broken::HalfWritten.is_on() => Seen::Saved,
            (true, true) => Seen::Written,
            (false, true) => Seen::Foreign,
        })
    }

    fn is_whole(&self) -> bool {
        self.path.file_name().and_then(|name| name.to_str()).is_none_or(|name| self.finished.is_whole(name))
    }

    /// Sets the access time back, so that [`read_again`](Self::read_again) tells whether a probe has read
    /// the placed file (R12).
    ///
    /// # Errors
    /// As `futimens`.
    pub fn arm(&mut self) -> io::Result<()> {
        let access = Timespec { tv_sec: 0, tv_nsec: 0 };
        Ok(futimens(&self.file, &Timestamps { last_access: access, last_modification: OMIT })?)
    }

    /// Whether the placed inode was read since [`arm`](Self::arm).
    ///
    /// # Errors
    /// As `fstat`.
    pub fn read_again(&self) -> io::Result<bool> {
        let placed = self.file.metadata()?;
        Ok(moved(placed.atime(), placed.atime_nsec()))
    }
}

fn moved(seconds: i64, nanoseconds: i64) -> bool {
    seconds != 0 || nanoseconds != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::StoreDirectory;

    fn place() -> (tempfile::TempDir, Placed, PathBuf) {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let (directory, _) = StoreDirectory::open(&base.path().join("d")).unwrap();
        let placed = directory.place("A", b"session").unwrap();
        let path = directory.file("A");
        (base, placed, path)
    }

    #[test]
    fn r10_a_tomcat_that_renames() {
        let (base, mut placed, path) = place();
        assert_eq!(placed.look().unwrap(), Seen::Untouched);
        fs::read(&path).unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Loaded);
        let tmp = base.path().join("d/A.session.tmp");
        fs::write(&tmp, b"new").unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Loaded);
        fs::rename(&tmp, &path).unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Saved);
        fs::remove_file(&path).unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Gone);
    }

    #[test]
    fn r10_a_tomcat_that_writes_in_place() {
        let (_base, mut placed, path) = place();
        fs::read(&path).unwrap();
        fs::write(&path, b"new").unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Written);
    }

    #[test]
    fn r10_a_file_that_came_while_ours_was_never_read_is_foreign() {
        let (base, mut placed, path) = place();
        let tmp = base.path().join("d/late");
        fs::write(&tmp, b"late").unwrap();
        fs::rename(&tmp, &path).unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Foreign);
    }

    #[test]
    fn r12_a_second_reading_shows_after_arming() {
        let (_base, mut placed, path) = place();
        fs::read(&path).unwrap();
        assert_eq!(placed.look().unwrap(), Seen::Loaded);
        placed.arm().unwrap();
        assert!(!placed.read_again().unwrap());
        assert_eq!(placed.look().unwrap(), Seen::Loaded, "that it was loaded once is remembered");
        fs::read(&path).unwrap();
        assert!(placed.read_again().unwrap());
    }
}
