//! Which session files Tomcat has finished writing.
//!
//! Tomcats from 9.0.119, 10.1.56 and 11.0.23 on rename a file to its place: what is there is whole. Older ones write in place, and a
//! look can't tell a file that is whole from one that is being written. The kernel can: inotify reports the close. With the
//! first file that is seen to be renamed the watching ends.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::broken::Broken;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// For one read: some ten events with names of session files. An event needs at least 16 + 256 bytes (`inotify(7)`).
const BUFFER: usize = 2048;

/// Watches one store directory.
#[derive(Debug)]
pub struct Finished(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Not known yet to rename. The names of the files that were closed after writing.
    Watching { inotify: OwnedFd, closed: HashSet<Vec<u8>> },
    /// Every file is whole, as far as can be told.
    Whole,
}

impl Finished {
    /// Watches `directory` from now on. When the system has no more watches to give, every file passes for whole.
    pub fn watch(directory: &Path) -> Self {
        let watch = || {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            // Without EXCL_UNLINK the closing of a file that was removed long ago would be reported by its name.
            let flags = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::EXCL_UNLINK
                | WatchFlags::ONLYDIR;
            inotify::add_watch(&inotify, directory, flags)?;
            Ok::<_, rustix::io::Errno>(State::Watching { inotify, closed: HashSet::new() })
        };
        Self(Mutex::new(watch().unwrap_or_else(|error| {
            log::warn!(
                "{} cannot be watched ({error}; fs.inotify.max_user_instances?): a Tomcat that writes session files in place may be \
                 read half-way",
                directory.display()
            );
            State::Whole
        })))
    }

    /// Whether the file `name`, which is there, is not being written.
    pub fn is_whole(&self, name: &str) -> bool {
        if Broken::HalfWritten.is_on() {
            return true;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.read() {
            State::Whole => true,
            State::Watching { closed, .. } => closed.contains(name.as_bytes()),
        }
    }

    /// The file `name` is removed, or made by us: what was known of it is void.
    pub fn forget(&self, name: &str) {
        if let State::Watching { closed, .. } = self.0.lock().unwrap_or_else(PoisonError::into_inner).read() {
            closed.remove(name.as_bytes());
        }
    }
}

impl State {
    /// Takes in what the kernel has reported.
    fn read(&mut self) -> &mut Self {
        let Self::Watching { inotify, closed } = self else { return self };
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = Reader::new(inotify, &mut buffer);
        while let Ok(event) = events.next() {
            let name = event.file_name().map(|name| name.to_bytes().to_owned()).unwrap_or_default();
            let renames = event.events().contains(ReadFlags::MOVED_TO) && name.ends_with(b".session");
            // An overflow is not expected: every exchange reads several times and causes a few events.
            if renames || event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                *self = Self::Whole;
                return self;
            }
            closed.insert(name);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn r10_a_file_that_is_written_in_place_is_whole_when_it_is_closed() {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let finished = Finished::watch(base.path());
        let file = File::create(base.path().join("A.session")).unwrap();
        assert!(!finished.is_whole("A.session"));
        drop(file);
        assert!(finished.is_whole("A.session") && !finished.is_whole("B.session"));
        finished.forget("A.session");
        assert!(!finished.is_whole("A.session"));
    }

    #[test]
    fn r10_one_rename_shows_that_this_tomcat_renames() {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let finished = Finished::watch(base.path());
        fs::write(base.path().join("A.session.tmp"), b"a").unwrap();
        assert!(!finished.is_whole("A.session"));
        fs::rename(base.path().join("A.session.tmp"), base.path().join("A.session")).unwrap();
        assert!(finished.is_whole("A.session") && finished.is_whole("B.session"));
        assert!(matches!(*finished.0.lock().unwrap(), State::Whole), "and nothing is watched any more");
    }

    #[test]
    fn a_file_that_is_removed_before_it_is_closed_leaves_nothing_behind() {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let finished = Finished::watch(base.path());
        let file = File::create(base.path().join("A.session")).unwrap();
        fs::remove_file(base.path().join("A.session")).unwrap();
        drop(file);
        let _new = File::create(base.path().join("A.session")).unwrap();
        assert!(!finished.is_whole("A.session"));
    }
}
