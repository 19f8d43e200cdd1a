//! The store directory: who may use it, and where it may be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use satchel_tests::needs::skipped;
use satchel_tests::process::{NOBODY, User};
use satchel_tests::{Memcached, Sidecar, Tomcat, TomcatVersion, eventually};

/// A group that Tomcat and the sidecar share.
const SHARED: u32 = 4711;
/// Whom Tomcat runs as.
const TOMCAT: User = User { uid: 4712, gid: SHARED, group: None };
/// Whom the sidecar runs as: a user of its own, in Tomcat's group.
const SIDECAR: User = User { uid: 4713, gid: 4713, group: Some(SHARED) };

/// `path`, a store directory of the shared group.
fn make(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    chown(path, Some(TOMCAT.uid), Some(SHARED)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn may_change_users() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("store directories of two users", "that needs root");
    }
    root
}

/// A Tomcat of `user` and its store directory.
fn tomcat(user: User, mode: u32) -> (tempfile::TempDir, Tomcat) {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
    let store = base.path().join("ROOT");
    make(&store, mode);
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store).user(user).start();
    (base, tomcat)
}

#[test]
fn two_users_share_a_directory_through_its_group() {
    if !may_change_users() {
        return;
    }
    let (_base, tomcat) = tomcat(TOMCAT, 0o2770);
    let node = Memcached::start();
    let sidecar = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).user(SIDECAR).start();
    let mut user = sidecar.client();
    for n in 1..10 {
        let response = user.get("/kind/small");
        assert_eq!(response.number("n"), Some(n), "{} {}", response.status, response.text());
    }
    assert_eq!(sidecar.metric("file_errors"), 0);
}

#[test]
fn files_that_the_sidecar_may_not_read_are_named_with_what_to_do() {
    if !may_change_users() {
        return;
    }
    // Not set-group-id: what Tomcat writes belongs to Tomcat's own group, which the sidecar is not in.
    let (base, tomcat) = tomcat(User { gid: 4799, group: Some(SHARED), ..TOMCAT }, 0o770);
    let node = Memcached::start();
    let sidecar = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).user(SIDECAR).start();
    let response = sidecar.client().get("/kind/small");
    assert_eq!(response.status, 503, "{}", response.text());
    let log = sidecar.log();
    for named in [
        &base.path().display().to_string(),
        "uid 4712, gid 4799",
        "uid 4713, gid 4713",
        "run it as Tomcat's user",
    ] {
        assert!(log.contains(named), "{named} in {log}");
    }
    assert!(sidecar.metric("file_errors") >= 1);
    eventually("no lock is left", || node.locks().is_empty());
}

#[test]
fn a_directory_that_the_sidecar_may_not_use_is_refused_at_the_start() {
    if !may_change_users() {
        return;
    }
    let (base, tomcat) = tomcat(TOMCAT, 0o770);
    let node = Memcached::start();
    let refusal = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).user(NOBODY).refusal();
    for named in [&base.path().display().to_string(), "uid 65534", "mode 2770"] {
        assert!(refusal.contains(named), "{named} in {refusal}");
    }
}

#[test]
fn a_mount_without_access_times_is_refused_at_the_start() {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = base.path().display().to_string();
    let options = ["-t", "tmpfs", "-o", "size=1m,mode=0770,noatime", "none", &path];
    if !Command::new("mount").args(options).status().is_ok_and(|status| status.success()) {
        skipped("a mount with noatime", "mounting needs root");
        return;
    }
    let node = Memcached::start();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &base.path().join("ROOT")).start();
    let refusal = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).refusal();
    drop(tomcat);
    let _ = Command::new("umount").args(["-l", &path]).status();
    assert!(refusal.contains("noatime") && refusal.contains("relatime"), "{refusal}");
}
