//! A network between a sidecar and a memcached that can be cut: what was on its way is lost, and nobody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ports;

/// Between two looks whether somebody listens again.
const AGAIN: Duration = Duration::from_millis(10);

/// A TCP proxy in front of one port of 127.0.0.1. It ends with its handle.
pub struct Link {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    closed: AtomicBool,
    /// Connections that are open, by a number of their own.
    open: Mutex<Vec<(u64, TcpStream)>>,
    next: AtomicU64,
}

impl Link {
    /// Forwards to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn to(target: u16) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], ports::free())), target)
    }

    /// The same, listening at an address of one's own.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn at(address: SocketAddr, target: u16) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            let mut listener = listener;
            while let Ok((client, _)) = listener.accept() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                if shared.connect(client, target).is_ok() {
                    continue;
                }
                // Nobody listens there: then nobody listens here.
                drop(listener);
                match shared.await_target(address, target) {
                    Some(again) => listener = again,
                    None => return,
                }
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing gets through: connections stay open and silent, as behind a firewall that drops packets.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
    }

    /// New connections get through again; those from before are reset, and what was sent on them is lost.
    pub fn mend(&self) {
        let mut open = self.state.open();
        // Who connects again at once waits for this: it would be one of those from before.
        close_all(&mut open);
        self.state.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        close_all(&mut self.state.open());
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// # Errors
    /// The target can't be reached.
    fn connect(self: &Arc<Self>, client: TcpStream, target: u16) -> std::io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let kept = client.try_clone()?;
        let is_cut = {
            let mut open = self.open();
            open.push((number, kept));
            self.cut.load(Ordering::SeqCst)
        };
        if is_cut {
            return Ok(());
        }
        let server = match TcpStream::connect(("127.0.0.1", target)) {
            Ok(server) => server,
            Err(error) => {
                self.close(number);
                return Err(error);
            }
        };
        self.open().push((number, server.try_clone()?));
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let (one, other) = (self.clone(), self.clone());
        thread::spawn(move || one.pump(number, from_client, server));
        thread::spawn(move || other.pump(number, from_server, client));
        Ok(())
    }

    /// Waits until somebody listens on `target`, and listens at `address` again.
    fn await_target(&self, address: SocketAddr, target: u16) -> Option<TcpListener> {
        while !self.closed.load(Ordering::SeqCst) {
            let there = self.cut.load(Ordering::SeqCst) || TcpStream::connect(("127.0.0.1", target)).is_ok();
            if let (true, Ok(listener)) = (there, TcpListener::bind(address)) {
                return Some(listener);
            }
            thread::sleep(AGAIN);
        }
        None
    }

    fn pump(&self, number: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            // What is read while the link is cut is lost; the connection ends when it is mended.
            if !self.cut.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        if !self.cut.load(Ordering::SeqCst) {
            self.close(number);
        }
    }

    fn close(&self, number: u64) {
        self.open().retain(|(other, stream)| {
            if *other == number {
                let _ = stream.shutdown(Shutdown::Both);
            }
            *other != number
        });
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close_all(open: &mut Vec<(u64, TcpStream)>) {
    for (_, stream) in open.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
