//! One small question over HTTP, to a server or a sidecar.

use bytes::Bytes;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;

/// Asks `peer` for `path`. The status and, up to so many bytes, the body. Who asks bounds the time.
///
/// # Errors
/// Why there is no answer.
pub async fn get(
    connector: &Connector,
    mut peer: HttpPeer,
    (host, path): (&str, &str),
    limit: usize,
) -> Result<(u16, Vec<u8>), String> {
    let text = |error: Box<pingora_core::Error>| error.to_string();
    peer.options.idle_timeout = Some(std::time::Duration::ZERO);
    let (mut session, _) = connector.get_http_session(&peer).await.map_err(text)?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), None).map_err(text)?;
    request.insert_header("Host", host).map_err(text)?;
    request.insert_header("Connection", "close").map_err(text)?;
    request.insert_header("User-Agent", "satchel-check").map_err(text)?;
    session.write_request_header(Box::new(request)).await.map_err(text)?;
    session.finish_request_body().await.map_err(text)?;
    session.read_response_header().await.map_err(text)?;
    let status = session.response_header().map_or(0, |response| response.status.as_u16());
    let mut body: Vec<u8> = Vec::new();
    while body.len() < limit
        && let Some(part) = session.read_response_body().await.map_err(text)?
    {
        let part: Bytes = part;
        body.extend_from_slice(&part[..part.len().min(limit - body.len())]);
    }
    Ok((status, body))
}
