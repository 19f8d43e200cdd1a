//! Servers in a file of their own, for those who write it by a program: it is read again when it changes.
//!
//! One server a line: `host:port`, then nginx's words (`weight=2 max_fails=0 backup down drain`). `#` begins a comment.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use satchel_common::units::Time;

use crate::balancer::{Admin, Options};

/// Why a list of servers can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
}

/// Reads the servers in `path`.
///
/// # Errors
/// As [`FileError`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<(SocketAddr, Options)>, FileError> {
    let path = path.as_ref();
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    let mut servers = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let found = server(line).map_err(|message| FileError::Line {
            path: path.to_owned(),
            line: at + 1,
            message,
        })?;
        servers.extend(found);
    }
    Ok(servers)
}

fn server(line: &str) -> Result<Vec<(SocketAddr, Options)>, String> {
    let mut words = line.split_ascii_whitespace();
    let address = words.next().unwrap_or_default();
    let mut options = Options::default();
    for word in words {
        let wrong = || {
            format!(
                "'{word}' is not known; weight=N, max_fails=N, fail_timeout=10s, max_conns=N, slow_start=30s, backup, down and drain are"
            )
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        let time = |text: &str| text.parse::<Time>().map(|time| time.0).map_err(|error| error.to_string());
        match word.split_once('=').unwrap_or((word, "")) {
            ("weight", n) => {
                let weight = n.parse::<u16>().ok().filter(|weight| *weight > 0);
                options.weight = weight.ok_or_else(|| format!("weight is '{n}'; 1 to 65535 are allowed"))?;
            }
            ("max_fails", n) => options.max_fails = number(n)?,
            ("max_conns", n) => options.max_conns = number(n)?,
            ("fail_timeout", text) => options.fail_timeout = time(text)?,
            ("slow_start", text) => options.slow_start = time(text)?,
            ("backup", "") => options.backup = true,
            ("down", "") => options.admin = Admin::Down,
            ("drain", "") => options.admin = Admin::Drain,
            _ => return Err(wrong()),
        }
    }
    let found = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    Ok(found.map(|address| (address, options.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(SocketAddr, Options)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_a_server() {
        let servers =
            read_text("# ours\n127.0.0.1:1 weight=3 max_conns=5\n\n127.0.0.1:2 backup # spare\n").unwrap();
        let [(first, options), (_, spare)] = &servers[..] else { panic!("{servers:?}") };
        assert_eq!((first.port(), options.weight, options.max_conns), (1, 3, 5));
        assert!(spare.backup && !options.backup);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, named) in [
            ("127.0.0.1:1\nx", ":2: x"),
            ("127.0.0.1:1 weight=0", "65535"),
            ("127.0.0.1:1 colour=red", "colour=red"),
            ("127.0.0.1:1 fail_timeout=5", "units"),
        ] {
            assert!(read_text(text).unwrap_err().contains(named), "{text}");
        }
    }
}
