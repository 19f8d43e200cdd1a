//! The least that a Pingora proxy can be, as a measure for the product.

use std::net::TcpStream;

use crate::process::Process;
use crate::{binaries, eventually, ports};

/// A running `minimal-proxy`.
pub struct Minimal {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Minimal {
    /// In front of this port of 127.0.0.1.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(server: u16) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), ports::free());
        let program = binaries::minimal_proxy();
        let process = Process::start("minimal-proxy", &program, &directory.path().join("log"), |command| {
            command.args([format!("127.0.0.1:{port}"), format!("127.0.0.1:{server}")]);
        });
        eventually("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
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
