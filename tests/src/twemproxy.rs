//! A real twemproxy (`nutcracker`) in front of one memcached.

use std::net::TcpStream;

use crate::process::Process;
use crate::{Memcached, eventually, needs, ports};

/// A running twemproxy.
pub struct Twemproxy {
    port: u16,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl Twemproxy {
    /// In front of `node`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(node: &Memcached) -> Self {
        needs::ensure_twemproxy();
        let directory = tempfile::tempdir().unwrap();
        let (port, stats) = (ports::free(), ports::free());
        let config = directory.path().join("nutcracker.yml");
        // No `auto_eject_hosts`: it would send a session elsewhere, and then back to an old copy.
        let text = format!(
            "sessions:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 400\n  \
             auto_eject_hosts: false\n  servers:\n   - 127.0.0.1:{}:1\n",
            node.port()
        );
        std::fs::write(&config, text).unwrap();
        let program = needs::find("nutcracker").unwrap();
        let log = directory.path().join("log");
        let process = Process::start("twemproxy", &program, &directory.path().join("out"), |command| {
            command.arg("-c").arg(&config).arg("-o").arg(&log);
            command.args(["-a", "127.0.0.1", "-s", &stats.to_string()]);
        });
        eventually("twemproxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, _process: process, _directory: directory }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}
