//! What is open to more than it need be, in words for the one who can close it. Warnings, not refusals: in a container files are mounted for
//! all, and addresses are its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};

/// No core dump of this process, and no look into its memory by other processes of its user: keys are in it.
pub fn keep_memory_private() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::warn!("Core dumps cannot be turned off: {error}");
    }
}

/// That this process is root's.
pub fn of_root() -> Option<String> {
    geteuid().is_root().then(|| {
        "Running as root, which is not needed: run it as a user of its own (User= of a systemd unit, runAsUser of a container). A port below \
         1024 needs CAP_NET_BIND_SERVICE alone"
            .into()
    })
}

/// That others than this machine can connect to the `admin` address.
pub fn of_admin(address: Option<SocketAddr>) -> Option<String> {
    let address = address.filter(|address| !address.ip().to_canonical().is_loopback())?;
    Some(format!(
        "admin: {address} can be reached from other machines, and what it shows (servers, nodes, load) needs no password: name 127.0.0.1, or \
         let only those reach it that ask for it"
    ))
}

/// That others on this machine can read the secrets in a file, or change it. `key`: where the configuration names it; empty for the
/// configuration itself.
pub fn of_secrets(key: &str, file: &Path) -> Option<String> {
    let file = fs::canonicalize(file).ok()?;
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode());
    let open = mode(&file).ok()? & 0o006;
    let way = file.ancestors().skip(1).all(|directory| mode(directory).is_ok_and(|mode| mode & 0o001 != 0));
    let what = match open {
        _ if !way => return None,
        0 => return None,
        0o004 => "read",
        _ => "change",
    };
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    Some(format!(
        "{key}every user of this machine can {what} {}, and it holds a secret: chmod 640 it, and give it the group of this program's user",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn an_admin_address_of_other_machines_is_named() {
        let said = |address: &str| of_admin(Some(address.parse().unwrap()));
        for address in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(said(address), None, "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(said(address).unwrap().contains(address), "{address}");
        }
        assert_eq!(of_admin(None), None);
    }

    /// A file that has the mode, in a directory that has the other.
    fn file(directory: u32, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        fs::write(&path, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&path, mode);
        set(base.path(), directory);
        (base, path)
    }

    #[test]
    fn a_file_that_others_can_read_is_named_with_the_fix() {
        for (directory, mode, word) in
            [(0o755, 0o644, "can read"), (0o755, 0o606, "can change"), (0o711, 0o604, "can read")]
        {
            let (_base, path) = file(directory, mode);
            let said = of_secrets("ssl_certificate_key", &path).unwrap();
            assert!(said.starts_with("ssl_certificate_key: ") && said.contains(word), "{said}");
            assert!(said.contains(&path.display().to_string()) && said.contains("chmod 640"), "{said}");
        }
        for (directory, mode) in [(0o755, 0o600), (0o755, 0o640), (0o755, 0o660), (0o700, 0o644)] {
            let (_base, path) = file(directory, mode);
            assert_eq!(of_secrets("", &path), None, "{directory:o} {mode:o}");
        }
    }
}
