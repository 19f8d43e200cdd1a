//! The PROXY protocol's header, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): who the client is, told by a balancer that passes
//! connections on. Whoever can connect can write one, so it is only remembered here; a trusted proxy's is believed, request by request.

use std::net::SocketAddr;
use std::sync::Once;

use ipnet::IpNet;
use pingora_core::protocols::Digest;
use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::known::Known;
use crate::forwarding::is_trusted;

/// Of version 1, with its line end.
const V1_MAX: usize = 107;
/// Of what version 2 says after its first 16 bytes: balancers add certificates' names and the like, never more.
const V2_MAX: usize = 4096;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// It ended before.
    #[error("the client left before its PROXY protocol header had come")]
    Left(#[from] std::io::Error),
    /// It begins with something else.
    #[error("it does not begin with a PROXY protocol header: {0}")]
    Malformed(String),
}

/// Reads the header and not one byte more. The client that it names, if it names one.
///
/// # Errors
/// [`ProxyProtocolError`].
pub async fn take(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    parse(&read(stream).await?)
}

/// The client of a connection: whom its header names, if it has one and the peer is a trusted proxy; otherwise the peer, as in nginx.
pub fn client(connection: Option<&Digest>, peer: SocketAddr, trusted: &[IpNet]) -> SocketAddr {
    static SAID: Once = Once::new();
    match connection.and_then(|digest| Known::of(digest)?.named) {
        None => peer,
        Some(client) if is_trusted(peer.ip(), trusted) => {
            SocketAddr::new(client.ip().to_canonical(), client.port())
        }
        Some(_) => {
            let ip = peer.ip();
            log::debug!("{ip} is not in trusted_proxies: its PROXY protocol header is not believed");
            SAID.call_once(|| {
                log::warn!(
                    "{ip} sends PROXY protocol headers and is not in trusted_proxies: it counts as the client itself. This is said once"
                );
            });
            peer
        }
    }
}

/// The header's bytes and not one more.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProxyProtocolError> {
    let mut header = vec![0; V2_SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == V2_SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        header.extend_from_slice(&rest);
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if len > V2_MAX {
            return Err(ProxyProtocolError::Malformed(format!("it is {len} bytes long")));
        }
        header.resize(header.len() + len, 0);
        stream.read_exact(&mut header[16..]).await?;
        return Ok(header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(ProxyProtocolError::Malformed("neither version 1 nor 2".into()));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == V1_MAX {
            return Err(ProxyProtocolError::Malformed("its line does not end".into()));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(header)
}

/// The client; `None`: the balancer itself (`LOCAL`, `UNKNOWN`).
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let malformed = |error: &dyn std::fmt::Display| ProxyProtocolError::Malformed(error.to_string());
    let parsed = HeaderResult::parse(header);
    if parsed.is_incomplete() {
        return Err(ProxyProtocolError::Malformed("it is cut".into()));
    }
    Ok(match parsed {
        HeaderResult::V1(result) => match result.map_err(|error| malformed(&error))?.addresses {
            v1::Addresses::Tcp4(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Tcp6(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(result) => {
            let header = result.map_err(|error| malformed(&error))?;
            match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(a) => Some((a.source_address, a.source_port).into()),
                v2::Addresses::IPv6(a) => Some((a.source_address, a.source_port).into()),
                _ => None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn taken(bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, usize) {
        let mut rest = bytes;
        let result = match read(&mut rest).await {
            Ok(header) => parse(&header),
            Err(error) => Err(error),
        };
        (result.map_err(|error| error.to_string()), rest.len())
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_request() {
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET /";
        assert_eq!(taken(v1).await, (Ok("192.0.2.1:56324".parse().ok()), 5));
        let six = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(taken(six).await.0, Ok("[2001:db8::1]:1".parse().ok()));
        assert_eq!(taken(b"PROXY UNKNOWN\r\nGET /").await, (Ok(None), 5));
        let mut v2 = V2_SIGNATURE.to_vec();
        v2.extend_from_slice(&[0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
        v2.extend_from_slice(b"GET /");
        assert_eq!(taken(&v2).await, (Ok("192.0.2.7:4660".parse().ok()), 5));
        let mut local = V2_SIGNATURE.to_vec();
        local.extend_from_slice(&[0x20, 0, 0, 0]);
        assert_eq!(taken(&local).await.0, Ok(None));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let mut huge = V2_SIGNATURE.to_vec();
        huge.extend_from_slice(&[0x21, 0x11, 0xff, 0xff]);
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in
            [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"PROXY", b"PROXY TCP4 a b c d\r\n", &huge, &endless]
        {
            assert!(taken(bytes).await.0.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let named = |client: &str| {
            let known = Known { named: client.parse().ok(), uploads: None };
            Digest { proxy_digest: known.digest(), ..Digest::default() }
        };
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let of =
            |digest: &Digest, peer: &str| client(Some(digest), peer.parse().unwrap(), &trusted).to_string();
        assert_eq!(of(&named("192.0.2.1:5"), "10.0.0.1:9"), "192.0.2.1:5");
        assert_eq!(of(&named("[::ffff:192.0.2.1]:5"), "10.0.0.1:9"), "192.0.2.1:5");
        assert_eq!(of(&named("10.0.0.1:5"), "203.0.113.1:9"), "203.0.113.1:9");
        assert_eq!(of(&Digest::default(), "10.0.0.1:9"), "10.0.0.1:9");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), v2: bool) {
            let mut all = if v2 { V2_SIGNATURE.to_vec() } else { b"PROXY ".to_vec() };
            all.extend_from_slice(&bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(taken(&all));
        }
    }
}
