//! One small question over HTTP: to a server, a sidecar, a collector.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use pingora::ErrorType;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

/// What is asked, and of whom.
pub struct Question<'a> {
    /// Where it is asked.
    pub address: SocketAddr,
    /// Over TLS: the name that the certificate has to have.
    pub tls: Option<&'a str>,
    /// `GET`, or another one.
    pub method: &'a str,
    /// `Host`.
    pub host: &'a str,
    /// With its query.
    pub path: &'a str,
    /// Further fields of the header.
    pub fields: &'a HeaderMap,
    /// Empty: there is none.
    pub body: Bytes,
}

/// Asks on a connection of its own. The status, and so many bytes of the body at most. Who asks bounds the time.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(
    connector: &Connector,
    question: Question<'_>,
    limit: usize,
) -> Result<(u16, Vec<u8>), String> {
    let mut peer =
        HttpPeer::new(question.address, question.tls.is_some(), question.tls.unwrap_or_default().to_owned());
    peer.options.idle_timeout = Some(Duration::ZERO);
    let mut request = RequestHeader::build(question.method, question.path.as_bytes(), None).map_err(text)?;
    for (name, value) in question.fields {
        request.append_header(name, value).map_err(text)?;
    }
    request.insert_header(HOST, question.host).map_err(text)?;
    request.insert_header(CONNECTION, "close").map_err(text)?;
    request.insert_header(USER_AGENT, "satchel").map_err(text)?;
    if !question.body.is_empty() {
        request.insert_header(CONTENT_LENGTH, question.body.len()).map_err(text)?;
    }
    let (mut session, _) = connector.get_http_session(&peer).await.map_err(text)?;
    session.write_request_header(Box::new(request)).await.map_err(text)?;
    if !question.body.is_empty() {
        session.write_request_body(question.body, true).await.map_err(text)?;
    }
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

/// In short: what everybody knows by its name, and otherwise Pingora's words.
fn text(error: Box<pingora::Error>) -> String {
    match error.root_etype() {
        ErrorType::ConnectRefused => "the connection is refused".into(),
        ErrorType::ConnectNoRoute => "there is no route to it".into(),
        ErrorType::InvalidHTTPHeader => "its answer is no HTTP".into(),
        _ => error.to_string(),
    }
}
