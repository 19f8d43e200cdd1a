//! A real HAProxy, in one process and with one thread.

use std::fmt::Write as _;
use std::net::TcpStream;

use crate::process::Process;
use crate::{eventually, needs, ports};

/// A running HAProxy.
pub struct Haproxy {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Haproxy {
    /// In front of these servers on 127.0.0.1, as its own manual's examples have it: connections to the servers are
    /// kept and shared, and the client's address is passed on.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(servers: &[u16]) -> Self {
        needs::ensure_haproxy();
        let (directory, port) = (tempfile::tempdir().unwrap(), ports::free());
        let mut config = format!(
            "global\n nbthread 1\n maxconn 4000\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n option forwardfor\n\
             frontend in\n bind 127.0.0.1:{port}\n default_backend out\n\
             backend out\n balance roundrobin\n http-reuse always\n"
        );
        for (n, server) in servers.iter().enumerate() {
            let _ = writeln!(config, " server s{n} 127.0.0.1:{server}");
        }
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let program = needs::find("haproxy").unwrap();
        let mut process = Process::start("haproxy", &program, &directory.path().join("log"), |command| {
            command.arg("-db").arg("-f").arg(&file);
        });
        eventually("haproxy listens", || {
            assert!(process.is_running(), "haproxy ended: {}", process.log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { process, port, _directory: directory }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
