//! A DNS server of our own: dnsmasq.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::process::Process;
use crate::{needs, ports};

/// A running DNS server.
pub struct Dns {
    process: Process,
    port: u16,
    hosts: PathBuf,
    _directory: tempfile::TempDir,
}

impl Dns {
    /// Knows these lines of a hosts file, and what further arguments say.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(hosts: &str, arguments: &[String]) -> Self {
        needs::ensure_clients();
        let directory = tempfile::tempdir().unwrap();
        let (port, path) = (ports::free(), directory.path().join("hosts"));
        std::fs::write(&path, hosts).unwrap();
        let program = needs::find("dnsmasq").unwrap();
        let process = Process::start("dnsmasq", &program, &directory.path().join("log"), |command| {
            command.args(["--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces", "--local-ttl=1"]);
            command.args([
                "--listen-address=127.0.0.1",
                "--user=root",
                "--conf-file=/dev/null",
                &format!("--port={port}"),
            ]);
            command.arg(format!("--addn-hosts={}", path.display())).args(arguments);
        });
        Self { process, port, hosts: path, _directory: directory }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it knows these lines.
    ///
    /// # Panics
    /// When they can't be written.
    pub fn change(&self, hosts: &str) {
        std::fs::write(&self.hosts, hosts).unwrap();
        self.process.signal(Signal::HUP);
    }
}
