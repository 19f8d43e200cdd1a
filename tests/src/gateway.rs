//! A real gateway process.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::{Client, binaries, eventually, ports};

/// Describes a gateway.
#[derive(Default)]
pub struct Builder {
    servers: Vec<(u16, u32)>,
    port: Option<u16>,
    access_log: Option<PathBuf>,
    settings: String,
}

/// A running gateway.
pub struct Gateway {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Gateway {
    /// A gateway without servers yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of this gateway.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Builder {
    /// A server on 127.0.0.1.
    #[must_use]
    pub fn server(mut self, port: u16, weight: u32) -> Self {
        self.servers.push((port, weight));
        self
    }

    /// Listens there; `None`: on a port that the harness hands out.
    #[must_use]
    pub fn listen_at(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// Logs requests to this file; otherwise they are not logged.
    #[must_use]
    pub fn access_log(mut self, path: &Path) -> Self {
        self.access_log = Some(path.to_owned());
        self
    }

    /// A line of the `[[server]]` table.
    #[must_use]
    pub fn set(mut self, line: &str) -> Self {
        let _ = writeln!(self.settings, "{line}");
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(self) -> Gateway {
        let port = self.port.unwrap_or_else(ports::free);
        let directory = tempfile::tempdir().unwrap();
        let access_log = self.access_log.as_ref().map_or("off".into(), |path| path.display().to_string());
        let mut text = format!("[access_log]\npath = \"{access_log}\"\n\n[[upstream]]\nname = \"tomcats\"\n");
        for (server, weight) in &self.servers {
            let _ =
                write!(text, "[[upstream.server]]\naddress = \"127.0.0.1:{server}\"\nweight = {weight}\n");
        }
        let _ =
            write!(text, "\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://tomcats\"\n");
        if !self.settings.contains("client_max_body_size") {
            text.push_str("client_max_body_size = \"100m\"\n");
        }
        text.push_str(&self.settings);
        let config = directory.path().join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        let log = directory.path().join("log");
        let mut process = Process::start("gateway", &binaries::binary("gateway"), &log, |command| {
            command.arg("--config").arg(&config);
        });
        eventually("the gateway listens", || {
            assert!(process.is_running(), "the gateway ended: {}", process.log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Gateway { process, port, _directory: directory }
    }
}
