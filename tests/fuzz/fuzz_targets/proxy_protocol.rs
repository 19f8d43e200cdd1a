//! A header is taken whole and not one byte more, however it arrives. Input: a byte that says how large the pieces are, and what comes.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use gateway::entry::proxy_protocol::take;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

thread_local!(static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime"));

const V1_MAX: usize = 107;
const V2_MAX: usize = 16 + 4096;

fuzz_target!(|data: &[u8]| {
    let Some((piece, data)) = data.split_first() else { return };
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut rest = data;
            let whole = take(&mut rest).await.map_err(|error| error.to_string());
            let (pieces, left) = in_pieces(data, usize::from(*piece).max(1)).await;
            assert_eq!((&whole, rest), (&pieces, &left[..]));
            if let Ok(client) = whole {
                let header = &data[..data.len() - rest.len()];
                assert!(header.len() <= if header.starts_with(b"PROXY ") { V1_MAX } else { V2_MAX });
                says(header, client);
            }
        });
    });
});

async fn in_pieces(data: &[u8], size: usize) -> (Result<Option<SocketAddr>, String>, Vec<u8>) {
    let (mut ours, mut theirs) = duplex(size);
    let send = async {
        let _ = theirs.write_all(data).await;
        let _ = theirs.shutdown().await;
    };
    let receive = async {
        let taken = take(&mut ours).await.map_err(|error| error.to_string());
        let mut left = Vec::new();
        let _ = ours.read_to_end(&mut left).await;
        (taken, left)
    };
    tokio::join!(send, receive).1
}

/// A header of version 1 names the client in words.
fn says(header: &[u8], client: Option<SocketAddr>) {
    let Some(words) = header.strip_prefix(b"PROXY TCP").and_then(|rest| std::str::from_utf8(rest).ok())
    else {
        return;
    };
    let words: Vec<_> = words.trim_end().split(' ').collect();
    let ip = words[1].parse::<IpAddr>().ok();
    let named = ip.zip(words[3].parse::<u16>().ok()).map(SocketAddr::from);
    assert_eq!(client, named);
}
