//! What is read of a node, within bounds: whoever speaks for a memcached may say anything, and must not fill the memory by it.
//!
//! The `memcache` crate's connections take lines without an end and values of 1 GiB, and its classic client as much as it is told, hence
//! our own reading.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader};

use super::node::NodeError;

/// The largest item. What is larger is cut into chunks, whatever the nodes would take.
pub const VALUE_MAX: usize = 16 << 20;
/// More than any answer's line needs: memcached's own have a key of at most 250 bytes and a few numbers.
const LINE_MAX: u64 = 2048;

/// No more room is made before there is something to put into it, in bytes: a length costs whoever announces it nothing.
const ROOM_AT_FIRST: usize = 1 << 20;

/// A connection that can be read by lines.
pub trait Wire: AsyncBufRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for BufReader<S> {}

/// One line, without its end.
pub async fn line(wire: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, NodeError> {
    let mut line = Vec::new();
    wire.take(LINE_MAX).read_until(b'\n', &mut line).await.map_err(lost)?;
    if line.pop() != Some(b'\n') {
        return Err(match line.len() as u64 + 1 {
            LINE_MAX => NodeError::Protocol("a line that does not end".into()),
            _ => closed(),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// A value of `len` bytes, and the line end behind it.
pub async fn value(wire: &mut (impl AsyncBufRead + Unpin), len: usize) -> Result<Vec<u8>, NodeError> {
    if len > VALUE_MAX {
        return Err(NodeError::Protocol(format!("a value of {len} bytes; we store none that is so large")));
    }
    let whole = len + 2;
    let mut value = Vec::with_capacity(whole.min(ROOM_AT_FIRST));
    wire.take(whole as u64).read_to_end(&mut value).await.map_err(lost)?;
    if value.len() < whole {
        return Err(closed());
    }
    if !value.ends_with(b"\r\n") {
        return Err(NodeError::Protocol("a value that does not end where it should".into()));
    }
    value.truncate(len);
    Ok(value)
}

/// The connection does not work any more.
pub fn lost(error: std::io::Error) -> NodeError {
    NodeError::Unreachable(error.to_string())
}

/// The other end has closed it.
pub fn closed() -> NodeError {
    NodeError::Unreachable("closed by the node".into())
}

/// A number in decimal, and nothing else.
pub fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_has_an_end_within_bounds() {
        let mut wire = &b"EN\r\nHD c1\nrest"[..];
        assert_eq!(line(&mut wire).await.as_deref(), Ok(&b"EN"[..]));
        assert_eq!(line(&mut wire).await.as_deref(), Ok(&b"HD c1"[..]));
        assert!(matches!(line(&mut wire).await, Err(NodeError::Unreachable(_))));
        let endless = vec![b'x'; 1 << 20];
        let mut wire = &endless[..];
        assert!(matches!(line(&mut wire).await, Err(NodeError::Protocol(_))));
        assert!(wire.len() > endless.len() - 4096, "it is not read to its end");
    }

    #[tokio::test]
    async fn a_value_is_as_long_as_was_said_and_never_huge() {
        assert_eq!(value(&mut &b"abc\r\n"[..], 3).await.as_deref(), Ok(&b"abc"[..]));
        for (bytes, len) in [(&b"abcd\r\n"[..], 3), (b"abc\r\n", VALUE_MAX + 1), (b"abc\r\n", usize::MAX)] {
            assert!(matches!(value(&mut { bytes }, len).await, Err(NodeError::Protocol(_))), "{len}");
        }
        assert!(matches!(value(&mut &b"abc"[..], 3).await, Err(NodeError::Unreachable(_))));
    }
}
