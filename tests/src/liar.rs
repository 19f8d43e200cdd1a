//! A memcached that lies: a real one behind a proxy that changes its answers by a rule.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What is sent in place of an answer.
pub enum Lie {
    /// These bytes.
    Say(Vec<u8>),
    /// These, and then the connection is closed.
    SayAndClose(Vec<u8>),
    /// These, one after the other with this pause between two.
    Drip(Vec<u8>, Duration),
    /// These again and again until the other end closes.
    Endless(Vec<u8>),
}

/// What a rule is shown: the bytes that were asked last on the connection, and what is about to be answered.
pub type Rule = dyn Fn(&[u8], &[u8]) -> Lie + Send + Sync;

/// A TCP proxy in front of one memcached. It ends with its handle.
pub struct Liar {
    port: u16,
    state: Arc<State>,
}

struct State {
    rule: Mutex<Arc<Rule>>,
    told: AtomicU64,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Liar {
    /// In front of the memcached on `target`. It says the truth until [`lie`](Self::lie).
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            rule: Mutex::new(Arc::new(truth)),
            told: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                thread::spawn(move || shared.serve(&client, target));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on answers are what `rule` makes of them, on new connections.
    pub fn lie(&self, rule: impl Fn(&[u8], &[u8]) -> Lie + Send + Sync + 'static) {
        *guard(&self.state.rule) = Arc::new(rule);
        self.state.close_all();
    }

    /// The truth again. Connections on which a lie may still be under way are closed.
    pub fn stop_lying(&self) {
        *guard(&self.state.rule) = Arc::new(truth);
        self.state.close_all();
    }

    /// How many answers were something else than the truth.
    pub fn told(&self) -> u64 {
        self.state.told.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.close_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// An answer as it is.
pub fn truth(_asked: &[u8], answer: &[u8]) -> Lie {
    Lie::Say(answer.to_vec())
}

/// Whether a key of a record, `s…`, was asked for with its value.
pub fn is_of_record(asked: &[u8], answer: &[u8]) -> bool {
    contains(asked, b"mg s") && contains(answer, b"VA ")
}

/// Whether `what` is somewhere in `bytes`.
pub fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// `bytes` with the first `what` replaced.
///
/// # Panics
/// When it is not there.
pub fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let at = bytes.windows(what.len()).position(|window| window == what).expect("it is there");
    [&bytes[..at], by, &bytes[at + what.len()..]].concat()
}

impl State {
    fn serve(self: Arc<Self>, client: &TcpStream, target: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let _ = client.set_nodelay(true);
        guard(&self.open).extend([client.try_clone(), server.try_clone()].into_iter().flatten());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
        let heard = asked.clone();
        thread::spawn(move || pass_on(from_client, to_server, &heard));
        self.answer(server, client, &asked);
        let _ = client.shutdown(Shutdown::Both);
    }

    fn answer(&self, mut server: TcpStream, mut client: &TcpStream, asked: &Mutex<Vec<u8>>) {
        let mut buffer = vec![0; 4 << 20];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let question = std::mem::take(&mut *guard(asked));
            let truth = &buffer[..read];
            let rule = guard(&self.rule).clone();
            let lie = rule(&question, truth);
            if !matches!(&lie, Lie::Say(bytes) if bytes == truth) {
                self.told.fetch_add(1, Ordering::SeqCst);
            }
            let sent = match lie {
                Lie::Say(bytes) => client.write_all(&bytes),
                Lie::SayAndClose(bytes) => {
                    let _ = client.write_all(&bytes);
                    break;
                }
                Lie::Drip(bytes, pause) => bytes.iter().try_for_each(|byte| {
                    thread::sleep(pause);
                    client.write_all(&[*byte])
                }),
                Lie::Endless(bytes) => loop {
                    if let Err(error) = client.write_all(&bytes) {
                        break Err(error);
                    }
                },
            };
            if sent.is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }

    fn close_all(&self) {
        for stream in guard(&self.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        guard(heard).extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn guard<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
