//! Servers in a file of their own, for those who write it by a program: it is read again when it changes.
//!
//! One server a line: `host:port`, then nginx's words (`weight=2 max_fails=0 backup down drain`). `#` begins a comment. It should be written to
//! another file and renamed. Who writes it in place is waited for, as well as that can be seen: a list without servers, or without its last
//! line end, is none.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    /// It names no server: it would take all away.
    #[error("{}: there is no server in it", .0.display())]
    Empty(PathBuf),
    /// Its last line may be half of one.
    #[error("{}: its last line has no end; write the list to another file and rename it", .0.display())]
    Unfinished(PathBuf),
}

/// What can be seen of a file without reading it: when it was changed, and its length.
pub(super) type Stamp = (SystemTime, u64);

/// `None`: it is not there.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok()
}

/// When a file is to be read: it is not as it was taken last, and was the same in two looks in a row.
#[derive(Default)]
pub(super) struct Looks {
    last: Option<Stamp>,
    taken: Option<Stamp>,
}

impl Looks {
    /// After a look. It stays due until it is [`taken`](Self::taken).
    pub(super) fn is_due(&mut self, now: Option<Stamp>) -> bool {
        let settled = now.is_some() && now == self.last;
        self.last = now;
        settled && now != self.taken
    }

    /// What was read is in use, if the file is still what it was. `false`: it has changed meanwhile.
    pub(super) fn taken(&mut self, now: Option<Stamp>) -> bool {
        let same = now == self.last;
        if same {
            self.taken = now;
        }
        same
    }
}

/// Reads the servers in `path`.
///
/// # Errors
/// As [`FileError`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<(SocketAddr, Options)>, FileError> {
    let path = path.as_ref();
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(FileError::Unfinished(path.to_owned()));
    }
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
    if servers.is_empty() {
        return Err(FileError::Empty(path.to_owned()));
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
                "'{word}' is not known; weight=N, max_fails=N, fail_timeout=10s, max_conns=N, slow_start=30s, admin_port=N, backup, down and drain are"
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
            ("admin_port", n) => {
                options.admin_port = Some(n.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?);
            }
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
        let servers = read_text(
            "# ours\n127.0.0.1:1 weight=3 max_conns=5 admin_port=91\n\n127.0.0.1:2 backup # spare\n",
        )
        .unwrap();
        let [(first, options), (_, spare)] = &servers[..] else { panic!("{servers:?}") };
        assert_eq!(
            (first.port(), options.weight, options.max_conns, options.admin_port),
            (1, 3, 5, Some(91))
        );
        assert!(spare.backup && !options.backup);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, named) in [
            ("127.0.0.1:1\nx\n", ":2: x"),
            ("127.0.0.1:1 weight=0\n", "65535"),
            ("127.0.0.1:1 colour=red\n", "colour=red"),
            ("127.0.0.1:1 fail_timeout=5\n", "units"),
        ] {
            assert!(read_text(text).unwrap_err().contains(named), "{text}");
        }
    }

    #[test]
    fn half_a_list_is_none() {
        for (text, named) in [
            ("", "no server"),
            ("# none\n\n", "no server"),
            ("127.0.0.1:8081\n127.0.0.1:80", "no end"),
            ("127.0.0.1:8081 ", "no end"),
        ] {
            assert!(read_text(text).unwrap_err().contains(named), "{text}");
        }
    }

    #[test]
    fn a_reload_at_a_bad_moment_takes_no_server_away() {
        use crate::config::UpstreamConfig;
        use crate::upstream::Upstream;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
        let config = |path: Option<&Path>| UpstreamConfig {
            name: "t".into(),
            method: crate::balancer::Method::RoundRobin,
            keepalive_timeout: std::time::Duration::ZERO,
            queue: 0,
            queue_timeout: std::time::Duration::ZERO,
            retry_budget: 0,
            file: path.map(Path::to_owned),
            check: None,
            servers: Vec::new(),
        };
        let upstream = Upstream::new(config(Some(file.path())), &crate::metrics::Metrics::default());
        assert_eq!(upstream.peers().len(), 2);
        std::fs::write(file.path(), "").unwrap();
        upstream.reconfigure(config(Some(file.path())));
        assert_eq!(upstream.peers().len(), 2);
        upstream.reconfigure(config(Some(Path::new("/nowhere"))));
        assert_eq!(upstream.peers().len(), 2);
        upstream.reconfigure(config(None));
        assert!(upstream.peers().is_empty(), "it is not listed any more");
    }

    #[test]
    fn a_file_is_due_when_it_has_settled_and_until_it_is_taken() {
        let at = |seconds, len| Some((SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds), len));
        let mut looks = Looks::default();
        assert!(!looks.is_due(at(1, 10)), "once is not enough");
        assert!(looks.is_due(at(1, 10)));
        assert!(looks.is_due(at(1, 10)), "again: it could not be used");
        assert!(looks.taken(at(1, 10)) && !looks.is_due(at(1, 10)));
        assert!(!looks.is_due(at(2, 0)), "somebody writes");
        assert!(!looks.is_due(at(2, 20)));
        assert!(looks.is_due(at(2, 20)));
        assert!(!looks.taken(at(3, 30)), "changed while it was read");
        assert!(!looks.is_due(at(3, 30)));
        assert!(looks.is_due(at(3, 30)));
        assert!(!looks.is_due(None) && !looks.is_due(None), "it is gone");
    }
}
