//! Back ends that do what no server should: the client gets an error or a cut response in time, and others notice nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::client::connect;
use satchel_tests::origin::Connection;
use satchel_tests::{Client, Gateway, Origin, eventually};

/// How a back end misbehaves after it has read the request.
type Misbehaves = fn(&mut TcpStream);

/// What the client gets.
#[derive(Debug, Clone, Copy)]
enum Gets {
    /// This status.
    Status(u16),
    /// A header with 200, and then not all of the body.
    Cut,
    /// A whole answer with this body.
    Body(&'static str),
}
use Gets::{Body, Cut, Status};

fn say(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

/// Until the gateway gives up.
fn stall(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 64]);
}

fn for_ever(stream: &mut TcpStream, text: &str) {
    let text = text.repeat(100);
    while stream.write_all(text.as_bytes()).is_ok() {}
}

const CASES: &[(&str, Misbehaves, Gets)] = &[
    ("says nothing", |s| stall(s), Status(504)),
    (
        "stalls in the status line",
        |s| {
            say(s, "HTTP/1.1 20");
            stall(s)
        },
        Status(504),
    ),
    (
        "stalls in the header",
        |s| {
            say(s, "HTTP/1.1 200 OK\r\nContent-Le");
            stall(s)
        },
        Status(504),
    ),
    (
        "stalls after the header",
        |s| {
            say(s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            stall(s)
        },
        Cut,
    ),
    (
        "stalls in the body",
        |s| {
            say(s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            stall(s)
        },
        Cut,
    ),
    ("closes before the header", |_| {}, Status(502)),
    ("closes in the header", |s| say(s, "HTTP/1.1 200 OK\r\nContent-Le"), Status(502)),
    ("closes in the body", |s| say(s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), Cut),
    ("closes in a chunk", |s| say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc"), Cut),
    (
        "closes before the last chunk",
        |s| say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        Cut,
    ),
    (
        "has a chunk of letters",
        |s| say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n"),
        Cut,
    ),
    (
        "says more than its length",
        |s| {
            say(
                s,
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            )
        },
        Body("abc"),
    ),
    ("ends with its connection", |s| say(s, "HTTP/1.1 200 OK\r\n\r\nabc"), Body("abc")),
    ("is of HTTP/1.0", |s| say(s, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"), Body("abc")),
    ("is no HTTP", |s| say(s, "SSH-2.0-OpenSSH_9.2\r\n\r\n"), Status(502)),
    ("is bytes", |s| say(s, "\u{0}\u{1}\u{2}\u{3}\r\n\r\n"), Status(502)),
    (
        "has two lengths",
        |s| say(s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        Status(502),
    ),
    (
        "has a header without end",
        |s| {
            say(s, "HTTP/1.1 200 OK\r\n");
            for_ever(s, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
        },
        Status(502),
    ),
    (
        "has a line without end",
        |s| {
            say(s, "HTTP/1.1 200 OK\r\nX: ");
            for_ever(s, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")
        },
        Status(502),
    ),
    ("says 100 without end", |s| for_ever(s, "HTTP/1.1 100 Continue\r\n\r\n"), Status(502)),
    (
        "says 103 and then 200",
        |s| {
            say(
                s,
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            )
        },
        Body("abc"),
    ),
];

fn gateway(broken: &Origin, healthy: &Origin) -> Gateway {
    let upstream = |name: &str, origin: &Origin| {
        format!(
            "[[upstream]]\nname = \"{name}\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n",
            origin.port()
        )
    };
    Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n{}{}[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://broken\"\nproxy_read_timeout = \
             \"1s\"\n[[server.location]]\npath = \"/healthy\"\nproxy_pass = \"http://healthy\"\n",
            upstream("broken", broken),
            upstream("healthy", healthy)
        )
    })
}

/// The last answer's status and body, as they came until the connection ended.
fn ask(port: u16) -> (u16, String) {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    say(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let mut text = String::from_utf8_lossy(&answer).into_owned();
    while text.starts_with("HTTP/1.1 10") {
        text = text.split_once("\r\n\r\n").unwrap().1.to_owned();
    }
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let chunked = text.contains("chunked");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, if chunked { body.replace("3\r\nabc\r\n0\r\n\r\n", "abc") } else { body })
}

#[test]
fn a_broken_back_end_is_answered_for_and_others_go_on() {
    for (name, misbehaves, gets) in CASES {
        let broken = Origin::with(move |mut client: TcpStream, connection: &Connection| {
            if connection.read_request(&mut client).is_some() {
                misbehaves(&mut client);
            }
            let _ = client.shutdown(Shutdown::Both);
        });
        let healthy = Origin::start();
        let mut gateway = gateway(&broken, &healthy);
        let port = gateway.port();
        let asked = thread::spawn(move || ask(port));
        for _ in 0..5 {
            assert_eq!(Client::new(port).get("/healthy").status, 200, "{name}");
        }
        let (status, body) = asked.join().unwrap();
        match gets {
            Status(wanted) => assert_eq!(status, *wanted, "{name}: {body}"),
            Cut => assert!(
                status == 200 && body.len() < 10 && !body.ends_with("0\r\n\r\n"),
                "{name}: {status} {body:?}"
            ),
            Body(wanted) => assert_eq!((status, body.as_str()), (200, *wanted), "{name}"),
        }
        assert!(gateway.process().memory_kib() < 200 * 1024, "{name}");
    }
}

#[test]
fn a_flood_that_nobody_reads_does_not_fill_the_memory() {
    let flood = Origin::with(|mut client: TcpStream, connection: &Connection| {
        if connection.read_request(&mut client).is_some() {
            say(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 150000000\r\n\r\n");
            let piece = vec![b'x'; 1_000_000];
            for _ in 0..150 {
                if client.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    });
    let healthy = Origin::start();
    let mut gateway = gateway(&flood, &healthy);
    let mut streams: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
            say(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream
        })
        .collect();
    // All of it has left its server, although nobody has read.
    let ready = || gateway_is_idle(&gateway);
    eventually("the floods are over", ready);
    let memory = gateway.process().memory_kib();
    assert!(memory < 100 * 1024, "{memory} KiB");
    println!("{memory} KiB with two responses of 150 MB that nobody has read");
    let mut bytes = 0;
    let mut piece = vec![0; 1 << 20];
    while let Ok(read @ 1..) = streams[0].read(&mut piece) {
        bytes += read;
    }
    assert!(bytes > 150_000_000, "{bytes}");
}

fn gateway_is_idle(gateway: &Gateway) -> bool {
    let began = Instant::now();
    let healthy = Client::new(gateway.port()).get("/healthy").status == 200;
    healthy && began.elapsed() < Duration::from_secs(5) && gateway_spool(gateway) >= 2 * 140_000_000
}

/// Bytes in the unlinked files that the gateway has open.
fn gateway_spool(gateway: &Gateway) -> u64 {
    let files = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).into_iter().flatten().flatten();
    files
        .filter(|file| {
            std::fs::read_link(file.path()).is_ok_and(|path| path.to_string_lossy().contains("(deleted)"))
        })
        .filter_map(|file| std::fs::metadata(file.path()).ok())
        .map(|file| file.len())
        .sum()
}

#[test]
fn a_post_does_not_meet_a_server_that_closes_its_kept_connections() {
    // It closes after 2 s without a request; the gateway lets go after one.
    let server = Origin::with(|mut client: TcpStream, connection: &Connection| {
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        while connection.read_request(&mut client).is_some() {
            say(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\nkeepalive_timeout = \"1s\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n[[server]]\n\
             listen = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\n",
            server.port()
        )
    });
    let port = gateway.port();
    let clients: Vec<_> = (0..20)
        .map(|n| {
            thread::spawn(move || {
                let mut client = Client::new(port);
                for step in 0..4 {
                    assert_eq!(client.post("/", "a=b").status, 200);
                    // Around the two limits.
                    let pause = Duration::from_millis(850 + 65 * (n + 5 * step) % 1300);
                    let began = Instant::now();
                    eventually("time passes", || began.elapsed() >= pause);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}
