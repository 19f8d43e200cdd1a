//! A load that does not hide stalls.
//!
//! Each connection is a thread that sends one request after the other; so nothing of the generator's own scheduling
//! (an event loop that is late, a timer of a millisecond) gets into a latency. At a constant rate a request that had to
//! wait because its connection was still busy is counted from when it was due, not from when it was sent ("coordinated
//! omission" is what leaving that out is called).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::DEADLINE;

/// How requests follow one another.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next one when the last one is answered.
    Saturate,
    /// So many in a second, over all connections.
    Rate(u32),
}

/// Who asks for what.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server, on 127.0.0.1.
    pub port: u16,
    /// How many connections, each a thread.
    pub connections: usize,
    /// The bytes of each user's request. A user belongs to one connection: he never asks for two things at once.
    pub users: Vec<Vec<u8>>,
}

/// What one run has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Of each answered request, in nanoseconds, in ascending order.
    pub latencies: Vec<u64>,
    /// How many answers each user has got, the warming up included.
    pub answered: Vec<u64>,
    /// Requests that were not answered with 200; a connection that failed is made again.
    pub failed: u64,
    /// How long it went on.
    pub time: Duration,
}

impl Load {
    /// Everybody sends the same.
    pub fn alike(port: u16, connections: usize, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes();
        Self { port, connections, users: vec![request; connections] }
    }

    /// Everybody has a session of his own: the `Cookie` header of each.
    pub fn of_users(port: u16, connections: usize, path: &str, cookies: &[String]) -> Self {
        let request = |cookie: &String| {
            format!("GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\n\r\n").into_bytes()
        };
        Self {
            port,
            connections: connections.min(cookies.len()),
            users: cookies.iter().map(request).collect(),
        }
    }

    /// Goes on for `warm` and then for `time`, of which it tells. `at` is called when the second begins and when it ends.
    pub fn run(&self, pace: Pace, warm: Duration, time: Duration, mut at: impl FnMut()) -> Seen {
        let shared = Arc::new(Shared {
            counts: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            failed: AtomicU64::new(0),
        });
        let ready = Arc::new(Barrier::new(self.connections + 1));
        let threads: Vec<_> = (0..self.connections)
            .map(|n| {
                let (shared, ready, port) = (shared.clone(), ready.clone(), self.port);
                let users: Vec<Vec<u8>> =
                    self.users.iter().skip(n).step_by(self.connections).cloned().collect();
                let every = match pace {
                    Pace::Saturate => None,
                    Pace::Rate(rate) => {
                        Some(Duration::from_secs_f64(self.connections as f64 / f64::from(rate)))
                    }
                };
                let offset = every.map(|every| every.mul_f64(n as f64 / self.connections as f64));
                let spawned = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                    let mut connection = Connection::new(port);
                    ready.wait();
                    connection.go(&users, every, offset.unwrap_or_default(), &shared)
                });
                spawned.unwrap()
            })
            .collect();
        ready.wait();
        thread::sleep(warm);
        at();
        let began = Instant::now();
        shared.counts.store(true, Ordering::Relaxed);
        thread::sleep(time);
        shared.counts.store(false, Ordering::Relaxed);
        let time = began.elapsed();
        at();
        shared.stops.store(true, Ordering::Relaxed);
        let mut seen = Seen { answered: vec![0; self.users.len()], time, ..Seen::default() };
        for (n, thread) in threads.into_iter().enumerate() {
            let (latencies, answered) = thread.join().unwrap();
            seen.latencies.extend(latencies);
            for (user, answered) in answered.into_iter().enumerate() {
                seen.answered[n + user * self.connections] = answered;
            }
        }
        seen.latencies.sort_unstable();
        seen.failed = shared.failed.load(Ordering::Relaxed);
        seen
    }
}

impl Seen {
    /// Answers in a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// What this share of the requests did not exceed, in milliseconds (nearest rank).
    pub fn percentile(&self, share: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e6)
    }
}

struct Shared {
    counts: AtomicBool,
    stops: AtomicBool,
    failed: AtomicU64,
}

struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address, stream: connect(address).ok(), buffer: vec![0; 64 * 1024] }
    }

    fn go(
        &mut self,
        users: &[Vec<u8>],
        every: Option<Duration>,
        offset: Duration,
        shared: &Shared,
    ) -> (Vec<u64>, Vec<u64>) {
        let (mut latencies, mut answered) = (Vec::new(), vec![0; users.len()]);
        let mut due = Instant::now() + offset;
        for turn in 0.. {
            if shared.stops.load(Ordering::Relaxed) {
                break;
            }
            let now = Instant::now();
            let from = match every {
                None => now,
                // Busy until now: late by what the server took.
                Some(_) if due <= now => due,
                Some(_) => {
                    thread::sleep(due - now);
                    // That the system woke us late is not the server's doing.
                    Instant::now()
                }
            };
            due += every.unwrap_or_default();
            let user = turn % users.len();
            let result = self.exchange(&users[user]);
            let took = from.elapsed();
            match result {
                Ok(200) => {
                    answered[user] += 1;
                    if shared.counts.load(Ordering::Relaxed) {
                        latencies.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
                    }
                }
                Ok(_) => {
                    shared.failed.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    self.stream = None;
                    shared.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        (latencies, answered)
    }

    /// Sends a request and reads its response whole. Its status.
    fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request)?;
        let (status, keeps) = read_response(&mut stream, &mut self.buffer)?;
        if keeps {
            self.stream = Some(stream);
        }
        Ok(status)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// The status, and whether the connection can be used again.
fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<(u16, bool)> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) =
            response.parse(&buffer[..filled]).map_err(|error| io::Error::other(error.to_string()))?
        else {
            continue;
        };
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let status = response.code.unwrap_or(0);
        let keeps = header("connection") != Some("close");
        if let Some(length) = header("content-length") {
            let length: usize = length.parse().map_err(|_| io::Error::other("content-length"))?;
            let mut left = length.saturating_sub(filled - head);
            while left > 0 {
                let room = buffer.len().min(left);
                match stream.read(&mut buffer[..room])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => left -= read,
                }
            }
        } else if header("transfer-encoding").is_some() {
            // Nothing follows the response: its end is the last chunk's.
            let mut tail = buffer[head..filled].to_vec();
            while !tail.ends_with(b"0\r\n\r\n") {
                match stream.read(buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => tail.extend_from_slice(&buffer[..read]),
                }
                let from = tail.len().saturating_sub(8);
                tail.drain(..from);
            }
        } else {
            while stream.read(buffer)? > 0 {}
            return Ok((status, false));
        }
        return Ok((status, keeps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_stall_is_counted_for_all_that_wait_behind_it() {
        // A server that answers at once, and once after 300 ms.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            for n in 0.. {
                if stream.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                if n == 20 {
                    thread::sleep(Duration::from_millis(300));
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let load = Load::alike(port, 1, "/");
        let seen = load.run(Pace::Rate(100), Duration::ZERO, Duration::from_secs(1), || {});
        let late = seen.latencies.iter().filter(|latency| **latency > 50_000_000).count();
        assert!(late > 15, "{late}: about 25 requests were due in 250 ms");
        assert_eq!(seen.failed, 0);
    }

    #[test]
    fn a_percentile_is_one_of_the_latencies() {
        let seen = Seen { latencies: (1..=100).map(|ms| ms * 1_000_000).collect(), ..Seen::default() };
        assert_eq!([0.5, 0.99, 1.0].map(|share| seen.percentile(share)), [50.0, 99.0, 100.0]);
        assert!(Seen::default().percentile(0.5).is_nan());
    }
}
