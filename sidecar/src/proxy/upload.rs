//! A request's body, taken in whole before its session is locked (R9): a client that sends slowly must not hold
//! the user's other requests. nginx does the same (`proxy_request_buffering`).
//!
//! What fits into memory stays there. The rest goes into a file without a name, and Pingora reads the request
//! again from [`Replay`]: header, file, and then the connection as before.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora_core::protocols::http::server::Session as HttpSession;
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::replay::Replay;

/// A body up to this size stays in memory: it is what Pingora keeps to send again.
const IN_MEMORY: usize = 64 * 1024;

/// How bodies are taken in.
#[derive(Debug, Clone)]
pub struct Buffering {
    /// `false`: only the first bytes are awaited, and the session is locked while the rest comes.
    pub on: bool,
    /// Bytes of the largest body that is taken in; `None`: any.
    pub max: Option<u64>,
    /// Where the file without a name is made.
    pub directory: PathBuf,
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is here, or as much of it as was asked for.
    Here,
    /// It is larger than what is allowed.
    TooLarge,
    /// It can't be written down; the error is logged.
    NoRoom,
    /// The client went away before it was whole.
    ClientGone,
}

/// Takes the body of `session` in.
///
/// # Errors
/// The connection failed.
pub async fn take_in(session: &mut Session, buffering: &Buffering) -> Result<Taken> {
    let announced = content_length(session.req_header());
    if buffering.on && announced.zip(buffering.max).is_some_and(|(length, max)| length > max) {
        return Ok(Taken::TooLarge);
    }
    session.as_mut().enable_retry_buffering();
    let mut start: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while length <= IN_MEMORY {
        if session.as_mut().is_body_done() {
            return Ok(Taken::Here);
        }
        match session.as_mut().read_body_or_idle(false).await {
            Ok(Some(bytes)) => {
                length += bytes.len();
                start.push(bytes);
            }
            Ok(None) => return Ok(Taken::Here),
            Err(_) => return Ok(Taken::ClientGone),
        }
        if !buffering.on && announced.is_none_or(|announced| announced > IN_MEMORY as u64) {
            return Ok(Taken::Here);
        }
    }
    match spool(session, &start, buffering).await {
        Ok(Ok((file, length))) => replay(session, file, length).await.map(|()| Taken::Here),
        Ok(Err(taken)) => Ok(taken),
        Err(error) => {
            log::error!("client_body_temp_path {}: {error}", buffering.directory.display());
            Ok(Taken::NoRoom)
        }
    }
}

/// Writes the whole body into a file. The file, at its beginning, and its length.
async fn spool(
    session: &mut Session,
    start: &[Bytes],
    buffering: &Buffering,
) -> io::Result<std::result::Result<(File, u64), Taken>> {
    let directory = buffering.directory.clone();
    let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory)).await;
    let mut file = File::from_std(made.map_err(io::Error::other)??);
    let mut length = 0;
    for bytes in start {
        file.write_all(bytes).await?;
        length += bytes.len() as u64;
    }
    while !session.as_mut().is_body_done() {
        match session.as_mut().read_body_or_idle(false).await {
            Ok(Some(bytes)) => {
                length += bytes.len() as u64;
                if buffering.max.is_some_and(|max| length > max) {
                    return Ok(Err(Taken::TooLarge));
                }
                file.write_all(&bytes).await?;
            }
            Ok(None) => break,
            Err(_) => return Ok(Err(Taken::ClientGone)),
        }
    }
    file.flush().await?;
    file.rewind().await?;
    Ok(Ok((file, length)))
}

/// Lets Pingora read the request again, its body from the file.
async fn replay(session: &mut Session, file: File, length: u64) -> Result<()> {
    let request = session.req_header_mut();
    request.remove_header(&TRANSFER_ENCODING);
    request.remove_header(&EXPECT);
    request.insert_header(CONTENT_LENGTH, length.to_string())?;
    let mut head = format!("{} ", request.method).into_bytes();
    head.extend_from_slice(request.raw_path());
    head.extend_from_slice(format!(" {:?}\r\n", request.version).as_bytes());
    request.header_to_h1_wire(&mut head);
    head.extend_from_slice(b"\r\n");
    let nothing = HttpSession::new_http1(Box::new(io::Cursor::new(Vec::<u8>::new())));
    let HttpSession::H1(first) = std::mem::replace(&mut *session.downstream_session, nothing) else {
        return Error::e_explain(ErrorType::InternalError, "only HTTP/1.1 is spoken here");
    };
    let stream = Replay::new(head.into(), file, first.into_inner());
    let mut again = HttpSession::new_http1(Box::new(stream));
    if !again.read_request().await.or_err(ErrorType::InternalError, "while a request was read again")? {
        return Error::e_explain(ErrorType::InternalError, "a request could not be read again");
    }
    // Each replay wraps the connection once more: none is kept for another request.
    again.set_keepalive(None);
    *session.downstream_session = again;
    Ok(())
}

fn content_length(request: &RequestHeader) -> Option<u64> {
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
