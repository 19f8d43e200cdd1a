//! A node that speaks the classic text commands only: an older memcached, twemproxy, or what else understands them.
//!
//! Over the `memcache` crate's classic client, which blocks and has its own pool. Its traps, measured, and how they are closed:
//! a pool's read timeout holds only when it stands in the URL; a pool asks each connection for its `version` before it lends it, which not
//! every proxy knows, and asks again without a pause when the answer is an error, so ours does not; `add` says the same whether
//! it has stored or not, so it is looked at what is there; a connection that failed stays in the pool, so the whole pool goes.
//!
//! The text commands do not tell how long an item lives: when a record ends stands in an item beside it. They tell neither who answers,
//! nor do they delete on a condition; what follows from that stands in `docs/guarantees.md`. A proxy answers for a server that it can't
//! reach: such an answer is taken for the server's silence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use memcache::{
    Client, CommandError, ConnectionManager, MemcacheError, ServerError, Stream, ToMemcacheValue, Url,
};
use satchel_common::address::HostPort;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::node::{Answers, Command, Incarnation, Item, Mode, Node, NodeError, Reply, TTL_UNKNOWN};
use crate::exchange::unix_time;
use crate::record::{RecordKey, Ttl};

/// Of an answer to a probe.
const LINE_MAX: u64 = 512;
/// Connections of the pool, and so batches at one time.
const CONNECTIONS: u32 = 8;
/// The text commands do not say who answers.
const SOMEBODY: Incarnation = Incarnation { pid: 0, started: 0 };

/// One node.
pub struct TextNode {
    address: HostPort,
    timeout: Duration,
    client: Arc<Mutex<Option<Client>>>,
    free: Arc<Semaphore>,
}

/// A value with its client flags: the crate writes 0 of its own accord.
struct Value<'a>(&'a [u8], u32);

impl ToMemcacheValue<Stream> for Value<'_> {
    fn get_flags(&self) -> u32 {
        self.1
    }

    fn get_length(&self) -> usize {
        self.0.len()
    }

    fn write_to(&self, stream: &mut Stream) -> std::io::Result<()> {
        std::io::Write::write_all(stream, self.0)
    }
}

impl TextNode {
    /// Connects when it is first used.
    pub fn new(address: HostPort, timeout: Duration) -> Self {
        let free = Arc::new(Semaphore::new(CONNECTIONS as usize));
        Self { address, timeout, client: Arc::default(), free }
    }

    fn url(&self) -> String {
        let seconds = self.timeout.as_secs_f64();
        format!("memcache://{}?protocol=ascii&timeout={seconds}&connect_timeout={seconds}", self.address)
    }
}

#[async_trait]
impl Node for TextNode {
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        if only.is_some_and(|only| only != SOMEBODY) {
            return Err(NodeError::Reborn);
        }
        let exchange = async {
            // Released when the blocking work has ended, also when nobody waits for it any more.
            let free = self.free.clone().acquire_owned().await.map_err(|_| NodeError::Down)?;
            let (url, limit) = (self.url(), self.timeout);
            let (client, batch) = (self.client.clone(), batch.to_vec());
            let work = tokio::task::spawn_blocking(move || {
                let _free = free;
                run_all(&url, limit, &client, &batch)
            });
            work.await.map_err(|error| NodeError::Protocol(error.to_string()))?
        };
        let replies = timeout(self.timeout, exchange).await.unwrap_or(Err(NodeError::Timeout))?;
        Ok(Answers { replies, incarnation: SOMEBODY })
    }

    async fn probe(&self) -> Result<(), NodeError> {
        let ask = async {
            let mut stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
            // Any answer is one; not every proxy knows `version`.
            stream.write_all(b"get satchel\r\n").await?;
            let mut line = String::new();
            BufReader::new(stream.take(LINE_MAX)).read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        match timeout(self.timeout / 2, ask).await {
            Ok(Ok(line)) if line.is_empty() => Err(NodeError::Unreachable("closed".into())),
            Ok(Ok(line)) => match line.strip_prefix("SERVER_ERROR ") {
                Some(text) => Err(server_error(text)),
                None => Ok(()),
            },
            Ok(Err(error)) => Err(NodeError::Unreachable(error.to_string())),
            Err(_) => Err(NodeError::Timeout),
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn item_size_max(&self) -> usize {
        0
    }
}

fn run_all(
    url: &str,
    limit: Duration,
    kept: &Mutex<Option<Client>>,
    batch: &[Command],
) -> Result<Vec<Reply>, NodeError> {
    let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept().clone();
    let client = match known {
        Some(client) => client,
        None => {
            let pool = memcache::Pool::builder()
                .max_size(CONNECTIONS)
                .min_idle(Some(0))
                .connection_timeout(limit)
                .test_on_check_out(false)
                .build(ConnectionManager::new(
                    Url::parse(url).map_err(|error| NodeError::Protocol(error.to_string()))?,
                ))
                .map_err(|error| NodeError::Unreachable(error.to_string()))?;
            let client = Client::with_pool(pool).map_err(translate)?;
            kept().get_or_insert(client).clone()
        }
    };
    let replies: Result<Vec<_>, _> = batch.iter().map(|command| one(&client, command)).collect();
    replies.map_err(|error| {
        if !matches!(error, MemcacheError::ServerError(ServerError::Error(_))) {
            // The connection may hold half of one.
            *kept() = None;
        }
        translate(error)
    })
}

fn one(client: &Client, command: &Command) -> Result<Reply, MemcacheError> {
    Ok(match command {
        Command::Get { key, value } => get(client, key, *value)?,
        Command::Touch { key, ttl } if client.touch(key, *ttl)? => {
            note_end(client, key, *ttl)?;
            get(client, key, false)?
        }
        Command::Touch { .. } => Reply::Miss,
        Command::Set { key, value, flags, ttl, mode } => {
            let item = Value(value, *flags);
            match mode {
                Mode::Add => client.add(key, item, *ttl)?,
                Mode::Set => client.set(key, item, *ttl)?,
                Mode::Cas(cas) => {
                    if !client.cas(key, item, *ttl, *cas)? {
                        return Ok(match get(client, key, false)? {
                            Reply::Miss => Reply::NotFound,
                            _ => Reply::Exists,
                        });
                    }
                }
            }
            match get(client, key, true)? {
                Reply::Hit(item) if item.value.as_ref() == Some(value) => {
                    note_end(client, key, *ttl)?;
                    Reply::Stored(item.cas)
                }
                _ if *mode == Mode::Add => Reply::Exists,
                // It was stored, and somebody has replaced it since: its cas is nobody's.
                _ => Reply::Stored(0),
            }
        }
        Command::Delete { key, cas: None } if client.delete(key)? => Reply::Deleted,
        Command::Delete { cas: None, .. } => Reply::NotFound,
        Command::Delete { key, cas: Some(cas) } => match get(client, key, false)? {
            Reply::Hit(item) if item.cas == *cas && client.delete(key)? => Reply::Deleted,
            Reply::Hit(item) if item.cas != *cas => Reply::Exists,
            _ => Reply::NotFound,
        },
    })
}

fn get(client: &Client, key: &str, value: bool) -> Result<Reply, MemcacheError> {
    let end_key = RecordKey::end_of(key);
    let keys: Vec<&str> = std::iter::once(key).chain(end_key.as_deref()).collect();
    let mut found = client.gets::<(Vec<u8>, u32, Option<u64>)>(&keys)?;
    let end = end_key.and_then(|key| found.remove(&key));
    let end = end.and_then(|(bytes, ..)| std::str::from_utf8(&bytes).ok()?.parse::<u64>().ok());
    let ttl = match end {
        Some(0) => -1,
        Some(end) => i64::try_from(end.saturating_sub(unix_time())).unwrap_or(i64::MAX),
        None => TTL_UNKNOWN,
    };
    Ok(match found.remove(key) {
        Some((bytes, flags, cas)) => {
            let value = value.then(|| Bytes::from(bytes));
            Reply::Hit(Item { value, flags, cas: cas.unwrap_or(0), ttl })
        }
        None => Reply::Miss,
    })
}

/// Writes down when a record ends, in seconds since 1970; zero: never.
fn note_end(client: &Client, key: &str, ttl: u32) -> Result<(), MemcacheError> {
    let Some(end_key) = RecordKey::end_of(key) else { return Ok(()) };
    let end = if ttl == 0 { 0 } else { Ttl::end_of(ttl, unix_time()) };
    client.set(&end_key, Value(end.to_string().as_bytes(), 0), ttl)
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

fn translate(error: MemcacheError) -> NodeError {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match error {
        MemcacheError::IOError(error) if matches!(error.kind(), TimedOut | WouldBlock) => NodeError::Timeout,
        MemcacheError::IOError(error) => NodeError::Unreachable(error.to_string()),
        MemcacheError::PoolError(error) => NodeError::Unreachable(error.to_string()),
        MemcacheError::ServerError(ServerError::Error(text)) => server_error(&text),
        MemcacheError::CommandError(CommandError::ValueTooLarge) => NodeError::Refused("too large".into()),
        // The classic client's word for a connection that was closed.
        MemcacheError::ClientError(error) => NodeError::Unreachable(error.to_string()),
        other => NodeError::Protocol(other.to_string()),
    }
}
