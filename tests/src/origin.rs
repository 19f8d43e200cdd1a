//! A back end that writes down, byte for byte, what reaches it. For what no real server shows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A back end. It ends with its handle.
pub struct Origin {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Vec<u8>>>,
    ended: AtomicBool,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

impl Origin {
    /// Answers a request with 200, and goes on reading until its client closes.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start() -> Self {
        Self::with(|client, connection| connection.serve(client))
    }

    /// Does with each connection what `handle` says.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn with(handle: impl Fn(TcpStream, &Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (shared, handle) = (state.clone(), Arc::new(handle));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let _ = client.set_nodelay(true);
                let at = shared.begin();
                let (connection, handle) = (Connection { state: shared.clone(), at }, handle.clone());
                thread::spawn(move || handle(client, &connection));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What each connection has brought until now.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.state.received().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn received(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> usize {
        let mut received = self.received();
        received.push(Vec::new());
        received.len() - 1
    }
}

/// One connection of a client.
pub struct Connection {
    state: Arc<State>,
    at: usize,
}

impl Connection {
    /// Reads until the next request is there; `None`: the client has closed.
    pub fn read_request(&self, client: &mut TcpStream) -> Option<Vec<u8>> {
        let before = self.state.received()[self.at].len();
        let mut piece = [0; 4096];
        loop {
            let request = self.state.received()[self.at][before..].to_vec();
            if is_whole(&request) {
                return Some(request);
            }
            match client.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.state.received()[self.at].extend_from_slice(&piece[..read]),
            }
        }
    }

    /// Answers one request with 200 and closes, but goes on reading until the client closes too.
    fn serve(&self, mut client: TcpStream) {
        if self.read_request(&mut client).is_some() {
            let _ = client.write_all(ANSWER);
        }
        let _ = client.shutdown(Shutdown::Write);
        while self.read_request(&mut client).is_some() {}
    }
}

/// Whether a request with its body is there, as far as the simple framing goes that a proxy sends.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
