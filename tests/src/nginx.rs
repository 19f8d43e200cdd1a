//! A real nginx, in one process and in the foreground.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::{Client, eventually, needs};

/// Temporary files go to the process's own directory.
const TEMP_PATHS: &str = "client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi; \
                              uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;";

/// A running nginx.
pub struct Nginx {
    process: Process,
    config: PathBuf,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// With this `nginx.conf`, which has these ports of 127.0.0.1 and a line `http {`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(config: &str, ports: &[u16]) -> Self {
        needs::ensure_nginx();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let run = directory.path().join("run.conf");
        std::fs::write(&run, config.replacen("http {", &format!("http {{ {TEMP_PATHS}"), 1)).unwrap();
        // Without a master there is no worker that would outlive a killed one. Its words for that are no part of the configuration.
        let own = format!("daemon off; master_process off; pid {}/pid;", directory.path().display());
        let program = needs::find("nginx").unwrap();
        let mut process = Process::start("nginx", &program, &directory.path().join("log"), |command| {
            command.arg("-p").arg(directory.path()).arg("-c").arg(&run);
            command.args(["-e", "stderr", "-g", &own]);
        });
        for port in ports {
            eventually("nginx listens", || {
                assert!(process.is_running(), "nginx ended: {}", process.log());
                TcpStream::connect(("127.0.0.1", *port)).is_ok()
            });
        }
        Self { process, config: file, _directory: directory }
    }

    /// Its `nginx.conf`, without the words of the harness.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A client of it.
    pub fn client(&self, port: u16) -> Client {
        Client::new(port)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
