//! One connection to a node that speaks the classic text commands only: an older memcached, twemproxy, or what else understands them.
//!
//! The text commands do not tell how long an item lives: when a record ends stands in an item beside it. They tell neither who answers,
//! nor do they delete on a condition; what follows from that stands in `docs/guarantees.md`. A proxy answers for a server that it can't
//! reach: such an answer is taken for the server's silence.

use async_trait::async_trait;
use bytes::Bytes;
use satchel_common::address::HostPort;

use super::node::{Command, Incarnation, Item, Mode, NodeError, Reply, TTL_UNKNOWN};
use super::pool::Connection;
use super::wire::{Wire, protocol};
use crate::exchange::unix_time;
use crate::record::{RecordKey, Ttl};

/// The text commands do not say who answers.
const SOMEBODY: Incarnation = Incarnation { pid: 0, started: 0 };

/// A connection.
pub struct Text {
    wire: Wire,
    /// Bytes of the largest value that is read.
    value_max: usize,
}

/// An item as it was found.
struct Found {
    key: String,
    flags: u32,
    cas: u64,
    value: Bytes,
}

#[async_trait]
impl Connection for Text {
    async fn dial(address: &HostPort, value_max: usize) -> Result<Self, NodeError> {
        let mut text = Self { wire: Wire::connect(address).await?, value_max };
        // A proxy takes connections for a server that it can't reach. Not every proxy knows `version`.
        text.find(&["satchel"]).await?;
        Ok(text)
    }

    async fn run(&mut self, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
        let mut replies = Vec::with_capacity(batch.len());
        for command in batch {
            replies.push(self.one(command).await?);
        }
        if !self.wire.is_read_up() {
            return Err(protocol("more answers than questions"));
        }
        Ok(replies)
    }

    fn incarnation(&self) -> Incarnation {
        SOMEBODY
    }

    /// It can't be asked.
    fn item_size_max(&self) -> usize {
        0
    }

    fn is_usable(&self) -> bool {
        self.wire.is_usable()
    }
}

impl Text {
    async fn one(&mut self, command: &Command) -> Result<Reply, NodeError> {
        match command {
            Command::Get { key, value } => self.get(key, *value).await,
            Command::Touch { key, ttl } => {
                match self.ask(&format!("touch {key} {ttl}\r\n"), None).await?.as_str() {
                    "TOUCHED" => {
                        self.note_end(key, *ttl).await?;
                        self.get(key, false).await
                    }
                    "NOT_FOUND" => Ok(Reply::Miss),
                    other => Err(unexpected(other)),
                }
            }
            Command::Set { key, value, flags, ttl, mode } => {
                match self.store(key, value, *flags, *ttl, *mode).await?.as_str() {
                    "STORED" => {}
                    "NOT_STORED" | "EXISTS" => return Ok(Reply::Exists),
                    "NOT_FOUND" => return Ok(Reply::NotFound),
                    other => return Err(unexpected(other)),
                }
                match self.get(key, true).await? {
                    Reply::Hit(item) if item.value.as_ref() == Some(value) => {
                        self.note_end(key, *ttl).await?;
                        Ok(Reply::Stored(item.cas))
                    }
                    // Somebody has replaced it since: its cas is nobody's.
                    _ => Ok(Reply::Stored(0)),
                }
            }
            Command::Delete { key, cas: None } => self.delete(key).await,
            Command::Delete { key, cas: Some(cas) } => match self.get(key, false).await? {
                Reply::Hit(item) if item.cas == *cas => self.delete(key).await,
                Reply::Hit(_) => Ok(Reply::Exists),
                _ => Ok(Reply::NotFound),
            },
        }
    }

    async fn get(&mut self, key: &str, value: bool) -> Result<Reply, NodeError> {
        let end_key = RecordKey::end_of(key);
        let keys: Vec<&str> = std::iter::once(key).chain(end_key.as_deref()).collect();
        let found = self.find(&keys).await?;
        let end = end_key.and_then(|key| found.iter().find(|found| found.key == key));
        let end = end.and_then(|found| std::str::from_utf8(&found.value).ok()?.parse::<u64>().ok());
        let ttl = match end {
            Some(0) => -1,
            Some(end) => i64::try_from(end.saturating_sub(unix_time())).unwrap_or(i64::MAX),
            None => TTL_UNKNOWN,
        };
        Ok(match found.into_iter().find(|found| found.key == key) {
            Some(Found { flags, cas, value: bytes, .. }) => {
                Reply::Hit(Item { value: value.then_some(bytes), flags, cas, ttl })
            }
            None => Reply::Miss,
        })
    }

    /// What is there of these.
    async fn find(&mut self, keys: &[&str]) -> Result<Vec<Found>, NodeError> {
        let mut found = Vec::new();
        let mut line = self.ask(&format!("gets {}\r\n", keys.join(" ")), None).await?;
        while line != "END" {
            let (key, flags, length, cas) = header(&line).ok_or_else(|| unexpected(&line))?;
            if !keys.contains(&key.as_str()) || found.len() == keys.len() {
                return Err(protocol("an item that nobody asked for"));
            }
            let value = self.wire.value(length, self.value_max).await?.into();
            found.push(Found { key, flags, cas, value });
            line = self.answer().await?;
        }
        Ok(found)
    }

    async fn store(
        &mut self,
        key: &str,
        value: &[u8],
        flags: u32,
        ttl: u32,
        mode: Mode,
    ) -> Result<String, NodeError> {
        let length = value.len();
        let line = match mode {
            Mode::Add => format!("add {key} {flags} {ttl} {length}\r\n"),
            Mode::Set => format!("set {key} {flags} {ttl} {length}\r\n"),
            Mode::Cas(cas) => format!("cas {key} {flags} {ttl} {length} {cas}\r\n"),
        };
        self.ask(&line, Some(value)).await
    }

    async fn delete(&mut self, key: &str) -> Result<Reply, NodeError> {
        match self.ask(&format!("delete {key}\r\n"), None).await?.as_str() {
            "DELETED" => Ok(Reply::Deleted),
            "NOT_FOUND" => Ok(Reply::NotFound),
            other => Err(unexpected(other)),
        }
    }

    /// Writes down when a record ends, in seconds since 1970; zero: never.
    async fn note_end(&mut self, key: &str, ttl: u32) -> Result<(), NodeError> {
        let Some(end_key) = RecordKey::end_of(key) else { return Ok(()) };
        let end = if ttl == 0 { 0 } else { Ttl::end_of(ttl, unix_time()) };
        match self.store(&end_key, end.to_string().as_bytes(), 0, ttl, Mode::Set).await?.as_str() {
            "STORED" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Sends a line, and the value that belongs to it. The first line of the answer.
    async fn ask(&mut self, line: &str, value: Option<&[u8]>) -> Result<String, NodeError> {
        let mut sent = line.as_bytes().to_vec();
        if let Some(value) = value {
            sent.extend_from_slice(value);
            sent.extend_from_slice(b"\r\n");
        }
        self.wire.send(&sent).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String, NodeError> {
        let line = String::from_utf8_lossy(&self.wire.line().await?).into_owned();
        match line.strip_prefix("SERVER_ERROR ") {
            Some(text) => Err(server_error(text)),
            None => Ok(line),
        }
    }
}

/// `VALUE <key> <flags> <length> <cas>`.
fn header(line: &str) -> Option<(String, u32, usize, u64)> {
    let mut words = line.strip_prefix("VALUE ")?.split(' ');
    let key = words.next()?.to_owned();
    let read = (key, words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(read)
}

/// memcached's own refusals are about memory (`memory`, `too large`); the rest is a proxy's word for a server that it can't reach.
fn server_error(text: &str) -> NodeError {
    let text = text.trim();
    if text.contains("memory") || text.contains("too large") {
        NodeError::Refused(text.to_owned())
    } else {
        NodeError::Unreachable(text.to_owned())
    }
}

fn unexpected(answer: &str) -> NodeError {
    protocol(&format!("unexpected answer {answer:?}"))
}
