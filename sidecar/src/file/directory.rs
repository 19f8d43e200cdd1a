//! The store directory: Tomcat's `FileStore` on one side, the sidecar on the other.
//!
//! It holds files only while a request is in flight. The sidecar writes a file directly (the session's lock
//! is held and Tomcat reads only after the request has been forwarded) and gives it a sentinel time, so that
//! one `fstat` tells whether Tomcat has read or replaced it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps, futimens};

use super::finished::Finished;
use super::placed::Placed;
use super::way;
use crate::broken::half_written;

/// Directories are made for the owner and the group that Tomcat and the sidecar share, and nobody else.
const DIRECTORY_MODE: u32 = 0o770;
/// Tomcats that write in place need to write the file that the sidecar made.
const FILE_MODE: u32 = 0o660;
/// The time that a placed file is given, so that any access shows.
pub(super) const SENTINEL: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 0, tv_nsec: 0 },
};
/// Leaves the modification time alone.
pub(super) const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };

/// Why the store directory can't be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It can't be made, listed or written.
    #[error(
        "store directory {}: {source}; the sidecar runs as uid {uid}, gid {gid}: run it as Tomcat's user, or \
         put both in one group and give the directory that group and mode 2770",
        path.display()
    )]
    NoAccess {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// The sidecar's user.
        uid: u32,
        /// The sidecar's group.
        gid: u32,
    },
    /// Access times don't move there.
    #[error(
        "store directory {}: access times do not move there (mounted with noatime?), so the sidecar could not \
         see whether Tomcat has read a session; use a tmpfs mounted with relatime, for example below /dev/shm",
        .0.display()
    )]
    NoAccessTimes(PathBuf),
    /// Another sidecar uses it, or another context of this one.
    #[error(
        "store directory {}: another sidecar is using it, or another [[context]]; each Tomcat's sidecar and each context need \
         their own",
        .0.display()
    )]
    InUse(PathBuf),
    /// Somebody else could put another directory in its place.
    #[error(
        "store directory {}: {} belongs to uid {uid}, who could put another directory there and so run code in Tomcat; it must \
         belong to root, to the sidecar's user (uid {own}) or to Tomcat's",
        path.display(), which.display()
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// It, or a directory above it.
        which: PathBuf,
        /// Whose that is.
        uid: u32,
        /// The sidecar's user.
        own: u32,
    },
    /// Everybody on the machine could plant a session.
    #[error(
        "store directory {}: mode {mode:04o} lets other users of this machine in; whoever can write there can \
         run code in Tomcat: chmod o-rwx it",
        path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// One context's directory.
#[derive(Debug)]
pub struct StoreDirectory {
    path: PathBuf,
    /// Holds the lock that keeps other sidecars out.
    _lock: File,
    finished: Arc<Finished>,
    /// Files of exchanges that are going on, by name. The sweeper leaves them alone.
    owned: Mutex<HashMap<String, usize>>,
}

/// Keeps a file from the sweeper for as long as it lives.
#[derive(Debug)]
pub struct Claim {
    directory: Arc<StoreDirectory>,
    name: String,
}

impl StoreDirectory {
    /// Makes the directory if there is none, checks that it can be used and that access times move there,
    /// and empties it. Returns the ids whose files were found: Tomcat may still be running their requests.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>), DirectoryError> {
        let no_access = |source| DirectoryError::NoAccess {
            path: path.to_owned(),
            source,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(no_access)?;
        let mode = fs::metadata(path).map_err(no_access)?.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(DirectoryError::Open { path: path.to_owned(), mode });
        }
        fs::read_dir(path).map_err(no_access)?;
        way::check_owners(path, no_access)?;
        if let Some(open) = way::open_to_all(path) {
            log::warn!(
                "store directory {}: in {} every user of this machine can put another directory in its place, and so run code in Tomcat: \
                 chmod o-w it. (In a pod there is no other user.)",
                path.display(),
                open.display()
            );
        }
        let lock = File::open(path).map_err(no_access)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DirectoryError::InUse(path.to_owned()))?;
        let finished = Arc::new(Finished::watch(path));
        let directory = Self { path: path.to_owned(), _lock: lock, finished, owned: Mutex::default() };
        let mut found = Vec::new();
        for name in directory.names().map_err(no_access)? {
            fs::remove_file(path.join(&name)).map_err(no_access)?;
            if let Some(id) = name.strip_suffix(".session") {
                found.push(id.to_owned());
            }
        }
        if !access_times_move(path, ".satchel-check").map_err(no_access)? {
            return Err(DirectoryError::NoAccessTimes(path.to_owned()));
        }
        Ok((directory, found))
    }

    /// Where Tomcat keeps the session `id`.
    pub fn file(&self, id: &str) -> PathBuf {
        self.path.join(file_name(id))
    }

    /// The file of `id` for a log: whoever reads that must not be able to take the session over.
    pub fn shown(&self, id: &str) -> String {
        shown(&self.file(id))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the file of `id` from the sweeper.
    pub fn claim(self: &Arc<Self>, id: &str) -> Claim {
        let name = file_name(id);
        *self.lock().entry(name.clone()).or_default() += 1;
        Claim { directory: self.clone(), name }
    }

    /// How many exchanges have claimed the file of `id`.
    pub fn claims(&self, id: &str) -> usize {
        self.lock().get(&file_name(id)).copied().unwrap_or(0)
    }

    /// Puts a session where Tomcat will look for it. A file that is there already belongs to nobody and is
    /// replaced.
    ///
    /// # Errors
    /// The file can't be written: rights, or no space left.
    pub fn place(&self, id: &str, bytes: &[u8]) -> io::Result<Placed> {
        let path = self.file(id);
        let create = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let mut file = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                create()?
            }
            other => other?,
        };
        if let Err(error) = file.write_all(bytes).and_then(|()| Ok(futimens(&file, &SENTINEL)?)) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.finished.forget(&file_name(id));
        Ok(Placed::new(file, path, self.finished.clone()))
    }

    /// Reads the file of `id` that Tomcat wrote. `None` if there is none, or Tomcat is still writing it.
    ///
    /// # Errors
    /// The file can't be read; for missing rights the error says how to get them.
    pub fn take(&self, id: &str) -> io::Result<Option<Bytes>> {
        let path = self.file(id);
        let file = match half_written(&path).map_or_else(|| File::open(&path), Ok) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(explain(&path, error));
            }
            other => other?,
        };
        if !self.finished.is_whole(&file_name(id)) {
            return Ok(None);
        }
        // It does not grow any more: neither its size nor its end has to be asked for twice.
        let len = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        file.take(len).read_to_end(&mut bytes)?;
        Ok(Some(bytes.into()))
    }

    /// Removes the file of `id`, if there is one.
    pub fn remove(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.file(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            log::error!("Cannot remove {}: {error}", self.shown(id));
        }
        self.finished.forget(&file_name(id));
    }

    /// Whether the file `name`, which is there, is not being written.
    pub fn is_whole(&self, name: &str) -> bool {
        self.finished.is_whole(name)
    }

    /// The session files that belong to no exchange.
    ///
    /// # Errors
    /// The directory can't be listed.
    pub fn strangers(&self) -> io::Result<Vec<String>> {
        let names = self.names()?;
        let owned = self.lock();
        Ok(names.into_iter().filter(|name| !owned.contains_key(name.trim_end_matches(".tmp"))).collect())
    }

    /// Removes a file that [`strangers`](Self::strangers) named, unless an exchange has claimed it since.
    pub fn sweep(&self, name: &str) -> bool {
        let owned = self.lock();
        self.finished.forget(name);
        !owned.contains_key(name.trim_end_matches(".tmp")) && fs::remove_file(self.path.join(name)).is_ok()
    }

    /// Tomcat's files: `<id>.session`, and `<id>.session.tmp` while it writes one.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string()
                && (name.ends_with(".session") || name.ends_with(".session.tmp"))
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut owned = self.directory.lock();
        if let Some(count) = owned.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                owned.remove(&self.name);
            }
        }
    }
}

/// Whether access times move in a directory: tried with a file of this name.
pub(crate) fn access_times_move(directory: &Path, name: &str) -> io::Result<bool> {
    let path = directory.join(name);
    let _ = fs::remove_file(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(b"check")?;
    futimens(&file, &SENTINEL)?;
    fs::read(&path)?;
    let moved = file.metadata()?.atime() != 0;
    fs::remove_file(&path)?;
    Ok(moved)
}

fn file_name(id: &str) -> String {
    format!("{id}.session")
}

/// Only the first characters of the id.
fn shown(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let start: String = name.chars().take(6).collect();
    file.with_file_name(format!("{start}….session")).display().to_string()
}

fn explain(path: &Path, error: io::Error) -> io::Error {
    let owner = fs::metadata(path)
        .map(|m| format!("mode {:04o}, uid {}, gid {}", m.mode() & 0o7777, m.uid(), m.gid()))
        .unwrap_or_default();
    io::Error::new(
        error.kind(),
        format!(
            "{}: {error} ({owner}); the sidecar runs as uid {}, gid {}: run it as Tomcat's user or in its group \
             (catalina.sh sets UMASK 0027, so the group may read)",
            shown(path),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn directory() -> (tempfile::TempDir, Arc<StoreDirectory>) {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let (directory, found) = StoreDirectory::open(&base.path().join("ROOT")).unwrap();
        assert_eq!(found, Vec::<String>::new());
        (base, Arc::new(directory))
    }

    #[test]
    fn it_is_emptied_at_the_start_and_says_what_was_there() {
        let (base, directory) = directory();
        fs::write(directory.file("ABC"), b"x").unwrap();
        fs::write(directory.path().join("DEF.session.tmp"), b"x").unwrap();
        fs::write(directory.path().join("foreign"), b"x").unwrap();
        let refused = StoreDirectory::open(directory.path()).unwrap_err();
        assert!(matches!(refused, DirectoryError::InUse(_)), "{refused}");
        drop(directory);
        let (again, found) = StoreDirectory::open(&base.path().join("ROOT")).unwrap();
        assert_eq!(found, ["ABC"]);
        assert_eq!(again.names().unwrap(), Vec::<String>::new());
        assert!(again.path().join("foreign").exists(), "files that are not Tomcat's are left alone");
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let (base, first) = directory();
        drop(first);
        let path = base.path().join("ROOT");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = StoreDirectory::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod o-rwx"), "{error}");
    }

    #[test]
    fn a_file_in_a_log_does_not_tell_its_id() {
        let (_base, directory) = directory();
        let shown = directory.shown("5526F95AEB3E88C6F1C0B9C7A5B92E23");
        assert!(shown.ends_with("/ROOT/5526F9….session"), "{shown}");
    }

    #[test]
    fn a_directory_below_somebody_elses_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        std::os::unix::fs::chown(base.path(), Some(4711), None).unwrap();
        let error = StoreDirectory::open(&base.path().join("ROOT")).unwrap_err().to_string();
        assert!(error.contains("belongs to uid 4711"), "{error}");
    }

    #[test]
    fn the_sweeper_leaves_claimed_files_alone() {
        let (_base, directory) = directory();
        for name in ["A.session", "A.session.tmp", "B.session"] {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        let claim = directory.claim("A");
        assert_eq!(directory.strangers().unwrap(), ["B.session"]);
        assert!(!directory.sweep("A.session"));
        drop(claim);
        assert!(directory.sweep("A.session"));
    }
}
