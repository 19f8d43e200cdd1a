//! A client that reads slowly, and what the other requests of its session notice of it.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::{Farm, Gateway, eventually};

/// More than the sockets between the client and Tomcat hold (on one machine 5 MB are not).
const BYTES: usize = 50_000_000;
const PAGE: &str = "/download?bytes=50000000";

/// Reads 1 KB a second until it is told to read the rest; how many bytes that is together.
fn read_slowly(mut stream: std::net::TcpStream, go_on: std::sync::mpsc::Receiver<()>) -> usize {
    let mut bytes = 0;
    let mut piece = [0; 1000];
    while go_on.recv_timeout(Duration::from_secs(1)).is_err() {
        bytes += stream.read(&mut piece).unwrap();
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    bytes + rest.len()
}

fn slow_reader(buffering: bool) {
    let farm = Farm::start();
    let gateway = farm
        .sidecars
        .iter()
        .fold(Gateway::builder(), |gateway, sidecar| gateway.server(sidecar.port(), 1))
        .set(&format!("proxy_buffering = {buffering}"))
        .start();
    let mut user = gateway.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut same = user.at(gateway.port());
    let stream = same.start("GET", PAGE, &[("Connection", "close")], b"");
    eventually("the download runs", || farm.counted("downloads") == 1);
    let (stop, go_on) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || read_slowly(stream, go_on));
    let mut other = user.at(gateway.port());
    let began = Instant::now();
    let next = thread::spawn(move || other.get("/kind/small").number("n"));
    if buffering {
        eventually("the next request is answered", || next.is_finished());
        println!("beside a reader of 1 KB/s the session's next request took {:?}", began.elapsed());
        assert!(!reader.is_finished());
    } else {
        // The server can't get rid of the page, so the session is in use.
        eventually("two seconds have passed", || began.elapsed() > Duration::from_secs(2));
        assert!(!next.is_finished());
    }
    stop.send(()).unwrap();
    assert!(reader.join().unwrap() > BYTES, "all of it, and a header");
    assert_eq!(next.join().unwrap(), Some(2));
}

#[test]
fn a_slow_reader_does_not_hold_its_session() {
    slow_reader(true);
}

#[test]
fn without_proxy_buffering_it_does() {
    slow_reader(false);
}

#[test]
fn a_client_that_reads_nothing_is_given_up_after_send_timeout() {
    let farm = Farm::builder().tomcats(1).start();
    let mut gateway =
        Gateway::builder().server(farm.sidecars[0].port(), 1).set("send_timeout = \"1s\"").start();
    let mut user = gateway.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut stream = user.start("GET", "/download?bytes=50000000", &[], b"");
    // What is spooled is work that a stop would wait for.
    eventually("it is given up", || {
        gateway.process().terminate();
        gateway.process().exit_code() == Some(0)
    });
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < BYTES);
}
