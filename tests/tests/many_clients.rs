//! Ten thousand clients that do nothing and a thousand that read slowly, and what others notice of them.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use satchel_tests::client::{connect, read_response};
use satchel_tests::origin::Connection;
use satchel_tests::{Client, Gateway, Origin};

const IDLE: usize = 10_000;
const SLOW: usize = 1_000;
/// Of a page for a slow reader: beyond the socket buffers of a client that wants little.
const BYTES: usize = 500_000;
const OTHERS: usize = 200;

/// As many files as the machine lets a process open; the gateway inherits it.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

fn serve(mut client: TcpStream, connection: &Connection) {
    let page = vec![b'x'; BYTES];
    while let Some(request) = connection.read_request(&mut client) {
        let body = if request.starts_with(b"GET /page ") { &page[..] } else { b"ok" };
        let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if client.write_all(header.as_bytes()).and_then(|()| client.write_all(body)).is_err() {
            return;
        }
    }
}

fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
}

fn is_served(stream: &mut TcpStream) -> bool {
    ask(stream, "/");
    read_response(&mut BufReader::new(stream), false).unwrap().status == 200
}

/// Of requests that others send meanwhile: the median and the slowest of a hundred.
fn others(port: u16) -> (Duration, Duration) {
    let mut client = Client::new(port);
    let mut took: Vec<_> = (0..OTHERS)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(client.get("/").status, 200);
            began.elapsed()
        })
        .collect();
    took.sort();
    (took[OTHERS / 2], took[OTHERS * 99 / 100])
}

#[test]
fn ten_thousand_idle_clients_and_a_thousand_slow_readers() {
    assert!(open_files() >= 16_000, "allow 16,000 open files: ulimit -n 16000");
    let origin = Origin::with(serve);
    let mut gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\nhttp.keepalive_timeout = \"600s\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \
             \"127.0.0.1:{}\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\n",
            origin.port()
        )
    });
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.port()));
    let alone = others(gateway.port());
    let alone_kib = gateway.process().memory_kib();

    let mut idle: Vec<_> = (0..IDLE)
        .map(|_| {
            let mut stream = connect(address).unwrap();
            assert!(is_served(&mut stream));
            stream
        })
        .collect();
    let idle_kib = gateway.process().memory_kib();
    let beside_idle = others(gateway.port());

    let mut slow: Vec<_> = (0..SLOW)
        .map(|_| {
            let mut stream = connect(address).unwrap();
            set_socket_recv_buffer_size(&stream, 32 * 1024).unwrap();
            ask(&mut stream, "/page");
            stream
        })
        .collect();
    let (stop, go_on) = mpsc::channel::<()>();
    let readers = thread::spawn(move || {
        // 1 KB a second.
        let mut read = vec![0; SLOW];
        let mut piece = [0; 1000];
        while go_on.recv_timeout(Duration::from_secs(1)).is_err() {
            for (stream, read) in slow.iter_mut().zip(&mut read) {
                *read += stream.read(&mut piece).unwrap();
            }
        }
        (slow, read)
    });
    let beside_all = others(gateway.port());
    let all_kib = gateway.process().memory_kib();
    stop.send(()).unwrap();
    let (slow, read) = readers.join().unwrap();

    println!("alone: {alone_kib} KiB, median and 99 % of other requests {alone:?}");
    println!("beside {IDLE} idle clients: {idle_kib} KiB, {beside_idle:?}");
    println!("and {SLOW} slow readers: {all_kib} KiB, {beside_all:?}");
    assert!(all_kib < 1_500_000, "{all_kib} KiB");
    // All of them are still served; of the pages some are read to their end.
    assert!(idle.iter_mut().all(is_served));
    for (mut stream, read) in slow.into_iter().zip(read).take(20) {
        let mut left = vec![0; BYTES - read];
        stream.read_exact(&mut left).unwrap();
        assert!(left.ends_with(b"xxxx"));
    }
}
