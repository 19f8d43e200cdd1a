//! The classic text commands, for what speaks no others: an older memcached, twemproxy, or what else understands them.
//!
//! They do not tell how long an item lives: when a record ends stands in an item beside it. They tell neither who answers,
//! nor do they delete on a condition; what follows from that stands in `docs/guarantees.md`. A proxy answers for a server that it can't
//! reach: such an answer is taken for the server's silence.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::node::{Command, Item, Mode, NodeError, Reply, TTL_UNKNOWN};
use super::wire::{Wire, line, lost, number, value};
use crate::exchange::unix_time;
use crate::record::{RecordKey, Ttl};

/// Sends the commands one after the other. After an error the connection must be dropped.
pub async fn run(wire: &mut impl Wire, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
    let mut replies = Vec::with_capacity(batch.len());
    for command in batch {
        replies.push(one(wire, command).await?);
    }
    Ok(replies)
}

/// Whether it is answered. Any answer is one: not every proxy knows `version`.
pub async fn probe(wire: &mut impl Wire) -> Result<(), NodeError> {
    wire.write_all(b"get satchel\r\n").await.map_err(lost)?;
    refusal(&line(wire).await?).map_or(Ok(()), Err)
}

async fn one(wire: &mut impl Wire, command: &Command) -> Result<Reply, NodeError> {
    match command {
        Command::Get { key, value } => get(wire, key, *value).await,
        Command::Touch { key, ttl } => match &ask(wire, &format!("touch {key} {ttl}\r\n"), None).await?[..] {
            b"TOUCHED" => {
                note_end(wire, key, *ttl).await?;
                get(wire, key, false).await
            }
            b"NOT_FOUND" => Ok(Reply::Miss),
            other => Err(unexpected(other)),
        },
        Command::Set { key, value, flags, ttl, mode } => {
            let head = store_head(key, value.len(), *flags, *ttl, *mode);
            match not_stored(*mode, &ask(wire, &head, Some(value)).await?)? {
                Some(reply) => Ok(reply),
                None => stored(wire, key, value, *ttl, *mode).await,
            }
        }
        Command::Delete { key, cas: None } => delete(wire, key).await,
        Command::Delete { key, cas: Some(cas) } => match get(wire, key, false).await? {
            Reply::Hit(item) if item.cas == *cas => delete(wire, key).await,
            Reply::Hit(_) => Ok(Reply::Exists),
            _ => Ok(Reply::NotFound),
        },
    }
}

/// The first line of a store.
pub(super) fn store_head(key: &str, length: usize, flags: u32, ttl: u32, mode: Mode) -> String {
    let (verb, cas) = match mode {
        Mode::Add => ("add", String::new()),
        Mode::Set => ("set", String::new()),
        Mode::Cas(cas) => ("cas", format!(" {cas}")),
    };
    format!("{verb} {key} {flags} {ttl} {length}{cas}\r\n")
}

/// What a store came to that did not take effect; `None`: it did.
pub(super) fn not_stored(mode: Mode, answer: &[u8]) -> Result<Option<Reply>, NodeError> {
    match (mode, answer) {
        (_, b"STORED") => Ok(None),
        (Mode::Add, b"NOT_STORED") | (Mode::Cas(_), b"EXISTS") => Ok(Some(Reply::Exists)),
        (Mode::Cas(_), b"NOT_FOUND") => Ok(Some(Reply::NotFound)),
        (_, other) => Err(refusal(other).unwrap_or_else(|| unexpected(other))),
    }
}

/// The answers to a store do not tell the new cas: it is looked at what is there.
async fn stored(
    wire: &mut impl Wire,
    key: &str,
    value: &Bytes,
    ttl: u32,
    mode: Mode,
) -> Result<Reply, NodeError> {
    match get(wire, key, true).await? {
        Reply::Hit(item) if item.value.as_ref() == Some(value) => {
            note_end(wire, key, ttl).await?;
            Ok(Reply::Stored(item.cas))
        }
        _ if mode == Mode::Add => Ok(Reply::Exists),
        // It was stored, and somebody has replaced it since: its cas is nobody's.
        _ => Ok(Reply::Stored(0)),
    }
}

async fn delete(wire: &mut impl Wire, key: &str) -> Result<Reply, NodeError> {
    match &ask(wire, &format!("delete {key}\r\n"), None).await?[..] {
        b"DELETED" => Ok(Reply::Deleted),
        b"NOT_FOUND" => Ok(Reply::NotFound),
        other => Err(unexpected(other)),
    }
}

/// With what is written beside it about its end.
async fn get(wire: &mut impl Wire, key: &str, wanted: bool) -> Result<Reply, NodeError> {
    let end_key = RecordKey::end_of(key);
    let beside = end_key.as_ref().map_or(String::new(), |end_key| format!(" {end_key}"));
    let mut head = ask(wire, &format!("gets {key}{beside}\r\n"), None).await?;
    let (mut item, mut end) = (None, None);
    while head != b"END" {
        let (name, flags, len, cas) = item_head(&head).ok_or_else(|| unexpected(&head))?;
        let value = value(wire, len).await?;
        if name == key.as_bytes() && item.is_none() {
            item = Some((value, flags, cas));
        } else if end.is_none() && end_key.as_ref().is_some_and(|end_key| name == end_key.as_bytes()) {
            end = Some(number::<u64>(&value));
        } else {
            return Err(NodeError::Protocol("an item that was not asked for".into()));
        }
        head = line(wire).await?;
    }
    let ttl = match end.flatten() {
        Some(0) => -1,
        Some(end) => i64::try_from(end.saturating_sub(unix_time())).unwrap_or(i64::MAX),
        None => TTL_UNKNOWN,
    };
    Ok(item.map_or(Reply::Miss, |(value, flags, cas)| {
        Reply::Hit(Item { value: wanted.then(|| Bytes::from(value)), flags, cas, ttl })
    }))
}

/// `VALUE key flags bytes cas`.
fn item_head(line: &[u8]) -> Option<(&[u8], u32, usize, u64)> {
    let mut words = line.strip_prefix(b"VALUE ")?.split(|b| *b == b' ');
    let head = (words.next()?, number(words.next()?)?, number(words.next()?)?, number(words.next()?)?);
    words.next().is_none().then_some(head)
}

/// Writes down when a record ends, in seconds since 1970; zero: never.
async fn note_end(wire: &mut impl Wire, key: &str, ttl: u32) -> Result<(), NodeError> {
    let Some(end_key) = RecordKey::end_of(key) else { return Ok(()) };
    let end = if ttl == 0 { 0 } else { Ttl::end_of(ttl, unix_time()) }.to_string();
    match &ask(wire, &format!("set {end_key} 0 {ttl} {}\r\n", end.len()), Some(end.as_bytes())).await?[..] {
        b"STORED" => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// Sends a command, with its value if it has one, and reads the first line of its answer.
async fn ask(wire: &mut impl Wire, head: &str, value: Option<&[u8]>) -> Result<Vec<u8>, NodeError> {
    let (value, end): (_, &[u8]) = value.map_or((&b""[..], b""), |value| (value, b"\r\n"));
    wire.write_all(&[head.as_bytes(), value, end].concat()).await.map_err(lost)?;
    let line = line(wire).await?;
    refusal(&line).map_or(Ok(line), Err)
}

fn refusal(line: &[u8]) -> Option<NodeError> {
    line.strip_prefix(b"SERVER_ERROR ").map(server_error)
}

/// memcached's own refusals are about memory (`memory`, `too large`); the rest is a proxy's word for a server that it can't reach.
fn server_error(text: &[u8]) -> NodeError {
    let text = String::from_utf8_lossy(text).trim().to_owned();
    if text.contains("memory") || text.contains("too large") {
        NodeError::Refused(text)
    } else {
        NodeError::Unreachable(text)
    }
}

fn unexpected(line: &[u8]) -> NodeError {
    NodeError::Protocol(format!("unexpected answer '{}'", String::from_utf8_lossy(line).escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    const KEY: &str = "sk";

    /// What becomes of the command when the node says this, whatever it is asked, and closes.
    async fn answered(command: Command, told: &str) -> Result<Vec<Reply>, NodeError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(told.as_bytes()).await.unwrap();
        let mut ours = BufReader::new(ours);
        let (answer, _) =
            tokio::join!(run(&mut ours, std::slice::from_ref(&command)), async { theirs.shutdown().await });
        answer
    }

    fn get() -> Command {
        Command::Get { key: KEY.into(), value: true }
    }

    #[tokio::test]
    async fn an_item_is_read_with_its_end() {
        let told = "VALUE ek 0 1 8\r\n0\r\nVALUE sk 9 5 7\r\nvalue\r\nEND\r\n";
        let item = Item { value: Some(Bytes::from_static(b"value")), flags: 9, cas: 7, ttl: -1 };
        assert_eq!(answered(get(), told).await, Ok(vec![Reply::Hit(item)]));
        assert_eq!(answered(get(), "END\r\n").await, Ok(vec![Reply::Miss]));
    }

    #[tokio::test]
    async fn a_store_is_what_is_there_after_it() {
        let set = |mode| Command::Set { key: KEY.into(), value: "v".into(), flags: 0, ttl: 0, mode };
        let there = "STORED\r\nVALUE sk 0 1 7\r\nv\r\nEND\r\nSTORED\r\n";
        let other = "STORED\r\nVALUE sk 0 1 8\r\nw\r\nEND\r\n";
        for (mode, told, reply) in [
            (Mode::Add, there, Reply::Stored(7)),
            (Mode::Add, other, Reply::Exists),
            (Mode::Add, "NOT_STORED\r\n", Reply::Exists),
            (Mode::Set, other, Reply::Stored(0)),
            (Mode::Cas(1), "EXISTS\r\n", Reply::Exists),
            (Mode::Cas(1), "NOT_FOUND\r\n", Reply::NotFound),
        ] {
            assert_eq!(answered(set(mode), told).await, Ok(vec![reply]), "{mode:?}: {told:?}");
        }
        for told in ["SERVER_ERROR out of memory storing object\r\n", "SERVER_ERROR object too large\r\n"] {
            assert!(matches!(answered(set(Mode::Set), told).await, Err(NodeError::Refused(_))));
        }
        let proxys = answered(get(), "SERVER_ERROR Host is down\r\n").await;
        assert!(matches!(proxys, Err(NodeError::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_lie_is_an_error() {
        for told in [
            "VALUE sk 0 4611686018427387904 7\r\nvalue\r\nEND\r\n",
            "VALUE sk 0 18446744073709551615 7\r\nvalue\r\nEND\r\n",
            "VALUE sk 0 3 7\r\nvalue\r\nEND\r\n",
            "VALUE sk 0 5\r\nvalue\r\nEND\r\n",
            "VALUE sx 0 1 7\r\nv\r\nEND\r\n",
            "VALUE sk 0 1 7\r\nv\r\nVALUE sk 0 1 7\r\nv\r\nEND\r\n",
            "ERROR\r\n",
            "CLIENT_ERROR bad\r\n",
            "\r\n",
        ] {
            let answer = answered(get(), told).await;
            assert!(matches!(answer, Err(NodeError::Protocol(_))), "{told:?}: {answer:?}");
        }
    }
}
