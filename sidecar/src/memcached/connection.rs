//! One connection to a memcached: dialled, identified, then spoken to in its protocol.

use std::io;

use satchel_common::address::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};

use super::meta::{self, Refuses};
use super::node::{Command, Incarnation, NodeError, Reply};
use super::text;
use super::wire::{closed, lost};
use crate::config::Protocol;

/// More than memcached's statistics ever need.
const STATISTICS_MAX: usize = 64 * 1024;
/// The smallest that memcached can be told (its option -I), in bytes.
const ITEM_SIZE_MIN: usize = 1024;
/// The text commands do not say who answers.
const SOMEBODY: Incarnation = Incarnation { pid: 0, started: 0 };

/// A connection, and who is at its other end.
pub struct Connection {
    stream: BufReader<TcpStream>,
    protocol: Protocol,
    /// Where it was made, and is to be used.
    pub runtime: Id,
    /// Read from `stats` when the connection was made.
    pub incarnation: Incarnation,
    /// `item_size_max` of `stats settings`, in bytes; zero: not known.
    pub item_size_max: usize,
    /// `evictions` of `stats settings`.
    refuses: Refuses,
}

impl Connection {
    /// Resolves, connects, and asks who is there. The name is resolved at every connect: a restarted pod
    /// has another address.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`], or [`NodeError::Protocol`] if it is to speak meta commands and is not a memcached of at least 1.6.
    pub async fn dial(address: &HostPort, protocol: Protocol) -> Result<Self, NodeError> {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let (incarnation, item_size_max, refuses) = match protocol {
            Protocol::Meta => identify(&mut stream).await?,
            Protocol::Text => (SOMEBODY, 0, Refuses::Seldom),
        };
        let runtime = Handle::current().id();
        Ok(Self { stream: BufReader::new(stream), protocol, runtime, incarnation, item_size_max, refuses })
    }

    /// Whether an idle connection is still open and quiet, as far as the runtime has been told: as a rule no system call.
    pub fn is_usable(&self) -> bool {
        let quiet = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.stream.buffer().is_empty() && self.stream.get_ref().try_read(&mut [0]).is_err_and(quiet)
    }

    /// Sends the batch and reads its answers. After an error the connection must be dropped.
    ///
    /// # Errors
    /// As [`NodeError`].
    pub async fn run(&mut self, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
        let replies = match self.protocol {
            Protocol::Meta => meta::run(&mut self.stream, batch, self.refuses).await?,
            Protocol::Text => text::run(&mut self.stream, batch).await?,
        };
        if !self.stream.buffer().is_empty() {
            // It would be taken for the next answer.
            return Err(NodeError::Protocol("more answers than questions".into()));
        }
        Ok(replies)
    }

    /// Whether who is there answers, as far as that is not known from dialling.
    ///
    /// # Errors
    /// As [`NodeError`].
    pub async fn probe(&mut self) -> Result<(), NodeError> {
        match self.protocol {
            Protocol::Meta => Ok(()),
            Protocol::Text => text::probe(&mut self.stream).await,
        }
    }
}

/// What a memcached says of itself: `stats` and `stats settings`.
pub struct Statistics(String);

impl Statistics {
    /// Asks for them.
    ///
    /// # Errors
    /// As [`NodeError`].
    pub async fn ask(stream: &mut TcpStream) -> Result<Self, NodeError> {
        stream.write_all(b"stats\r\nstats settings\r\n").await.map_err(lost)?;
        read_statistics(stream).await.map(Self)
    }

    #[cfg(test)]
    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    /// The first of this name.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The first of this name that is a number: both lists have some names.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.all(name).find_map(|value| value.parse().ok())
    }

    /// Whether a full node makes room, or refuses (`-M`). The other list has how often it has.
    fn refuses(&self) -> Refuses {
        if self.all("evictions").any(|value| value == "off") { Refuses::Often } else { Refuses::Seldom }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let value = move |line: &'a str| line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' ');
        self.0.lines().filter_map(value).map(str::trim)
    }
}

/// Which life of which process, the largest item that it takes, and whether it refuses when it is full.
async fn identify(stream: &mut TcpStream) -> Result<(Incarnation, usize, Refuses), NodeError> {
    let statistics = Statistics::ask(stream).await?;
    let number =
        |name| statistics.number(name).ok_or_else(|| NodeError::Protocol(format!("no '{name}' in stats")));
    let started = number("time")?.saturating_sub(number("uptime")?);
    let item_size_max = usize::try_from(number("item_size_max")?).unwrap_or(usize::MAX);
    if item_size_max < ITEM_SIZE_MIN {
        return Err(NodeError::Protocol(format!("an item_size_max of {item_size_max}")));
    }
    Ok((Incarnation { pid: number("pid")?, started }, item_size_max, statistics.refuses()))
}

/// Two lists, each ended by `END`.
async fn read_statistics(stream: &mut TcpStream) -> Result<String, NodeError> {
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    while !ends_twice(&text) {
        let read = stream.read(&mut chunk).await.map_err(lost)?;
        if read == 0 {
            return Err(closed());
        }
        text.extend_from_slice(&chunk[..read]);
        if text.len() > STATISTICS_MAX || text.starts_with(b"ERROR") {
            return Err(NodeError::Protocol("not a memcached that answers 'stats'".into()));
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn ends_twice(text: &[u8]) -> bool {
    text.ends_with(b"END\r\n") && text.windows(5).filter(|window| *window == b"END\r\n").count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_their_whole_name() {
        let text = "STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 105\r\nSTAT time_x 9\r\nEND\r\nSTAT item_size_max 1048576\r\nEND\r\n";
        let statistics = Statistics::of(text.to_owned());
        assert_eq!((statistics.number("time"), statistics.get("uptime")), (Some(105), Some("5")));
        assert_eq!(statistics.number("item_size_max"), Some(1_048_576));
        assert_eq!(statistics.number("none"), None);
        assert_eq!(statistics.refuses(), Refuses::Seldom);
        let both = |setting| {
            Statistics::of(format!("STAT evictions 0\r\nEND\r\nSTAT evictions {setting}\r\nEND\r\n"))
        };
        assert_eq!([both("on").refuses(), both("off").refuses()], [Refuses::Seldom, Refuses::Often]);
        assert!(ends_twice(text.as_bytes()));
        assert!(!ends_twice(b"STAT pid 7\r\nEND\r\n"));
    }
}
