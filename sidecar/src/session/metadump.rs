//! All keys that a memcached holds: `lru_crawler metadump` (memcached's `doc/protocol.txt`). It walks over everything without stopping the others.

use std::time::Duration;

use satchel_common::address::HostPort;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::memcached::NodeError;
use crate::memcached::wire::{line, lost};

/// For each line: the crawler rests now and then.
const LINE_WITHIN: Duration = Duration::from_secs(10);
/// Another crawl may be going on.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const TRIES: usize = 50;

/// What is told of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its key.
    pub key: String,
    /// When it ends, in seconds since 1970; `None`: never.
    pub ends: Option<u64>,
    /// When it was last asked for, in seconds since 1970; memcached notes it about once a minute.
    pub used: u64,
    /// Bytes of memory.
    pub size: u64,
}

/// Tells each item of a node.
///
/// # Errors
/// As [`NodeError`]; [`NodeError::Protocol`] if it does not know the command.
pub async fn each(
    address: &HostPort,
    connect_within: Duration,
    mut tell: impl FnMut(Line),
) -> Result<(), NodeError> {
    for _ in 0..TRIES {
        // By the table of keys nothing is missed that moves in the lists meanwhile; older ones know only the lists.
        match crawl(address, connect_within, "hash", &mut tell).await? {
            Crawled::Done => return Ok(()),
            Crawled::Unknown => match crawl(address, connect_within, "all", &mut tell).await? {
                Crawled::Done => return Ok(()),
                Crawled::Unknown => {
                    return Err(NodeError::Protocol("it does not know lru_crawler metadump".into()));
                }
                Crawled::Busy => {}
            },
            Crawled::Busy => {}
        }
        sleep(AGAIN_AFTER).await;
    }
    Err(NodeError::Protocol("another crawl (lru_crawler) has been going on all the time".into()))
}

enum Crawled {
    Done,
    Busy,
    Unknown,
}

async fn crawl(
    address: &HostPort,
    connect_within: Duration,
    what: &str,
    tell: &mut impl FnMut(Line),
) -> Result<Crawled, NodeError> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let stream = timeout(connect_within, connect).await.map_err(|_| NodeError::Timeout)?.map_err(lost)?;
    // One that hangs takes the connection all the same: it is asked for its version first, and alone.
    let mut wire = BufReader::new(stream);
    wire.write_all(b"version\r\n").await.map_err(lost)?;
    timeout(connect_within, line(&mut wire)).await.map_err(|_| NodeError::Timeout)??;
    wire.write_all(format!("lru_crawler metadump {what}\r\n").as_bytes()).await.map_err(lost)?;
    loop {
        let line = timeout(LINE_WITHIN, line(&mut wire)).await.map_err(|_| NodeError::Timeout)??;
        let text = String::from_utf8_lossy(&line);
        match text.split_whitespace().next() {
            Some("END") => return Ok(Crawled::Done),
            Some("BUSY") => return Ok(Crawled::Busy),
            Some("ERROR" | "CLIENT_ERROR" | "BADCLASS" | "NOTSTARTED") => return Ok(Crawled::Unknown),
            _ => {
                let parsed =
                    parse(&text).ok_or_else(|| NodeError::Protocol("not a line of metadump".into()))?;
                tell(parsed);
            }
        }
    }
}

/// `key=… exp=1700000000 la=1700000000 cas=7 fetch=yes cls=5 size=300`.
fn parse(line: &str) -> Option<Line> {
    let of = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Some(Line {
        key: of("key")?.to_owned(),
        ends: of("exp")?.parse().ok(),
        used: of("la")?.parse().ok()?,
        size: of("size")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = parse("key=sABC exp=1700001805 la=1700000000 cas=7 fetch=yes cls=5 size=300").unwrap();
        let expected = Line { key: "sABC".into(), ends: Some(1_700_001_805), used: 1_700_000_000, size: 300 };
        assert_eq!(line, expected);
        assert_eq!(parse("key=sABC exp=-1 la=1 cas=7 fetch=no cls=5 size=1").unwrap().ends, None);
        assert_eq!(parse("STAT x 1"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line: String) {
            let _ = parse(&line);
        }
    }
}
