//! Clients that take their time, and requests that wait for a server.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::client::{connect, read_response};
use satchel_tests::origin::Connection;
use satchel_tests::{Client, Gateway, Origin, eventually};

fn gateway(port_of_server: u16, upstream: &str, server: &str) -> Gateway {
    Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n{upstream}\n[[upstream.server]]\naddress = \"127.0.0.1:{port_of_server}\"\n{server}\n\
             [[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\nkeepalive_requests = 1000000\nclient_header_timeout = \"1s\"\nclient_body_timeout = \"1s\"\n\
             [[server.location]]\npath = \"/here\"\nreturn = \"204\"\n"
        )
    })
}

/// Sends `first`, then a byte every now and then until the connection is closed. What was answered.
fn drip(port: u16, first: &str, rest: &str) -> String {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    for byte in rest.bytes().cycle() {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_header_that_comes_byte_by_byte_is_not_waited_for() {
    let origin = Origin::start();
    let gateway = gateway(origin.port(), "", "");
    // It would never end.
    let answer = drip(gateway.port(), "GET / HTTP/1.1\r\nHost: a\r\nX: ", "x");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // The second request of a connection neither.
    let answer =
        drip(gateway.port(), "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: ", "x");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn a_header_without_end_is_refused_as_soon_as_it_is_too_large() {
    let origin = Origin::start();
    let gateway = gateway(origin.port(), "", "");
    let served = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (begin, piece, status) in
        [("GET / HTTP/1.1\r\nHost: a\r\nX: ", "yyyyyyyy", " 431 "), ("GET /", "xxxxxxxx", " 414 ")]
    {
        for before in ["", served] {
            let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
            stream.write_all(format!("{before}{begin}").as_bytes()).unwrap();
            // 64 KiB; 32 are allowed.
            let _ = stream.write_all(piece.repeat(8 << 10).as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            if before.is_empty() {
                assert!(answer.starts_with(&format!("HTTP/1.1{status}")), "{answer}");
            } else {
                // Of what comes with the request before nobody knows whether its line has ended.
                assert!(answer.contains("okHTTP/1.1 414 ") || answer.contains("okHTTP/1.1 431 "), "{answer}");
            }
        }
    }
}

#[test]
fn a_connection_with_answers_of_the_gateway_alone_is_kept() {
    let origin = Origin::start();
    let gateway = gateway(origin.port(), "", "");
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
    // Longer than client_header_timeout, which bounds each header and not all of them together.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        stream.write_all(b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut BufReader::new(&stream), false).unwrap().status, 204);
    }
}

#[test]
fn requests_that_come_before_their_turn_are_answered_in_order() {
    let released = Arc::new(AtomicBool::new(false));
    let may_answer = released.clone();
    let origin = Origin::with(move |mut client: TcpStream, connection: &Connection| {
        while let Some(request) = connection.read_request(&mut client) {
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap();
            eventually("the test lets it answer", || path != "/held" || may_answer.load(Ordering::SeqCst));
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).unwrap();
        }
    });
    let gateway = gateway(origin.port(), "", "");
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    // Behind a request that runs, and all in one packet.
    stream.write_all(b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    let reached =
        |what: &str| origin.received().concat().windows(what.len()).any(|bytes| bytes == what.as_bytes());
    eventually("the first runs", || reached("/held"));
    stream.write_all((get("/1") + &get("/here") + &get("/2")).as_bytes()).unwrap();
    let mut answers = BufReader::new(stream);
    released.store(true, Ordering::SeqCst);
    let mut next = || {
        let answer = read_response(&mut answers, false).unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    for (status, body) in [(200, "/held"), (200, "/1"), (204, ""), (200, "/2")] {
        assert_eq!(next(), (status, body.to_owned()));
    }
}

#[test]
fn a_body_that_stops_is_answered_408() {
    let origin = Origin::start();
    let gateway = gateway(origin.port(), "", "");
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn past_max_conns_requests_queue_and_past_the_queue_they_are_refused() {
    let released = Arc::new(AtomicBool::new(false));
    let may_answer = released.clone();
    let origin = Origin::with(move |mut client: TcpStream, connection: &Connection| {
        while connection.read_request(&mut client).is_some() {
            eventually("the test lets it answer", || may_answer.load(Ordering::SeqCst));
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway(origin.port(), "queue = 2\nqueue_timeout = \"30s\"", "max_conns = 1");
    let port = gateway.port();
    let (answered, answers) = mpsc::channel();
    let ask = || {
        let answered = answered.clone();
        thread::spawn(move || answered.send(Client::new(port).get("/").status));
    };
    ask();
    eventually("the first has reached the server", || {
        origin.received().iter().any(|bytes| !bytes.is_empty())
    });
    (0..5).for_each(|_| ask());
    // Two of them wait, and while the first is being answered nothing else comes to its end.
    let refused: Vec<_> = (0..3).map(|_| answers.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(refused, [503; 3]);
    assert!(answers.try_recv().is_err());
    released.store(true, Ordering::SeqCst);
    let served: Vec<_> = (0..3).map(|_| answers.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(served, [200; 3]);
}
