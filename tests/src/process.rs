//! A child process that dies with its handle, and with this process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A running program.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// What starts a program at most so often when its port turns out to be taken.
pub const ATTEMPTS: usize = 5;

impl Process {
    /// Starts `program` with its output in `log`. `setpriv` makes it die with the thread that calls this; that
    /// needs no unsafe code here.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, program: &Path, log: &Path, build: impl FnOnce(&mut Command)) -> Self {
        Self::start_with(&[], name, program, log, build)
    }

    /// The same with further options for `setpriv`. A program that changes its own user would lose the signal
    /// that ends it with us, so it is started as that user.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_with(
        options: &[&str],
        name: &str,
        program: &Path,
        log: &Path,
        build: impl FnOnce(&mut Command),
    ) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(options).args(["--pdeathsig", "KILL", "--"]).arg(program);
        build(&mut command);
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        // Ctrl-C on the terminal is for us; we end the children.
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name: name.to_owned(), log: log.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Where it writes to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whether it could not have the port that it was given.
    pub fn found_port_taken(&self) -> bool {
        let log = self.log().to_lowercase();
        log.contains("address already in use") || log.contains("address in use")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its exit status, when it has ended; -1 when a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn await_end(&mut self) -> i32 {
        let name = self.name.clone();
        crate::eventually(&format!("{name} ends"), || !self.is_running());
        self.exit_code().unwrap()
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
        self.status_kib("RssAnon:")
    }

    /// All memory that it has resident, in KiB (`VmRSS`).
    pub fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn rustix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }
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

/// What every handle of a program offers of its process.
macro_rules! process_handle {
    ($handle:ty) => {
        impl $handle {
            /// The process: exit status, any signal, memory.
            pub fn process(&mut self) -> &mut $crate::process::Process {
                &mut self.process
            }

            /// The process id.
            pub fn pid(&self) -> u32 {
                self.process.pid()
            }

            /// What it has written so far.
            pub fn log(&self) -> String {
                self.process.log()
            }

            /// Where it writes to.
            pub fn log_path(&self) -> &std::path::Path {
                self.process.log_path()
            }

            /// SIGKILL, and waits until it is gone.
            pub fn kill9(&mut self) {
                self.process.kill9();
            }

            /// SIGTERM; does not wait.
            pub fn terminate(&self) {
                self.process.terminate();
            }

            /// SIGSTOP, and waits until it is stopped.
            pub fn stop_signal(&self) {
                self.process.stop();
            }

            /// SIGCONT.
            pub fn cont(&self) {
                self.process.cont();
            }

            /// All memory that it has resident, in KiB.
            pub fn rss_kib(&self) -> u64 {
                self.process.rss_kib()
            }
        }
    };
}
pub(crate) use process_handle;
