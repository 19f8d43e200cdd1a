//! The meta commands of memcached 1.6: a batch goes out whole, then its answers are read. Commands and the heads of answers are the
//! `memcache` crate's.

use bytes::Bytes;
use memcache::exp::{
    DeleteOptions, Error, GetOptions, MetaCommand, MetaResponse, ReturnCode, SetMode, SetOptions,
    build_delete, build_get, build_set,
};
use tokio::io::AsyncWriteExt;

use super::node::{Command, Item, Mode, NodeError, Reply};
use super::text;
use super::wire::{Wire, line, lost, number, value};

/// What becomes of an item when a node has no memory for what is to replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// Nobody minds: the node evicts, and refuses next to nothing.
    Seldom,
    /// It has to stay: the node does not evict (memcached's `-M`), and refuses whatever has no room. A meta store takes what is there with
    /// it then, on a condition and in mode "add" too; the classic `add` and `cas` leave it as it is (memcached's `proto_parser.c`).
    /// They do not tell the new item's cas, which is asked for in the same round trip.
    Often,
}

/// Sends the batch and reads its answers. After an error the connection must be dropped.
pub async fn run(wire: &mut impl Wire, batch: &[Command], refuses: Refuses) -> Result<Vec<Reply>, NodeError> {
    let is_classic = |mode: Mode| refuses == Refuses::Often && mode != Mode::Set;
    let mut request = Vec::new();
    for command in batch {
        let meta = match command {
            Command::Set { key, value, flags, ttl, mode } if is_classic(*mode) => {
                request.extend_from_slice(text::store_head(key, value.len(), *flags, *ttl, *mode).as_bytes());
                request.extend_from_slice(value);
                request.extend_from_slice(b"\r\n");
                build_get(key, &get_options(false, None))
            }
            _ => encode(command),
        };
        meta.and_then(|meta| meta.encode_into(&mut request)).map_err(translate)?;
    }
    wire.write_all(&request).await.map_err(lost)?;
    let mut replies = Vec::with_capacity(batch.len());
    for command in batch {
        replies.push(match command {
            Command::Set { key, flags, mode, .. } if is_classic(*mode) => {
                classic_reply(wire, key, *flags, *mode).await?
            }
            _ => reply(wire, command).await?,
        });
    }
    Ok(replies)
}

/// The answers to a classic store, and to the question for what is there after it.
async fn classic_reply(wire: &mut impl Wire, key: &str, flags: u32, mode: Mode) -> Result<Reply, NodeError> {
    let answer = text::not_stored(mode, &line(wire).await?)?;
    let there = reply(wire, &Command::Get { key: key.to_owned(), value: false }).await?;
    Ok(match (answer, there) {
        (Some(answer), _) => answer,
        (None, Reply::Hit(item)) if item.flags == flags => Reply::Stored(item.cas),
        // It was stored, and somebody has replaced it since: its cas is nobody's.
        (None, _) => Reply::Stored(0),
    })
}

async fn reply(wire: &mut impl Wire, command: &Command) -> Result<Reply, NodeError> {
    let head = line(wire).await?;
    let response = MetaResponse::parse_header(&head).map_err(translate)?;
    let code = response.rc();
    let malformed = || NodeError::Protocol(format!("malformed answer {code:?}"));
    let value = match code {
        ReturnCode::Va => {
            let len = head.split(|b| *b == b' ').filter(|word| !word.is_empty()).nth(1);
            Some(value(wire, len.and_then(number).ok_or_else(malformed)?).await?)
        }
        _ => None,
    };
    let flag = |name| response.flags().find_map(|flag| flag.strip_prefix(&[name]));
    let cas = || flag(b'c').and_then(number).ok_or_else(malformed);
    // What was not asked for is not an answer, and neither is what lacks what was asked for.
    let asked = matches!(command, Command::Get { value: true, .. });
    if matches!(code, ReturnCode::Hd | ReturnCode::Va)
        && matches!(command, Command::Get { .. } | Command::Touch { .. })
        && asked != value.is_some()
    {
        return Err(malformed());
    }
    Ok(match (command, code) {
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::En) => Reply::Miss,
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::Hd | ReturnCode::Va) => Reply::Hit(Item {
            flags: flag(b'f').and_then(number).ok_or_else(malformed)?,
            cas: cas()?,
            ttl: flag(b't').and_then(number).ok_or_else(malformed)?,
            value: value.map(Bytes::from),
        }),
        (Command::Set { .. }, ReturnCode::Hd) => Reply::Stored(cas()?),
        (Command::Delete { .. }, ReturnCode::Hd) => Reply::Deleted,
        (Command::Set { .. } | Command::Delete { .. }, ReturnCode::Ns | ReturnCode::Ex) => Reply::Exists,
        (Command::Set { .. } | Command::Delete { .. }, ReturnCode::Nf) => Reply::NotFound,
        _ => return Err(NodeError::Protocol(format!("unexpected answer {code:?}"))),
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

fn translate(error: Error) -> NodeError {
    match error {
        Error::Server(text) | Error::Rejected(text) => NodeError::Refused(text),
        other => NodeError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, BufReader};

    async fn answered(command: &Command, told: &str) -> Result<Reply, NodeError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(told.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        reply(&mut BufReader::new(ours), command).await
    }

    #[tokio::test]
    async fn an_item_is_read_with_what_is_known_of_it() {
        let get = Command::Get { key: "k".into(), value: true };
        let item = Item { value: Some(Bytes::from_static(b"value")), flags: 9, cas: 7, ttl: -1 };
        assert_eq!(answered(&get, "VA 5 f9 c7 t-1 W\r\nvalue\r\n").await, Ok(Reply::Hit(item)));
        assert_eq!(answered(&get, "EN\r\n").await, Ok(Reply::Miss));
        assert!(matches!(answered(&get, "SERVER_ERROR no\r\n").await, Err(NodeError::Refused(_))));
    }

    #[tokio::test]
    async fn r19_a_store_on_a_node_that_refuses_often_leaves_what_is_there() {
        let set = |mode| Command::Set { key: "k".into(), value: "v".into(), flags: 9, ttl: 60, mode };
        let none = "SERVER_ERROR out of memory storing object\r\n";
        for (mode, sent, told, reply) in [
            (
                Mode::Cas(4),
                "cas k 9 60 1 4\r\nv\r\nmg k f c t\r\n",
                "STORED\r\nHD f9 c7 t60\r\n",
                Some(Reply::Stored(7)),
            ),
            (
                Mode::Cas(4),
                "cas k 9 60 1 4\r\nv\r\nmg k f c t\r\n",
                "STORED\r\nHD f8 c7 t60\r\n",
                Some(Reply::Stored(0)),
            ),
            (
                Mode::Cas(4),
                "cas k 9 60 1 4\r\nv\r\nmg k f c t\r\n",
                "EXISTS\r\nHD f8 c7 t60\r\n",
                Some(Reply::Exists),
            ),
            (
                Mode::Cas(4),
                "cas k 9 60 1 4\r\nv\r\nmg k f c t\r\n",
                "NOT_FOUND\r\nEN\r\n",
                Some(Reply::NotFound),
            ),
            (Mode::Cas(4), "cas k 9 60 1 4\r\nv\r\nmg k f c t\r\n", none, None),
            (
                Mode::Add,
                "add k 9 60 1\r\nv\r\nmg k f c t\r\n",
                "STORED\r\nHD f9 c7 t60\r\n",
                Some(Reply::Stored(7)),
            ),
            (
                Mode::Add,
                "add k 9 60 1\r\nv\r\nmg k f c t\r\n",
                "NOT_STORED\r\nHD f9 c7 t60\r\n",
                Some(Reply::Exists),
            ),
            (Mode::Add, "add k 9 60 1\r\nv\r\nmg k f c t\r\n", none, None),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            theirs.write_all(told.as_bytes()).await.unwrap();
            let mut ours = BufReader::new(ours);
            let batch = [set(mode)];
            let answer = run(&mut ours, &batch, Refuses::Often).await;
            match reply {
                Some(reply) => assert_eq!(answer, Ok(vec![reply]), "{told}"),
                None => assert!(matches!(answer, Err(NodeError::Refused(_))), "{answer:?}"),
            }
            let mut said = vec![0; sent.len()];
            theirs.read_exact(&mut said).await.unwrap();
            assert_eq!(String::from_utf8(said).unwrap(), sent);
        }
        // What is written over anything needs no such care.
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"HD c7\r\n").await.unwrap();
        let answer = run(&mut BufReader::new(ours), &[set(Mode::Set)], Refuses::Often).await;
        assert_eq!(answer, Ok(vec![Reply::Stored(7)]));
    }

    #[tokio::test]
    async fn a_lie_is_an_error() {
        let get = Command::Get { key: "k".into(), value: true };
        let peek = Command::Get { key: "k".into(), value: false };
        let set = Command::Set { key: "k".into(), value: "v".into(), flags: 0, ttl: 0, mode: Mode::Set };
        for (command, told) in [
            (&get, "VA 1073741824 c1 t1\r\nvalue\r\n"),
            (&get, "VA 18446744073709551615 c1 t1\r\nvalue\r\n"),
            (&get, "VA 3 c1 t1\r\nvalue\r\n"),
            (&get, "VA -1 c1 t1\r\n"),
            (&get, "VA c1\r\n"),
            (&get, "HD t1\r\n"),
            (&get, "HD c1 tx\r\n"),
            (&get, "NF\r\n"),
            (&get, "HD f1 c1 t1\r\n"),
            (&get, "VA 5 c1 t1\r\nvalue\r\n"),
            (&peek, "VA 5 f1 c1 t1\r\nvalue\r\n"),
            (&set, "EN\r\n"),
            (&set, "HD\r\n"),
            (&set, "STORED\r\n"),
            (&set, "\r\n"),
        ] {
            let answer = answered(command, told).await;
            assert!(matches!(answer, Err(NodeError::Protocol(_))), "{told:?}: {answer:?}");
        }
    }
}
