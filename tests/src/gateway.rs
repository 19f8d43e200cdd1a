//! A real gateway process.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::process::{Process, User};
use crate::{Client, binaries, eventually, ports};

/// Describes a gateway.
#[derive(Default)]
pub struct Builder {
    servers: Vec<(u16, u32, String)>,
    port: Option<u16>,
    access_log: Option<PathBuf>,
    top: String,
    settings: String,
    user: Option<User>,
}

/// A running gateway.
pub struct Gateway {
    process: Process,
    port: u16,
    directory: tempfile::TempDir,
}

impl Gateway {
    /// A gateway without servers yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One with a configuration of one's own, which is to listen on this port of 127.0.0.1. It is shown the gateway's directory, too.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(config: impl FnOnce(u16, &Path) -> String) -> Self {
        let port = ports::free();
        Self::start_at(local(port), None, |directory| config(port, directory))
    }

    /// One with a configuration of one's own, in which it listens at `address`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(config: &str, address: SocketAddr) -> Self {
        Self::start_at(address, None, |_| config.to_owned())
    }

    fn start_at(address: SocketAddr, user: Option<User>, config: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        std::fs::write(directory.path().join("gateway.toml"), &config).unwrap();
        let admin = config.lines().find_map(|line| line.strip_prefix("admin = \"")?.strip_suffix('"'));
        if let Some(user) = user {
            chown(directory.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let mut process = launch(directory.path(), "log", &[], user);
        eventually("the gateway listens", || {
            assert!(process.is_running(), "the gateway ended: {}", process.log());
            TcpStream::connect(address).is_ok() && admin.is_none_or(|admin| TcpStream::connect(admin).is_ok())
        });
        Self { process, port: address.port(), directory }
    }

    /// Its directory: its configuration is `gateway.toml` in it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Changes a line of its configuration file.
    ///
    /// # Panics
    /// When the configuration has no such text.
    pub fn change(&self, find: &str, replace: &str) {
        let path = self.directory.path().join("gateway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(find), "{find} in {text}");
        std::fs::write(&path, text.replace(find, replace)).unwrap();
    }

    /// Sends SIGHUP and waits until the configuration is taken over.
    pub fn reload(&self) {
        let before = self.reloads();
        self.process_signal_hup();
        eventually("the gateway has reloaded", || self.reloads() > before);
    }

    /// Sends SIGHUP and waits for nothing.
    pub fn process_signal_hup(&self) {
        self.process.signal(Signal::HUP);
    }

    fn reloads(&self) -> usize {
        self.log().matches("Configuration reloaded").count()
    }

    /// Starts a new process that takes the listeners over, and returns the old one, which ends when it is idle.
    ///
    /// # Panics
    /// When the new one does not start.
    pub fn upgrade(&mut self, log: &str) -> Process {
        let new = launch(self.directory.path(), log, &["--upgrade"], None);
        let old = std::mem::replace(&mut self.process, new);
        eventually("the new process waits for the listeners", || {
            self.directory.path().join("upgrade.sock").exists()
        });
        old.signal(Signal::QUIT);
        eventually("the new process listens", || self.log().contains("Listening on"));
        old
    }

    /// Kills it if it runs and starts it again with the same configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(self.directory.path(), "log", &[], None);
        eventually("the gateway listens again", || {
            assert!(self.process.is_running(), "the gateway ended: {}", self.process.log());
            TcpStream::connect(local(self.port)).is_ok()
        });
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

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
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
        self.servers.push((port, weight, String::new()));
        self
    }

    /// A line of the `[[upstream.server]]` table of the server that was named last.
    #[must_use]
    pub fn server_line(mut self, line: &str) -> Self {
        if let Some((_, _, lines)) = self.servers.last_mut() {
            let _ = writeln!(lines, "{line}");
        }
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

    /// Whom it runs as.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// A line of the top.
    #[must_use]
    pub fn set_top(mut self, line: &str) -> Self {
        let _ = writeln!(self.top, "{line}");
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
        let access_log = self.access_log.as_ref().map_or("off".into(), |path| path.display().to_string());
        let mut text = format!(
            "{}[access_log]\npath = \"{access_log}\"\n\n[[upstream]]\nname = \"tomcats\"\n",
            self.top
        );
        for (server, weight, lines) in &self.servers {
            let _ = write!(
                text,
                "[[upstream.server]]\naddress = \"127.0.0.1:{server}\"\nweight = {weight}\n{lines}"
            );
        }
        let _ =
            write!(text, "\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://tomcats\"\n");
        if !self.settings.contains("client_max_body_size") {
            text.push_str("client_max_body_size = \"100m\"\n");
        }
        text.push_str(&self.settings);
        Gateway::start_at(local(port), self.user, |_| text)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn launch(directory: &Path, log: &str, arguments: &[&str], user: Option<User>) -> Process {
    Process::start_as(user, "gateway", &binaries::binary("gateway"), &directory.join(log), |command| {
        command.arg("--config").arg(directory.join("gateway.toml")).args(arguments);
    })
}
