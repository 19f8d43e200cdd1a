//! Store directories: who may use them, where they are, and what Tomcat's umask makes of the files in them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::store::store_directories;
use super::{Finding, Report, Severity, Subject};
use crate::config::{Config, defaults};
use crate::doctor::process::{Process, Who};
use crate::doctor::tomcat::Tomcat;
use crate::file::directory::access_times_move;
use crate::file::way;
use crate::shown::word;

/// `f_type` of file systems that are in memory (statfs(2)).
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58F6];
/// Everything: list, write, enter.
const ALL: u32 = 7;

/// Looks at each, with what is known of Tomcat.
pub fn check(tomcat: Option<&Tomcat>, config: Option<&Config>, report: &mut Report) {
    let subject = tomcat.map(|tomcat| Subject { tomcat, config });
    let directories: Vec<PathBuf> = match (config, subject) {
        (Some(config), _) => config.contexts.iter().map(|context| context.directory.clone()).collect(),
        (None, Some(subject)) => store_directories(subject),
        (None, None) => return,
    };
    let max = config.map_or(defaults::MAX_SESSION_SIZE.0, |config| config.settings.max_session_size as u64);
    let mut users = None;
    for path in directories {
        let sidecar = sidecar_of(&path, report);
        let process = tomcat.and_then(|tomcat| tomcat.process.as_ref());
        one(&path, sidecar.as_ref(), process, max, report);
        users = users.or_else(|| sidecar.map(|sidecar| (path, sidecar)));
    }
    if let (Some(tomcat), Some((path, sidecar))) = (tomcat, users) {
        umask(tomcat, &path, &sidecar, report);
    }
}

/// Whom the sidecar of a directory runs as: the process that has locked it, or else who asks.
fn sidecar_of(path: &Path, report: &mut Report) -> Option<Who> {
    let this = Who::this();
    match Process::locking(path) {
        Some(process) => Some(process.who),
        None if this.uid != 0 => Some(this),
        None => {
            report.unchecked(
                "whether the sidecar may use its store directories",
                "no running sidecar can be seen, and this is root, who may everything; run doctor as the sidecar's user, or while it runs",
            );
            None
        }
    }
}

fn one(path: &Path, sidecar: Option<&Who>, tomcat: Option<&Process>, max: u64, report: &mut Report) {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return missing(path, sidecar, report),
        Err(error) => return report.unchecked(path.display().to_string(), error.to_string()),
    };
    if !found.is_dir() {
        let fix = format!("$ mv {0} {0}.old", word(path));
        let why = "the sidecar can't make its store directory there";
        return report.add(
            Finding::new("directory.file", Severity::Error, "the store directory is a file", why, fix)
                .of(path),
        );
    }
    mode(path, &found, report);
    above(path, sidecar, report);
    mount(path, max, report);
    for (whose, who) in [("the sidecar", sidecar), ("Tomcat", tomcat.map(|process| &process.who))] {
        if let Some(who) = who.filter(|who| !who.may(ALL, found.mode(), found.uid(), found.gid())) {
            report.add(
                Finding::new(
                    "directory.rights",
                    Severity::Error,
                    format!(
                        "{whose} ({who}) may not use its store directory (mode {:04o}, uid {}, gid {})",
                        found.mode() & 0o7777,
                        found.uid(),
                        found.gid()
                    ),
                    "sessions can't be handed over",
                    share(path, sidecar, tomcat.map(|process| &process.who)),
                )
                .of(path),
            );
        }
    }
    if let (Some(sidecar), Some(tomcat)) = (sidecar, tomcat) {
        groups(path, &found, sidecar, &tomcat.who, report);
    }
}

/// How two users share a directory.
fn share(path: &Path, sidecar: Option<&Who>, tomcat: Option<&Who>) -> String {
    let groups = |who: &Who| [vec![who.gid], who.groups.clone()].concat();
    let common = |sidecar: &Who, tomcat: &Who| groups(sidecar).into_iter().find(|gid| tomcat.is_in(*gid));
    let (before, group) = match sidecar.zip(tomcat).and_then(|(sidecar, tomcat)| common(sidecar, tomcat)) {
        Some(group) => (format!("give it the group that both have, {group}"), group.to_string()),
        None => {
            let group = sidecar.map_or("GROUP".into(), |sidecar| sidecar.gid.to_string());
            let how = format!(
                "run the sidecar as Tomcat's user; or put both in one group (the sidecar's, {group}: usermod -aG {group} TOMCATS_USER, and \
                 restart Tomcat) and give it that"
            );
            (how, group)
        }
    };
    format!("{before}, as root:\n$ chgrp {group} {0}\n$ chmod 2770 {0}", word(path))
}

/// The sidecar makes it when it starts, if it may.
fn missing(path: &Path, sidecar: Option<&Who>, report: &mut Report) {
    let above = path.ancestors().skip(1).find_map(|above| Some((above, std::fs::metadata(above).ok()?)));
    let (Some((above, found)), Some(sidecar)) = (above, sidecar) else { return };
    if sidecar.may(3, found.mode(), found.uid(), found.gid()) {
        return;
    }
    report.add(
        Finding::new(
            "directory.missing",
            Severity::Error,
            format!("the store directory is not there, and the sidecar ({sidecar}) can't make it"),
            "the sidecar does not start",
            format!(
                "make it, for example with conf/systemd/satchel.tmpfiles, or as root:\n$ install -d -m 0770 -o {} -g {} {}",
                sidecar.uid,
                sidecar.gid,
                word(path)
            ),
        )
        .of(above),
    );
}

fn mode(path: &Path, found: &Metadata, report: &mut Report) {
    if found.mode() & 0o007 != 0 {
        report.add(
            Finding::new(
                "directory.open",
                Severity::Error,
                format!(
                    "mode {:04o} lets other users of this machine into the store directory",
                    found.mode() & 0o7777
                ),
                "who can write there can run code in Tomcat; the sidecar does not start",
                format!("$ chmod o-rwx {}", word(path)),
            )
            .of(path),
        );
    }
}

/// The way to it.
fn above(path: &Path, sidecar: Option<&Who>, report: &mut Report) {
    if let Some(sidecar) = sidecar
        && let Ok(Some((which, uid))) = way::foreign(path, sidecar.uid, |gid| sidecar.is_in(gid))
    {
        report.add(
            Finding::new(
                "directory.owner",
                Severity::Error,
                format!("it belongs to uid {uid}, who is neither root, nor the sidecar's user (uid {}), nor Tomcat's", sidecar.uid),
                "that user can put another directory in the place of the store directory, and so run code in Tomcat; the sidecar does not start",
                format!("$ chown {} {}", sidecar.uid, word(&which)),
            )
            .of(which),
        );
    }
    if let Some(which) = way::open_to_all(path) {
        report.add(
            Finding::new(
                "directory.open_above",
                Severity::Warning,
                "every user of this machine can rename what is in this directory, which is above the store directory",
                "he can put another directory in the place of the store directory, and so run code in Tomcat (in a pod there is no other user)",
                format!("$ chmod o-w {}", word(&which)),
            )
            .of(which),
        );
    }
}

/// What it is mounted on.
fn mount(path: &Path, max: u64, report: &mut Report) {
    let on_disk = rustix::fs::statfs(path).is_ok_and(|found| !IN_MEMORY.contains(&(found.f_type as u32)));
    if on_disk {
        report.add(
            Finding::new(
                "directory.disk",
                Severity::Warning,
                "the store directory is not on a tmpfs",
                "each request with a session writes a file there, and sessions stay on the disk when the machine is lost",
                format!(
                    "let [[context]] and <Store> name a directory below /dev/shm, or mount a tmpfs there, as root:\n\
                     $ mount -t tmpfs -o size=256m,mode=0770,uid={},gid={} none {}",
                    std::fs::metadata(path).map_or(0, |found| found.uid()),
                    std::fs::metadata(path).map_or(0, |found| found.gid()),
                    word(path)
                ),
            )
            .of(path),
        );
    }
    let Ok(found) = rustix::fs::statvfs(path) else { return };
    // Tried, where that can be: a file system may do as it likes.
    let name = format!(".satchel-doctor-{}", std::process::id());
    let still = match access_times_move(path, &name) {
        Ok(moves) => !moves,
        Err(_) => found.f_flag.contains(StatVfsMountFlags::NOATIME),
    };
    if still {
        let mounted = mount_point(path).unwrap_or_else(|| path.to_owned());
        report.add(
            Finding::new(
                "directory.noatime",
                Severity::Error,
                "access times do not move in the store directory",
                "the sidecar learns from them that Tomcat has read a session; it does not start",
                format!(
                    "mount it without noatime (also in /etc/fstab), as root:\n$ mount -o remount,atime,relatime {}",
                    word(&mounted)
                ),
            )
            .of(path),
        );
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free < max.saturating_mul(2) {
        report.add(
            Finding::new(
                "directory.space",
                Severity::Warning,
                format!("the store directory has room for {} MiB more", free >> 20),
                "it holds the sessions of all requests that run; what does not fit Tomcat can't save, and answers 200 all the same",
                format!(
                    "give the mount more room, as root:\n$ mount -o remount,size=256m {}",
                    word(&mount_point(path).unwrap_or_else(|| path.to_owned()))
                ),
            )
            .of(path),
        );
    }
}

/// The mount that a path is on (proc(5), `mountinfo`).
fn mount_point(path: &Path) -> Option<PathBuf> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let points =
        mounts.lines().filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?.replace("\\040", " "))));
    points.filter(|point| path.starts_with(point)).max_by_key(|point| point.as_os_str().len())
}

/// Whether each can read what the other writes.
fn groups(path: &Path, found: &Metadata, sidecar: &Who, tomcat: &Who, report: &mut Report) {
    if sidecar.uid == tomcat.uid {
        return;
    }
    let is_set_gid = found.mode() & 0o2000 != 0;
    let theirs = if is_set_gid { found.gid() } else { tomcat.gid };
    let ours = if is_set_gid { found.gid() } else { sidecar.gid };
    let sidecar_reads = sidecar.uid == 0 || sidecar.is_in(theirs);
    let tomcat_reads = tomcat.uid == 0 || tomcat.is_in(ours);
    if !sidecar_reads || !tomcat_reads {
        let (who, whose) = if sidecar_reads { ("Tomcat", "the sidecar") } else { ("the sidecar", "Tomcat") };
        report.add(
            Finding::new(
                "directory.group",
                Severity::Error,
                format!("{who} can't read what {whose} writes there: the sidecar is {sidecar}, Tomcat {tomcat}, the directory's gid {}", found.gid()),
                "sessions can't be handed over: such requests are answered 503",
                share(path, Some(sidecar), Some(tomcat)),
            )
            .of(path),
        );
    }
}

/// What Tomcat's umask leaves of the rights of its files (catalina.sh: 0027).
fn umask(tomcat: &Tomcat, directory: &Path, sidecar: &Who, report: &mut Report) {
    let (Some(umask), place) = tomcat.umask() else { return };
    let is_same = tomcat.process.as_ref().is_some_and(|process| process.who.uid == sidecar.uid);
    // As long as nothing runs, the directory's owner is Tomcat or the sidecar: with one user for both there is no other group to think of.
    let shares = match &tomcat.process {
        Some(_) => !is_same && sidecar.uid != 0,
        None => std::fs::metadata(directory).is_ok_and(|found| found.uid() != sidecar.uid),
    };
    let (id, what, why) = if umask & 0o700 != 0 || shares && umask & 0o040 != 0 {
        (
            "umask.closed",
            format!("Tomcat's umask is {umask:04o}: what it writes the sidecar can't read"),
            "each request that changes its session is answered 503",
        )
    } else if umask & 0o007 != 0o007 {
        (
            "umask.open",
            format!("Tomcat's umask is {umask:04o}: other users of this machine get rights to what it makes"),
            "a store directory that Tomcat makes is open to all, and the sidecar does not start with one",
        )
    } else {
        return;
    };
    let severity = if id == "umask.closed" { Severity::Error } else { Severity::Warning };
    let setenv = tomcat.base.join("bin/setenv.sh");
    let fix = format!(
        "set it where catalina.sh looks for it, and restart Tomcat:\n$ mkdir -p {}\n$ echo 'UMASK=0027' >> {}",
        word(&tomcat.base.join("bin")),
        word(&setenv)
    );
    report.add(
        Finding::new(id, severity, what, why, fix)
            .at(place.unwrap_or(crate::doctor::Place { path: setenv, at: None })),
    );
}
