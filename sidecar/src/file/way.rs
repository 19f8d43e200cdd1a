//! The way to a store directory: who could put another one in its place, and so run code in Tomcat.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::DirectoryError;

/// Anybody may remove and rename what is in there.
const WRITABLE: u32 = 0o002;
/// Unless it is not his.
const STICKY: u32 = 0o1000;

/// Whether nobody but root, this user and the directory's own owner can replace a directory or a link on the way, by owning what is above it.
pub(super) fn check_owners(
    path: &Path,
    no_access: impl Fn(io::Error) -> DirectoryError + Copy,
) -> Result<(), DirectoryError> {
    let own = rustix::process::geteuid().as_raw();
    let is_in = |gid: u32| {
        rustix::process::getegid().as_raw() == gid
            || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|g| g.as_raw() == gid))
    };
    match foreign(path, own, is_in).map_err(no_access)? {
        Some((which, uid)) => Err(DirectoryError::Owner { path: path.to_owned(), which, uid, own }),
        None => Ok(()),
    }
}

/// What on the way is neither root's, nor of the user `own`, nor of the directory's own owner. That owner counts only if the user has the
/// directory through its group: then it is Tomcat's.
pub(crate) fn foreign(
    path: &Path,
    own: u32,
    is_in: impl Fn(u32) -> bool,
) -> io::Result<Option<(PathBuf, u32)>> {
    let leaf = fs::metadata(path)?;
    let ours = is_in(leaf.gid());
    let is_foreign = |uid: u32| uid != 0 && uid != own && !(ours && uid == leaf.uid());
    let found = way(path)?.into_iter().find(|(_, found)| is_foreign(found.uid()));
    Ok(found.map(|(which, found)| (which, found.uid())))
}

/// The directory above in which every user can put another one in place of the next. A warning only: volumes of a pod are mounted like this, and
/// there is no other user in it.
pub(crate) fn open_to_all(path: &Path) -> Option<PathBuf> {
    let way = way(path).ok()?;
    let open =
        |found: &Metadata| found.is_dir() && found.mode() & WRITABLE != 0 && found.mode() & STICKY == 0;
    way.into_iter().find(|(_, found)| open(found)).map(|(which, _)| which)
}

/// The path and what is above it, as it is written and as it is without links.
fn way(path: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let whole = fs::canonicalize(path)?;
    let all = whole.ancestors().chain(path.ancestors().take_while(|above| !above.as_os_str().is_empty()));
    all.map(|which| Ok((which.to_owned(), fs::symlink_metadata(which)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn refused(path: &Path) -> Option<String> {
        let no_access = |source| DirectoryError::NoAccess { path: path.to_owned(), source, uid: 0, gid: 0 };
        check_owners(path, no_access).err().map(|error| error.to_string())
    }

    #[test]
    fn a_link_in_somebody_elses_directory_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (good, bad) =
            (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        chown(bad.path(), Some(4711), None).unwrap();
        for (base, is_refused) in [(good.path(), false), (bad.path(), true)] {
            let link = base.join("ROOT");
            symlink(good.path(), &link).unwrap();
            let said = refused(&link);
            assert_eq!(said.is_some(), is_refused, "{said:?}");
            assert!(!is_refused || said.unwrap().contains("belongs to uid 4711"));
        }
    }

    #[test]
    fn a_directory_in_which_all_can_rename_is_named() {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let leaf = base.path().join("ROOT");
        fs::create_dir(&leaf).unwrap();
        for (mode, is_named) in
            [(0o755, false), (0o1777, false), (0o2770, false), (0o777, true), (0o2777, true)]
        {
            fs::set_permissions(base.path(), fs::Permissions::from_mode(mode)).unwrap();
            let named = is_named.then(|| base.path().to_owned());
            assert_eq!(open_to_all(&leaf), named, "{mode:o}");
        }
    }
}
