//! What the tests and the demo need on the machine: found, or installed when we may.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Debian's Tomcat 10.1, complete.
pub const DEBIAN_TOMCAT: &str = "/usr/share/tomcat10";
/// Its example applications.
pub const DEBIAN_EXAMPLES: &str = "/usr/share/tomcat10-examples/examples";

/// Makes sure that memcached, Tomcat 10.1 and a JDK are there.
///
/// # Panics
/// With what to run when they are not and can't be installed.
pub fn ensure() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| install(missing));
}

/// Makes sure that twemproxy is there.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_twemproxy() {
    install(|| if find("nutcracker").is_none() { vec!["nutcracker"] } else { Vec::new() });
}

/// Installs what loads and looks at gateways: `h2load`, `wrk`, `curl`, and `dnsmasq`, where they are missing.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_clients() {
    install(|| {
        let all =
            [("h2load", "nghttp2-client"), ("wrk", "wrk"), ("curl", "curl"), ("dnsmasq", "dnsmasq-base")];
        all.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect()
    });
}

/// Makes sure that nginx is there; the smallest of Debian's packages, and never its service.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_nginx() {
    install(|| if find("nginx").is_none() { vec!["nginx-light"] } else { Vec::new() });
}

/// Makes sure that HAProxy is there.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_haproxy() {
    install(|| if find("haproxy").is_none() { vec!["haproxy"] } else { Vec::new() });
}

/// Makes sure that a browser and its driver are there.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_browser() {
    install(|| {
        let all = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];
        all.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect()
    });
}

/// Makes sure that Prometheus is there, with its `promtool`; never its service.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_prometheus() {
    install(|| if find("prometheus").is_none() { vec!["prometheus"] } else { Vec::new() });
}

/// Makes sure that there is a Python that can make environments of its own.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_python() {
    install(|| {
        let has = |module: &str| {
            let python = find("python3").map(|python| Command::new(python).args(["-c", module]).output());
            python.is_some_and(|output| output.is_ok_and(|output| output.status.success()))
        };
        if has("import ensurepip, venv") { Vec::new() } else { vec!["python3-venv"] }
    });
}

/// Makes sure that the example applications of Debian's Tomcat are there.
///
/// # Panics
/// As [`ensure`].
pub fn ensure_examples() {
    install(|| if Path::new(DEBIAN_EXAMPLES).exists() { Vec::new() } else { vec!["tomcat10-examples"] });
}
fn install(missing: fn() -> Vec<&'static str>) {
    let lock = File::create(std::env::temp_dir().join("satchel-install.lock")).unwrap();
    lock.lock().unwrap();
    let missing = missing();
    if missing.is_empty() {
        return;
    }
    let install =
        format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    assert!(
        rustix::process::geteuid().is_root() && find("apt-get").is_some(),
        "these packages are missing: {}. As root run: {install}",
        missing.join(" ")
    );
    eprintln!("installing {}", missing.join(" "));
    // RUNLEVEL=1: the packages' own services are not started.
    let status = Command::new("sh")
        .args(["-c", &format!("({install}) >&2")])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .status()
        .unwrap();
    assert!(status.success(), "could not install them; as root run: {install}");
}

fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if find("memcached").is_none() {
        missing.push("memcached");
    }
    if !Path::new(DEBIAN_TOMCAT).join("bin/bootstrap.jar").exists() {
        missing.push("tomcat10");
    }
    if find("javac").is_none() {
        missing.push("default-jdk-headless");
    }
    if find("setpriv").is_none() {
        missing.push("util-linux");
    }
    missing
}

/// A program on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Says that a test, or a part of one, can't run here. libtest keeps what a passing test prints to itself, and this must
/// be seen.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}
