//! The meta commands of memcached 1.6: a batch goes out whole, then its answers are read. Commands and the heads of answers are the
//! `memcache` crate's.

use bytes::Bytes;
use memcache::exp::{
    DeleteOptions, Error, GetOptions, MetaCommand, MetaResponse, ReturnCode, SetMode, SetOptions,
    build_delete, build_get, build_set,
};
use tokio::io::AsyncWriteExt;

use super::node::{Command, Item, Mode, NodeError, Reply};
use super::wire::{Wire, line, lost, number, value};

/// Sends the batch and reads its answers. After an error the connection must be dropped.
pub async fn run(wire: &mut impl Wire, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
    let mut request = Vec::new();
    for command in batch {
        encode(command).and_then(|command| command.encode_into(&mut request)).map_err(translate)?;
    }
    wire.write_all(&request).await.map_err(lost)?;
    let mut replies = Vec::with_capacity(batch.len());
    for command in batch {
        replies.push(reply(wire, command).await?);
    }
    Ok(replies)
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
    use tokio::io::BufReader;

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
