//! What comes from a node, read within bounds: whoever speaks for a node may send lines and values without end, or announce such.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use satchel_common::address::HostPort;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::node::NodeError;

/// Bytes of the longest line that is read. A node's own are below 300: a key has 250 at most.
const LINE_MAX: usize = 2048;
/// No more room is made before there is something to put into it, in bytes: a length costs whoever announces it nothing.
const ROOM_AT_FIRST: usize = 64 * 1024;

/// A connection to a node.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Resolves and connects.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`].
    pub async fn connect(address: &HostPort) -> Result<Self, NodeError> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), NodeError> {
        self.0.get_mut().write_all(bytes).await.map_err(unreachable)
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// [`NodeError::Protocol`] if it does not end.
    pub async fn line(&mut self) -> Result<Vec<u8>, NodeError> {
        let mut line = Vec::new();
        (&mut self.0).take(LINE_MAX as u64).read_until(b'\n', &mut line).await.map_err(unreachable)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(if line.len() < LINE_MAX { closed() } else { protocol("a line without end") });
        }
        line.pop_if(|last| *last == b'\r');
        Ok(line)
    }

    /// The `length` bytes of a value, and the end of line behind them.
    ///
    /// # Errors
    /// [`NodeError::Protocol`] if they are more than `max`, or something else is behind them.
    pub async fn value(&mut self, length: usize, max: usize) -> Result<Vec<u8>, NodeError> {
        if length > max {
            return Err(protocol(&format!("a value of {length} bytes, where {max} are possible")));
        }
        let whole = length.saturating_add(2);
        let mut value = Vec::with_capacity(whole.min(ROOM_AT_FIRST));
        (&mut self.0).take(whole as u64).read_to_end(&mut value).await.map_err(unreachable)?;
        if value.len() < whole {
            return Err(closed());
        }
        if !value.ends_with(b"\r\n") {
            return Err(protocol("a value of another length than was announced"));
        }
        value.truncate(length);
        Ok(value)
    }

    /// Whether nothing has come that nobody has read: it would be taken for the next answer.
    pub fn is_read_up(&self) -> bool {
        self.0.buffer().is_empty()
    }

    /// Whether it is still open while it is idle, and quiet.
    pub fn is_usable(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(self.0.get_ref().as_fd(), &mut [0; 1], peek);
        self.is_read_up() && matches!(seen, Err(Errno::WOULDBLOCK))
    }
}

/// What was not understood.
pub fn protocol(text: &str) -> NodeError {
    NodeError::Protocol(text.to_owned())
}

fn unreachable(error: std::io::Error) -> NodeError {
    NodeError::Unreachable(error.to_string())
}

fn closed() -> NodeError {
    NodeError::Unreachable("closed by the node".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wire(sent: Vec<u8>) -> Wire {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let wire = Wire::connect(&listener.local_addr().unwrap().to_string().parse().unwrap()).await.unwrap();
        let (mut node, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { node.write_all(&sent).await });
        wire
    }

    #[tokio::test]
    async fn lines_and_values_are_read() {
        let mut wire = wire(b"VA 4 c1\r\na\r\nb\r\nHD\nE".to_vec()).await;
        assert_eq!(wire.line().await.unwrap(), b"VA 4 c1");
        assert_eq!(wire.value(4, 4).await.unwrap(), b"a\r\nb");
        assert_eq!(wire.line().await.unwrap(), b"HD");
        assert!(matches!(wire.line().await, Err(NodeError::Unreachable(_))), "cut off");
        assert!(!wire.is_usable());
    }

    #[tokio::test]
    async fn a_line_without_end_is_read_up_to_its_bound() {
        let mut wire = wire(vec![b'x'; 1 << 20]).await;
        assert_eq!(wire.line().await, Err(protocol("a line without end")));
    }

    #[tokio::test]
    async fn a_value_is_as_long_as_was_announced_and_allowed() {
        for (length, max) in [(5, 4), (usize::MAX, usize::MAX - 1)] {
            let mut wire = wire(b"abcdef\r\n".to_vec()).await;
            assert!(matches!(wire.value(length, max).await, Err(NodeError::Protocol(_))));
        }
        let mut short = wire(b"abcdef\r\n".to_vec()).await;
        assert!(matches!(short.value(3, 100).await, Err(NodeError::Protocol(_))));
        let mut long = wire(b"abcdef\r\n".to_vec()).await;
        assert!(matches!(long.value(1 << 40, 1 << 41).await, Err(NodeError::Unreachable(_))));
    }

    #[tokio::test]
    async fn what_nobody_asked_for_makes_a_connection_useless() {
        let mut wire = wire(b"HD\r\nHD\r\n".to_vec()).await;
        assert_eq!(wire.line().await.unwrap(), b"HD");
        assert!(!wire.is_read_up() && !wire.is_usable());
    }
}
