//! A child process that dies with its handle, and with this process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A running program.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// Whom a process runs as.
#[derive(Debug, Clone, Copy)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// One more group.
    pub group: Option<u32>,
}

impl User {
    /// `program` run by it, for root to start.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(self.arguments()).arg("--").arg(program);
        command
    }

    /// For setpriv.
    fn arguments(self) -> Vec<String> {
        let mut arguments =
            vec!["--reuid".into(), self.uid.to_string(), "--regid".into(), self.gid.to_string()];
        match self.group {
            Some(group) => arguments.extend(["--groups".into(), group.to_string()]),
            None => arguments.push("--clear-groups".into()),
        }
        arguments
    }
}

/// Debian's `nobody`.
pub const NOBODY: User = User { uid: 65534, gid: 65534, group: None };

impl Process {
    /// Starts `program` with its output in `log`. `setpriv` makes it die with this process; that needs no
    /// unsafe code here.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, program: &Path, log: &Path, build: impl FnOnce(&mut Command)) -> Self {
        Self::start_as(None, name, program, log, build)
    }

    /// The same as another user, when this process is root. A program that changes its own user would outlive us.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_as(
        user: Option<User>,
        name: &str,
        program: &Path,
        log: &Path,
        build: impl FnOnce(&mut Command),
    ) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("setpriv");
        if let Some(user) = user.filter(|_| rustix::process::geteuid().is_root()) {
            command.args(user.arguments());
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        build(&mut command);
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name: name.to_owned(), log: log.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its exit status, when it has ended.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.rustix_pid(), signal);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; does not wait.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP, and waits until it is stopped.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid());
        crate::eventually("the process is stopped", || {
            std::fs::read_to_string(&stat)
                .is_ok_and(|text| text.rsplit(") ").next().is_some_and(|s| s.starts_with('T')))
        });
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Memory that belongs to the process alone, in KiB (`RssAnon`).
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.pid())
    }

    /// The most memory that it has had at one time, in KiB (`VmHWM`).
    pub fn peak_kib(&self) -> u64 {
        status_kib(self.pid(), "VmHWM:")
    }

    /// By how much, in KiB, [`Self::peak_kib`] is above an earlier one. The kernel rounds it core by core: it can be below that, too.
    pub fn peak_above(&self, earlier: u64) -> u64 {
        self.peak_kib().saturating_sub(earlier)
    }

    /// How many files without a name it has open.
    pub fn unnamed_files(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let target = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).ok();
        let is_file = |path: &PathBuf| {
            let path = path.to_string_lossy();
            path.starts_with('/') && path.ends_with(" (deleted)")
        };
        open.filter_map(target).filter(is_file).count()
    }

    fn rustix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }
}

/// As [`Process::memory_kib`], of any process.
pub fn memory_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- {} ---", self.name);
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
