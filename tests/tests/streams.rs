//! What is not request and response: tunnels, continued and large bodies, event streams.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use satchel_tests::client::{connect, read_response};
use satchel_tests::{Client, Farm, eventually};

fn open(port: u16, request: &[u8]) -> BufReader<TcpStream> {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    stream.write_all(request).unwrap();
    BufReader::new(stream)
}

/// A text frame as a client sends it (RFC 6455, 5.2), with a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn echo(tunnel: &mut BufReader<TcpStream>, text: &str) {
    tunnel.get_mut().write_all(&frame(text)).unwrap();
    let mut answer = vec![0; 2 + text.len()];
    tunnel.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[2..], text.as_bytes());
}

#[test]
fn r15_a_websocket_holds_no_session_and_its_handshake_is_stored() {
    let farm = Farm::start();
    let mut user = farm.client();
    let mut n = 1;
    assert_eq!(user.get("/kind/small").number("n"), Some(n));
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let request = user.request("GET", "/ws", &upgrade, b"");
    let mut tunnel = open(farm.gateway.port(), &request);
    let response = read_response(&mut tunnel, false).unwrap();
    assert_eq!(response.status, 101, "{}", response.text());
    n += 1;
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < Duration::from_secs(30) {
        echo(&mut tunnel, &format!("round {round}"));
        n += 1;
        let seen = user.get("/kind/small");
        assert_eq!(seen.number("n"), Some(n), "round {round}: {} {}", seen.status, seen.text());
        round += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    echo(&mut tunnel, "still open");
    assert_eq!(farm.counted("handshakes"), 1);
    drop(tunnel);
    farm.await_quiet();
}

#[test]
fn r09_a_post_that_expects_100_keeps_its_change() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    for n in 2..8 {
        let headers = [("Expect", "100-continue"), ("Content-Length", "5")];
        let request = user.request("POST", "/upload", &headers, b"");
        let mut stream = open(farm.gateway.port(), &request);
        let mut line = [0; 25];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.get_mut().write_all(b"12345").unwrap();
        let response = read_response(&mut stream, false).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!((response.number("read"), response.number("n")), (Some(5), Some(n)));
    }
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(7));
}

const LARGE: usize = 50 << 20;
/// What a process may grow by while it passes [`LARGE`] on.
const GROWTH_KIB: u64 = 16 << 10;

fn memory(farm: &mut Farm) -> [u64; 3] {
    [
        farm.gateway.process().memory_kib(),
        farm.sidecars[0].process().memory_kib(),
        farm.sidecars[1].process().memory_kib(),
    ]
}

fn check_growth(farm: &mut Farm, before: [u64; 3]) {
    for (now, before) in memory(farm).into_iter().zip(before) {
        assert!(now <= before + GROWTH_KIB, "{before} KiB grew to {now} KiB");
    }
}

#[test]
fn large_bodies_pass_through_in_pieces() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    for n in 1..5 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    let before = memory(&mut farm);
    for session in [true, false] {
        let client = if session { user.at(farm.gateway.port()) } else { farm.client() };
        let request = client.request("GET", &format!("/download?bytes={LARGE}"), &[], b"");
        let mut stream = open(farm.gateway.port(), &request);
        let mut block = vec![0; 1 << 20];
        let mut left = LARGE;
        while left > 0 {
            let read = stream.read(&mut block).unwrap();
            assert!(read > 0, "{left} bytes are missing");
            left = left.saturating_sub(read);
            check_growth(&mut farm, before);
        }
        drop(stream);
        let path = if session { "/upload" } else { "/upload?nosession=1" };
        let length = LARGE.to_string();
        let request = client.request("POST", path, &[("Content-Length", &length)], b"");
        let mut stream = open(farm.gateway.port(), &request);
        for _ in 0..50 {
            stream.get_mut().write_all(&block).unwrap();
            check_growth(&mut farm, before);
        }
        let response = read_response(&mut stream, false).unwrap();
        assert_eq!(response.number("read"), Some(LARGE as i64), "{} {}", response.status, response.text());
    }
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(5));
    farm.await_quiet();
}

#[test]
fn an_event_stream_flows_at_once_and_its_change_is_stored() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let request = user.request("GET", "/sse?n=5&ms=300", &[], b"");
    let mut stream = open(farm.gateway.port(), &request);
    let mut start = vec![0; 200];
    let read = stream.read(&mut start).unwrap();
    assert!(String::from_utf8_lossy(&start[..read]).starts_with("HTTP/1.1 200"));
    assert_eq!(farm.counted("writes"), 1, "the first event came before the last was made");
    // Other requests wait for the session, and then see the stream's change.
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
    assert!(farm.metric("released_unsaved") >= 1);
    farm.await_quiet();
}

#[test]
fn r11_ten_aborted_reloads_run_the_page_at_most_twice_more() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let first = user.start("GET", "/kind/small?ms=2000", &[], b"");
    eventually("the first reload runs", || farm.counted("runs") > ran);
    drop(first);
    for _ in 0..9 {
        drop(user.start("GET", "/kind/small?ms=2000", &[], b""));
    }
    let last = user.get("/kind/small?ms=2000");
    assert_eq!(last.status, 200, "{}", last.text());
    let more = farm.counted("runs") - ran;
    assert!((2..=3).contains(&more), "the page ran {more} times");
    // What the first one wrote is not lost although its client had gone.
    assert_eq!(last.number("n"), Some(1 + more));
    farm.await_quiet();
}

/// Uploads in pieces through the farm; between two of them another request of the session must be served.
fn upload_slowly(header: (&str, &str), body: &[u8], pieces: &[Vec<u8>]) {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let request = user.request("POST", "/upload", &[header], b"");
    let mut slow = open(farm.gateway.port(), &request);
    let mut n = 1;
    for piece in &pieces[..pieces.len() - 1] {
        slow.get_mut().write_all(piece).unwrap();
        n += 1;
        assert_eq!(user.get("/kind/small").number("n"), Some(n), "held up by the upload");
    }
    slow.get_mut().write_all(&pieces[pieces.len() - 1]).unwrap();
    let response = read_response(&mut slow, false).unwrap();
    let read = i64::try_from(body.len()).unwrap();
    assert_eq!((response.number("read"), response.number("n")), (Some(read), Some(n + 1)));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(n + 1));
    farm.await_quiet();
}

#[test]
fn r09_a_slow_upload_holds_no_other_request_up() {
    for length in [60_000, 300_000] {
        let body = vec![b'x'; length];
        let pieces: Vec<_> = body.chunks(length / 10).map(<[u8]>::to_vec).collect();
        upload_slowly(("Content-Length", &length.to_string()), &body, &pieces);
    }
}

#[test]
fn r09_a_slow_upload_in_chunks_holds_no_other_request_up() {
    for length in [60_000, 300_000] {
        let body = vec![b'x'; length];
        let mut pieces: Vec<Vec<u8>> = body
            .chunks(length / 10)
            .map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
            .collect();
        pieces.push(b"0\r\n\r\n".to_vec());
        upload_slowly(("Transfer-Encoding", "chunked"), &body, &pieces);
    }
}

#[test]
fn r09_uploads_of_every_size_arrive_whole() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut n = 1;
    // Around what Pingora keeps in memory to send again, and around what one read brings.
    for size in [1, 16_384, 65_535, 65_536, 65_537, 70_000, 131_072, 1_000_000] {
        let body = vec![b'x'; size];
        let chunked = [format!("{size:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        for (headers, bytes) in [(&[][..], &body), (&[("Transfer-Encoding", "chunked")], &chunked)] {
            n += 1;
            let response = user.send("POST", "/upload", headers, bytes);
            assert_eq!(response.number("read"), i64::try_from(size).ok(), "{}", response.text());
            assert_eq!(response.number("n"), Some(n));
        }
    }
    farm.await_quiet();
}

#[test]
fn head_and_not_modified_have_no_body() {
    let farm = Farm::start();
    let mut user: Client = farm.client();
    let response = user.send("HEAD", "/kind/small", &[], b"");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
}
