//! A network between a sidecar and a memcached that can be cut: what was on its way is lost, and nobody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::ports;

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
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                shared.connect(client, target);
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
        self.state.close_all();
        self.state.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.state.close_all();
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn connect(self: &Arc<Self>, client: TcpStream, target: u16) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(kept) = client.try_clone() else { return };
        self.open().push((number, kept));
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
            // Nobody listens there: the client is to see that too.
            self.close(number);
            return;
        };
        let Ok(kept) = server.try_clone() else { return };
        self.open().push((number, kept));
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
        let (one, other) = (self.clone(), self.clone());
        thread::spawn(move || one.pump(number, from_client, server));
        thread::spawn(move || other.pump(number, from_server, client));
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

    fn close_all(&self) {
        for (_, stream) in self.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
