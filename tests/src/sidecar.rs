//! A real sidecar process.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::process::{Process, User};
use crate::{Client, Memcached, Tomcat, binaries, eventually, ports};

/// 32 bytes in base64, for tests only.
pub const KEY: &str = "dGVzdCBrZXkgdGVzdCBrZXkgdGVzdCBrZXkgdGVzdCE=";

/// Describes a sidecar.
pub struct Builder {
    tomcat_port: u16,
    contexts: Vec<(String, PathBuf)>,
    nodes: Vec<(String, u16)>,
    settings: Vec<(String, String)>,
    user: Option<User>,
    hosts: Option<PathBuf>,
    context_lines: Vec<String>,
    program: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

/// How its process is started.
struct Launch {
    user: Option<User>,
    hosts: Option<PathBuf>,
    program: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

/// A running sidecar.
pub struct Sidecar {
    process: Process,
    port: u16,
    admin: u16,
    how: Launch,
    directory: tempfile::TempDir,
}

impl Sidecar {
    /// A sidecar beside this Tomcat, with its contexts.
    pub fn beside(tomcat: &Tomcat) -> Builder {
        Self::of(tomcat.port(), &tomcat.contexts)
    }

    /// A sidecar beside a Tomcat on this port, with these contexts.
    pub fn of(tomcat_port: u16, contexts: &[(String, PathBuf)]) -> Builder {
        Builder {
            tomcat_port,
            contexts: contexts.to_vec(),
            nodes: Vec::new(),
            settings: Vec::new(),
            user: None,
            hosts: None,
            context_lines: Vec::new(),
            program: None,
            environment: Vec::new(),
        }
    }

    /// One with a configuration of one's own, in which it has these ports of 127.0.0.1 for requests and for its counters.
    ///
    /// # Panics
    /// When it is not ready.
    pub fn run(config: &str, port: u16, admin: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("sidecar.toml"), config).unwrap();
        let how = Launch { user: None, hosts: None, program: None, environment: Vec::new() };
        let mut sidecar = Self { process: launch(&directory, &how), port, admin, how, directory };
        sidecar.await_ready();
        sidecar
    }

    /// The port for requests, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of its counters.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// A client of this sidecar.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it if it runs and starts it again with the same configuration.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.directory, &self.how);
        self.await_ready();
    }

    /// Kills it and starts it again with a line of its configuration changed.
    ///
    /// # Panics
    /// When the configuration has no such text.
    pub fn restart_with(&mut self, find: &str, replace: &str) {
        self.change(find, replace);
        self.restart();
    }

    /// Changes its configuration and sends SIGHUP. Waits for nothing.
    pub fn reload_with(&self, find: &str, replace: &str) {
        self.change(find, replace);
        self.process.signal(Signal::HUP);
    }

    /// How often it has reloaded its configuration.
    pub fn reloads(&self) -> usize {
        self.log().matches("Configuration reloaded").count()
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("sidecar.toml")
    }

    /// Changes a line of its configuration file.
    ///
    /// # Panics
    /// When the configuration has no such text.
    pub fn change(&self, find: &str, replace: &str) {
        let path = self.configuration();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(find), "{find} in {text}");
        std::fs::write(&path, text.replace(find, replace)).unwrap();
    }

    /// A counter: `metric("conflicts")` is `satchel_sidecar_conflicts_total`. Of one with labels the sum.
    ///
    /// # Panics
    /// When there is no such counter.
    pub fn metric(&self, name: &str) -> u64 {
        let text = Client::new(self.admin).get("/metrics").text();
        let name = format!("satchel_sidecar_{name}_total");
        let value = |line: &str| -> Option<u64> {
            let rest = line.strip_prefix(&name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse().ok())?
        };
        let values: Vec<u64> = text.lines().filter_map(value).collect();
        assert!(!values.is_empty(), "no counter {name}");
        values.iter().sum()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn await_ready(&mut self) {
        let (admin, port) = (self.admin, self.port);
        eventually("the sidecar is ready", || {
            assert!(self.process.is_running(), "the sidecar ended: {}", self.process.log());
            let ready = Client::new(admin).try_send("GET", "/ready", &[], b"");
            ready.is_ok_and(|response| response.status == 200)
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }
}

impl Builder {
    /// The nodes, in order.
    #[must_use]
    pub fn nodes(mut self, nodes: &[(&str, &Memcached)]) -> Self {
        self.nodes = nodes.iter().map(|(name, node)| ((*name).to_owned(), node.port())).collect();
        self
    }

    /// It has this file as `/etc/hosts`. Needs root.
    #[must_use]
    pub fn hosts(mut self, file: &Path) -> Self {
        self.hosts = Some(file.to_owned());
        self
    }

    /// Nodes `n1`, `n2`, … on these ports.
    #[must_use]
    pub fn nodes_at(mut self, ports: &[u16]) -> Self {
        self.nodes = (1..).zip(ports).map(|(n, port)| (format!("n{n}"), *port)).collect();
        self
    }

    /// It reaches its Tomcat through this port.
    #[must_use]
    pub fn tomcat_at(mut self, port: u16) -> Self {
        self.tomcat_port = port;
        self
    }

    /// Another program in place of the product's.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line for every `[[context]]`, or, called several times, for one after the other.
    #[must_use]
    pub fn context_line(mut self, line: &str) -> Self {
        self.context_lines.push(line.to_owned());
        self
    }

    /// A setting: `set("session.backup_timeout", "\"1s\"")`, its value in TOML. A key without a table belongs to the top.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Several settings.
    #[must_use]
    pub fn set_all(mut self, settings: &[(String, String)]) -> Self {
        self.settings.extend_from_slice(settings);
        self
    }

    /// Its store directories are below this one, in place of Tomcat's.
    #[must_use]
    pub fn directories_below(mut self, base: &Path) -> Self {
        for (n, (_, directory)) in self.contexts.iter_mut().enumerate() {
            *directory = base.join(format!("store-{n}"));
        }
        self
    }

    /// Whom it runs as.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it is not.
    pub fn start(self) -> Sidecar {
        let mut sidecar = self.launch();
        sidecar.await_ready();
        sidecar
    }

    /// Starts it where it must refuse to run.
    ///
    /// # Panics
    /// When it runs.
    pub fn refusal(self) -> String {
        let mut sidecar = self.launch();
        eventually("the sidecar has ended", || sidecar.process.exit_code().is_some());
        assert_ne!(sidecar.process.exit_code(), Some(0), "{}", sidecar.log());
        sidecar.log()
    }

    /// Only writes its configuration: a directory with `sidecar.toml`.
    ///
    /// # Panics
    /// When that can't be written.
    pub fn write(&self) -> tempfile::TempDir {
        self.write_for(ports::free(), ports::free())
    }

    fn write_for(&self, port: u16, admin: u16) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sidecar.toml");
        std::fs::write(&file, self.config(port, admin)).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        if let Some(user) = self.user {
            chown(&file, None, Some(user.gid)).unwrap();
            std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    fn launch(self) -> Sidecar {
        let (port, admin) = (ports::free(), ports::free());
        let directory = self.write_for(port, admin);
        let Self { user, hosts, program, environment, .. } = self;
        let how = Launch { user, hosts, program, environment };
        Sidecar { process: launch(&directory, &how), port, admin, how, directory }
    }

    fn config(&self, port: u16, admin: u16) -> String {
        let mut text = format!("listen = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin}\"\n");
        for (key, value) in self.settings.iter().filter(|(key, _)| !key.contains('.')) {
            let _ = writeln!(text, "{key} = {value}");
        }
        let lines = self.context_lines.iter().map(String::as_str);
        let lines = lines.chain(std::iter::repeat(self.context_lines.last().map_or("", String::as_str)));
        for ((path, directory), line) in self.contexts.iter().zip(lines) {
            let path = if path.is_empty() { "/" } else { path };
            let _ = write!(
                text,
                "\n[[context]]\npath = \"{path}\"\ndirectory = \"{}\"\n{line}\n",
                directory.display()
            );
        }
        let nodes: Vec<_> =
            self.nodes.iter().map(|(name, port)| format!("{name}:127.0.0.1:{port}")).collect();
        let quoted = |value: &str| format!("\"{value}\"");
        self.table(&mut text, "tomcat", &[("address", quoted(&format!("127.0.0.1:{}", self.tomcat_port)))]);
        self.table(&mut text, "session", &[("farm", quoted("test"))]);
        self.table(&mut text, "memcached", &[("nodes", quoted(&nodes.join(", ")))]);
        self.table(
            &mut text,
            "record",
            &[("keys", format!("[{}]", quoted(KEY))), ("index_key", quoted(KEY))],
        );
        text
    }

    /// A table with our values, where none was set.
    fn table(&self, text: &mut String, name: &str, ours: &[(&str, String)]) {
        let prefix = format!("{name}.");
        let set: Vec<_> = self
            .settings
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value.clone())))
            .collect();
        let _ = writeln!(text, "\n[{name}]");
        let left = ours.iter().filter(|(key, _)| !set.iter().any(|(other, _)| other == key));
        for (key, value) in left.cloned().chain(set.iter().cloned()) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
}

fn launch(directory: &tempfile::TempDir, how: &Launch) -> Process {
    let log = directory.path().join("log");
    let sidecar = how.program.clone().unwrap_or_else(|| binaries::binary("sidecar"));
    let program = if how.hosts.is_some() { Path::new("unshare") } else { &sidecar };
    Process::start_as(how.user, "sidecar", program, &log, |command| {
        command.envs(how.environment.iter().cloned());
        if let Some(hosts) = &how.hosts {
            command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
            command.arg(hosts).arg(&sidecar);
        }
        command.arg("--config").arg(directory.path().join("sidecar.toml"));
    })
}
