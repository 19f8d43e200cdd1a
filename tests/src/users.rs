//! Ordinary users for Tomcat and its sidecar, and the store directory between them. Needs root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use crate::process::User;

/// A group that Tomcat and the sidecar share.
pub const SHARED: u32 = 4711;
/// Tomcat's user.
pub const TOMCAT: User = User { uid: 4712, gid: SHARED, group: None };
/// The sidecar's.
pub const SIDECAR: User = User { uid: 4713, gid: 4713, group: Some(SHARED) };

/// A store directory on a tmpfs, of this user and of the shared group, with these permissions, in a directory that everybody may enter.
///
/// # Panics
/// When it can't be made: not as root.
pub fn store(owner: User, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
    let store = base.path().join("ROOT");
    fs::create_dir(&store).unwrap();
    chown(&store, Some(owner.uid), Some(SHARED)).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(mode)).unwrap();
    (base, store)
}
