//! Processes on this machine, as far as every user may see them (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// All further groups.
    pub groups: Vec<u32>,
}

/// A running process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Whom it runs as.
    pub who: Who,
    /// The bits that files which it makes do not get.
    pub umask: Option<u32>,
    /// When it was started.
    pub started: Option<SystemTime>,
    /// Its command line.
    pub arguments: Vec<String>,
}

impl Who {
    /// This process.
    pub fn this() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect(),
        }
    }

    /// Whether it is in this group.
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether permission bits allow it all of `wanted` (4 read, 2 write, 1 enter).
    pub fn may(&self, wanted: u32, mode: u32, owner: u32, group: u32) -> bool {
        let bits = match () {
            () if self.uid == 0 => 7,
            () if self.uid == owner => mode >> 6,
            () if self.is_in(group) => mode >> 3,
            () => mode,
        };
        bits & wanted == wanted
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {}, gid {}", self.uid, self.gid)?;
        let others: Vec<_> = self.groups.iter().filter(|g| **g != self.gid).map(u32::to_string).collect();
        if others.is_empty() { Ok(()) } else { write!(f, ", groups {}", others.join(" ")) }
    }
}

impl Process {
    /// What can be seen of a process; `None`: it is not there.
    pub fn of(pid: u32) -> Option<Self> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(directory.join("status")).ok()?;
        let lines: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(':')).collect();
        let numbers = |name: &str| -> Vec<u32> {
            let words = lines.get(name).copied().unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let command = fs::read(directory.join("cmdline")).unwrap_or_default();
        let arguments = command.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        Some(Self {
            pid,
            // Real, effective, saved, of the file system.
            who: Who {
                uid: *numbers("Uid").get(1)?,
                gid: *numbers("Gid").get(1)?,
                groups: numbers("Groups"),
            },
            umask: lines.get("Umask").and_then(|text| u32::from_str_radix(text.trim(), 8).ok()),
            started: started(&directory),
            arguments: arguments.filter(|word| !word.is_empty()).collect(),
        })
    }

    /// The running Tomcat of this CATALINA_BASE.
    pub fn tomcat(base: &Path) -> Option<Self> {
        let base = fs::canonicalize(base).ok()?;
        let is_it = |process: &Self| {
            let of = |name: &str| process.arguments.iter().find_map(|word| word.strip_prefix(name));
            process.arguments.iter().any(|word| word.ends_with("org.apache.catalina.startup.Bootstrap"))
                && of("-Dcatalina.base=").is_some_and(|at| fs::canonicalize(at).is_ok_and(|at| at == base))
        };
        all().find(is_it)
    }

    /// Who has locked this directory with flock(2), as a running sidecar does.
    pub fn locking(directory: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::metadata(directory).ok()?;
        // As the kernel writes it there. File systems that make up numbers of devices (btrfs) have another one in `stat`; a tmpfs has not.
        let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
        let wanted = format!("{major:02x}:{minor:02x}:{}", found.ino());
        let locks = fs::read_to_string("/proc/locks").ok()?;
        // "1: FLOCK  ADVISORY  WRITE 708 00:13:468 0 EOF"; waiting ones have "->" behind the number.
        locks.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
            if file == wanted { Self::of(pid.parse().ok()?) } else { None }
        })
    }
}

/// Every process that this user may see.
fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::of(entry.file_name().to_str()?.parse().ok()?))
}

/// Field 22 of `stat`, in clock ticks since the machine was started, which `/proc/stat` says.
fn started(directory: &Path) -> Option<SystemTime> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let since = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1));
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let own = Process::of(std::process::id()).unwrap();
        assert_eq!((own.who.uid, own.who.gid), (Who::this().uid, Who::this().gid));
        assert!(own.umask.is_some_and(|umask| umask <= 0o777));
        assert!(!own.arguments.is_empty());
        let age = SystemTime::now().duration_since(own.started.unwrap()).unwrap_or_default();
        assert!(age < Duration::from_secs(24 * 3600), "{age:?}");
        assert!(Process::of(u32::MAX).is_none());
    }

    #[test]
    fn who_has_locked_a_directory_is_known() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Process::locking(directory.path()).is_none());
        let file = fs::File::open(directory.path()).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(Process::locking(directory.path()).unwrap().pid, std::process::id());
    }

    #[test]
    fn permission_bits_are_those_of_the_nearest() {
        let who = |uid, gid| Who { uid, gid, groups: vec![9] };
        assert!(who(1, 2).may(7, 0o700, 1, 3) && !who(1, 2).may(4, 0o077, 1, 2));
        assert!(who(4, 2).may(3, 0o730, 1, 2) && who(4, 5).may(3, 0o730, 1, 9));
        assert!(!who(4, 5).may(1, 0o770, 1, 2) && who(4, 5).may(1, 0o771, 1, 2));
        assert!(who(0, 5).may(7, 0o000, 1, 2));
    }
}
