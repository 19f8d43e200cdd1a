//! The sidecar's own configuration.

use std::path::Path;

use satchel_common::exposure;

use super::{Finding, Report, Severity};
use crate::config::Config;
use crate::shown::word;

/// Reads it. `None`: it can't be used, and that is said.
pub fn check(path: &Path, report: &mut Report) -> Option<Config> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            let why = "the sidecar does not start with it";
            let fix = "mend what it says; conf/sidecar.toml shows every key";
            report.add(Finding::new("config.invalid", Severity::Error, error.to_string(), why, fix).of(path));
            return None;
        }
    };
    if config.keys.is_empty() {
        report.add(
            Finding::new(
                "config.encryption",
                Severity::Error,
                "record.encryption is \"off\"",
                "who can write memcached can run code in Tomcat, and who can read it has every session",
                "remove it, and give every sidecar the same keys (`sidecar --new-keys` prints some)",
            )
            .of(path),
        );
    } else if exposure::of_secrets("", path).is_some() {
        report.add(
            Finding::new(
                "config.secrets",
                Severity::Warning,
                "every user of this machine can read or change the configuration, and it holds the keys",
                "who has them can read sessions in memcached, and make some up",
                format!("give it the group of the sidecar's user, and\n$ chmod o-rwx {}", word(path)),
            )
            .of(path),
        );
    }
    if let Some(admin) = config.admin.filter(|admin| exposure::of_admin(Some(*admin)).is_some()) {
        report.add(
            Finding::new(
                "config.admin",
                Severity::Warning,
                format!("admin: {admin} can be reached from other machines"),
                "what it shows (nodes, load) needs no password",
                format!(
                    "let only those reach it that ask for it, or write:\nadmin = \"127.0.0.1:{}\"",
                    admin.port()
                ),
            )
            .of(path),
        );
    }
    let host = config.tomcat.host.as_str();
    let is_here = (host, config.tomcat.port);
    match std::net::ToSocketAddrs::to_socket_addrs(&is_here) {
        Ok(mut found) => {
            if let Some(other) = found.find(|found| !found.ip().to_canonical().is_loopback()) {
                report.add(
                    Finding::new(
                        "config.tomcat",
                        Severity::Error,
                        format!("tomcat.address: {other} is no loopback address"),
                        "who reaches Tomcat there passes the sidecar by, and requests go to it in the clear",
                        format!(
                            "run both on one machine or in one pod, and write in [tomcat]:\naddress = \"127.0.0.1:{}\"",
                            config.tomcat.port
                        ),
                    )
                    .of(path),
                );
            }
        }
        Err(_) => report.add(
            Finding::new(
                "config.tomcat",
                Severity::Error,
                format!("tomcat.address: {host} does not resolve to an address"),
                "the sidecar does not start",
                format!("write in [tomcat]:\naddress = \"127.0.0.1:{}\"", config.tomcat.port),
            )
            .of(path),
        ),
    }
    Some(config)
}
