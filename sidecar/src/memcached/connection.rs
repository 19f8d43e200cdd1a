//! One connection to a memcached: dialled, identified, then spoken to through the `memcache` crate.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use memcache::exp::{
    AsyncMetaConnection, DeleteOptions, Error, GetOptions, MetaCommand, MetaCommandResult, ReturnCode,
    SetMode, SetOptions, build_delete, build_get, build_set, parse_meta_result,
};
use satchel_common::address::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::node::{Command, Incarnation, Item, Mode, NodeError, Reply};

/// More than memcached's statistics ever need.
const STATISTICS_MAX: usize = 64 * 1024;

/// A connection, and who is at its other end.
pub struct Connection {
    meta: AsyncMetaConnection,
    /// The same socket, to see whether the other end has closed it while it was idle.
    socket: OwnedFd,
    /// Read from `stats` when the connection was made.
    pub incarnation: Incarnation,
    /// `item_size_max` of `stats settings`, in bytes.
    pub item_size_max: usize,
}

impl Connection {
    /// Resolves, connects, and asks who is there. The name is resolved at every connect: a restarted pod
    /// has another address.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`], or [`NodeError::Protocol`] if it is not a memcached of at least 1.6.
    pub async fn dial(address: &HostPort) -> Result<Self, NodeError> {
        let unreachable = |error: std::io::Error| NodeError::Unreachable(error.to_string());
        let mut stream =
            TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let socket = rustix::io::dup(&stream).map_err(|error| unreachable(error.into()))?;
        stream.write_all(b"stats\r\nstats settings\r\n").await.map_err(unreachable)?;
        let text = read_statistics(&mut stream).await?;
        let number =
            |name| statistic(&text, name).ok_or_else(|| NodeError::Protocol(format!("no '{name}' in stats")));
        let started = number("time")?.saturating_sub(number("uptime")?);
        Ok(Self {
            incarnation: Incarnation { pid: number("pid")?, started },
            item_size_max: usize::try_from(number("item_size_max")?).unwrap_or(usize::MAX),
            meta: AsyncMetaConnection::from_stream(stream),
            socket,
        })
    }

    /// Whether an idle connection is still open and quiet.
    pub fn is_usable(&self) -> bool {
        let mut byte = [0u8; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.socket, &mut byte, flags), Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Sends the batch and reads its answers. After an error the connection must be dropped.
    ///
    /// # Errors
    /// As [`NodeError`].
    pub async fn run(&mut self, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
        let commands = batch.iter().map(encode).collect::<Result<Vec<_>, _>>().map_err(translate)?;
        let responses = self.meta.execute_batch(&commands).await.map_err(translate)?;
        batch
            .iter()
            .zip(responses)
            .map(|(command, response)| decode(command, parse_meta_result(response).map_err(translate)?))
            .collect()
    }
}

/// Two lists, each ended by `END`.
async fn read_statistics(stream: &mut TcpStream) -> Result<String, NodeError> {
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    while !ends_twice(&text) {
        let read =
            stream.read(&mut chunk).await.map_err(|error| NodeError::Unreachable(error.to_string()))?;
        if read == 0 {
            return Err(NodeError::Unreachable("closed by the node".into()));
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

fn statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok()
    })
}

fn encode(command: &Command) -> Result<MetaCommand, Error> {
    match command {
        Command::Get { key, value } => build_get(key, &get_options(*value, None)),
        Command::Touch { key, ttl } => build_get(key, &get_options(false, Some(*ttl))),
        Command::Set { key, value, flags, ttl, mode } => {
            let mut options = SetOptions::default();
            options.client_flags = Some(*flags);
            options.ttl = Some(*ttl);
            options.return_cas = true;
            match mode {
                Mode::Add => options.mode = SetMode::Add,
                Mode::Cas(cas) => options.compare_cas = Some(*cas),
                Mode::Set => {}
            }
            build_set(key, value.to_vec(), &options)
        }
        Command::Delete { key, cas } => {
            let mut options = DeleteOptions::default();
            options.compare_cas = *cas;
            build_delete(key, &options)
        }
    }
}

fn get_options(value: bool, touch: Option<u32>) -> GetOptions {
    let mut options = GetOptions::default();
    options.value = value;
    options.return_client_flags = true;
    options.return_cas = true;
    options.return_ttl = true;
    options.touch = touch;
    options
}

fn decode(command: &Command, result: MetaCommandResult) -> Result<Reply, NodeError> {
    let unexpected = || NodeError::Protocol(format!("unexpected answer {:?}", result.rc));
    Ok(match (command, result.rc) {
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::En) => Reply::Miss,
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::Hd | ReturnCode::Va) => Reply::Hit(Item {
            flags: result.client_flags.unwrap_or(0),
            cas: result.cas.ok_or_else(unexpected)?,
            ttl: result.ttl.ok_or_else(unexpected)?,
            value: result.value.map(Bytes::from),
        }),
        (Command::Set { .. }, ReturnCode::Hd) => Reply::Stored(result.cas.ok_or_else(unexpected)?),
        (Command::Delete { .. }, ReturnCode::Hd) => Reply::Deleted,
        (_, ReturnCode::Ns | ReturnCode::Ex) => Reply::Exists,
        (_, ReturnCode::Nf) => Reply::NotFound,
        _ => return Err(unexpected()),
    })
}

fn translate(error: Error) -> NodeError {
    match error {
        Error::Io(error) => NodeError::Unreachable(error.to_string()),
        Error::Timeout { .. } => NodeError::Timeout,
        Error::Server(text) | Error::Rejected(text) => NodeError::Refused(text),
        other => NodeError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_their_whole_name() {
        let text = "STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 105\r\nSTAT time_x 9\r\nEND\r\nSTAT item_size_max 1048576\r\nEND\r\n";
        assert_eq!(statistic(text, "time"), Some(105));
        assert_eq!(statistic(text, "item_size_max"), Some(1_048_576));
        assert_eq!(statistic(text, "none"), None);
        assert!(ends_twice(text.as_bytes()));
        assert!(!ends_twice(b"STAT pid 7\r\nEND\r\n"));
    }
}
