//! Requests that two readers could take for different ones, over raw sockets: nothing reaches the back end that it should not.

use std::io::{Read, Write};
use std::net::SocketAddr;

use satchel_tests::client::connect;
use satchel_tests::{Gateway, Origin};

const HOST: &str = "Host: a\r\n";

/// What is to come of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    /// It is refused, with this status, and its connection closed.
    Refused(u16),
    /// It reaches the back end once, with this body, chunked or not.
    Once(&'static str),
    /// It is answered by the gateway, with this status; nothing reaches the back end.
    Answered(u16),
    /// Its header may reach the back end, its body breaks off; the client is told this status.
    Broken(u16),
}
use Expected::{Answered, Broken, Once, Refused};

fn gateway(origin: &Origin) -> Gateway {
    Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\nmax_fails = 0\n[[server]]\nlisten = \
             [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\nclient_header_timeout = \"2s\"\nclient_body_timeout = \"1s\"\n\
             proxy_set_header = {{ X-Copy = \"$arg_x$http_x$cookie_x\" }}\nadd_header = {{ X-Back = \"$arg_x\" }}\n\
             [[server.location]]\npath = \"/return\"\nreturn = \"302 https://$host/$arg_x\"\n\
             [[server.location]]\npath = \"/decoded/\"\nreturn = \"301 https://$host$uri\"\nadd_header = {{ X-Uri = \"$uri\" }}\n",
            origin.port()
        )
    })
}

/// Everything that the gateway answers, until it closes or says nothing for a while.
fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(4))).unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\n{HOST}{fields}\r\n{body}")
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{HOST}{fields}\r\n")
}

fn corpus() -> Vec<(&'static str, Vec<u8>, Expected)> {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let close = "Connection: close\r\n";
    let mut all: Vec<(&'static str, String, Expected)> = vec![
        ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), Refused(400)),
        (
            "TE.CL",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
            ),
            Refused(400),
        ),
        ("TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"), Refused(400)),
        (
            "TE twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            Refused(400),
        ),
        (
            "TE in capitals with CL",
            post("TRANSFER-ENCODING: CHUNKED\r\nContent-Length: 3\r\n", "abc"),
            Refused(400),
        ),
        (
            "TE space before colon",
            post("Transfer-Encoding : chunked\r\nContent-Length: 3\r\n", "abc"),
            Refused(400),
        ),
        (
            "TE tab before colon",
            post("Transfer-Encoding\t: chunked\r\nContent-Length: 3\r\n", "abc"),
            Refused(400),
        ),
        (
            "TE vertical tab",
            post("Transfer-Encoding:\u{b}chunked\r\nContent-Length: 3\r\n", "abc"),
            Refused(400),
        ),
        ("TE xchunked", post("Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n", "abc"), Refused(400)),
        ("TE chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), Refused(400)),
        ("TE identity", post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), Refused(400)),
        ("TE gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), Refused(400)),
        ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), Refused(400)),
        (
            "TE in HTTP/1.0",
            format!("POST /p HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Refused(400),
        ),
        ("two CL", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), Refused(400)),
        ("two equal CL", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), Refused(400)),
        ("CL list", post("Content-Length: 3, 3\r\n", "abc"), Refused(400)),
        ("CL plus", post("Content-Length: +3\r\n", "abc"), Refused(400)),
        ("CL minus", post("Content-Length: -1\r\n", ""), Refused(400)),
        ("CL hexadecimal", post("Content-Length: 0x3\r\n", "abc"), Refused(400)),
        ("CL overflows", post("Content-Length: 99999999999999999999999\r\n", "abc"), Refused(400)),
        ("CL empty", post("Content-Length:\r\n", "abc"), Refused(400)),
        ("CL with a letter", post("Content-Length: 3a\r\n", "abc"), Refused(400)),
        (
            "CL of a GET is its body",
            get("/g", "Content-Length: 34\r\nConnection: close\r\n")
                + "GET /evil HTTP/1.1\r\nHost: b\r\n\r\n123",
            Once("GET /evil HTTP/1.1\r\nHost: b\r\n\r\n123"),
        ),
        ("a body", post("Content-Length: 3\r\nConnection: close\r\n", "abc"), Once("abc")),
        ("chunks", post(CHUNKED, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), Once("abcde")),
        ("chunk extensions go", post(CHUNKED, "3;a=b\r\nabc\r\n0;c\r\n\r\n"), Once("abc")),
        ("trailers go", post(CHUNKED, "3\r\nabc\r\n0\r\nContent-Length: 5\r\nX-T: y\r\n\r\n"), Once("abc")),
        (
            "TE behind a tab",
            post("Transfer-Encoding:\tchunked\r\nConnection: close\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            Once("abc"),
        ),
        ("chunk size of letters", post(CHUNKED, "xyz\r\nabc\r\n0\r\n\r\n"), Broken(400)),
        ("chunk size with a sign", post(CHUNKED, "-1\r\nabc\r\n0\r\n\r\n"), Broken(400)),
        ("chunk size plus", post(CHUNKED, "+3\r\nabc\r\n0\r\n\r\n"), Broken(400)),
        ("chunk size 0x", post(CHUNKED, "0x3\r\nabc\r\n0\r\n\r\n"), Broken(400)),
        ("chunk size overflows", post(CHUNKED, "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"), Broken(400)),
        ("no CRLF behind a chunk", post(CHUNKED, "3\r\nabcX\r\n0\r\n\r\n"), Broken(400)),
        ("chunk lines end with LF", post(CHUNKED, "3\nabc\n0\n\n"), Broken(400)),
        ("a body that stops", post("Content-Length: 10\r\nConnection: close\r\n", "abc"), Broken(408)),
        ("folded field", get("/g", "X: a\r\n b\r\n"), Refused(400)),
        ("bare CR in a value", get("/g", "X: a\rY: b\r\n"), Refused(400)),
        ("NUL in a value", get("/g", "X: a\0b\r\n"), Refused(400)),
        ("NUL in a name", get("/g", "X\0: a\r\n"), Refused(400)),
        ("space in a name", get("/g", "X Y: a\r\n"), Refused(400)),
        ("empty name", get("/g", ": a\r\n"), Refused(400)),
        ("no colon", get("/g", "X\r\n"), Refused(400)),
        ("field before the first", "GET /g HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n".into(), Refused(400)),
        ("a decoded line break", get("/decoded/%0d%0aX-Smuggled:1", "Connection: close\r\n"), Answered(301)),
        ("two hosts", get("/g", "Host: b\r\n"), Refused(400)),
        ("no host", "GET /g HTTP/1.1\r\n\r\n".into(), Refused(400)),
        ("a host with a path", "GET /g HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Refused(400)),
        ("a host with a user", "GET /return HTTP/1.1\r\nHost: good@evil\r\n\r\n".into(), Refused(400)),
        ("a host of markup", "GET /return HTTP/1.1\r\nHost: a\"><b>\r\n\r\n".into(), Refused(400)),
        ("a host of two words", "GET /g HTTP/1.1\r\nHost: a b\r\n\r\n".into(), Refused(400)),
        ("absolute for another host", format!("GET http://other/g HTTP/1.1\r\n{HOST}\r\n"), Refused(400)),
        ("absolute", format!("GET http://a/g HTTP/1.1\r\n{HOST}{close}\r\n"), Once("")),
        ("HTTP/0.9", "GET /g\r\n".into(), Refused(400)),
        ("HTTP/1.2", format!("GET /g HTTP/1.2\r\n{HOST}\r\n"), Refused(400)),
        ("HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Refused(400)),
        ("two blanks in the request line", format!("GET  /g HTTP/1.1\r\n{HOST}\r\n"), Refused(400)),
        ("CONNECT", format!("CONNECT a:80 HTTP/1.1\r\n{HOST}\r\n"), Refused(405)),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"), Refused(400)),
        ("above the root", get("/../../etc/passwd", ""), Refused(400)),
        ("above the root, escaped", get("/%2e%2e/%2e%2e/etc/passwd", ""), Refused(400)),
        ("zero byte in the path", get("/a%00b", ""), Refused(400)),
        ("broken escape", get("/a%zz", ""), Refused(400)),
        ("line end in a path", get("/%0d%0aX:%20y", close), Once("")),
        ("line end for a header of ours", get("/g?x=a%0d%0aEvil:%201", close), Once("")),
        ("line end for a redirect", get("/return?x=a%0d%0aEvil:%201", close), Answered(302)),
        ("a header of ours from theirs", get("/g", "X: a\r\nCookie: x=b\r\nConnection: close\r\n"), Once("")),
        (
            "nominates what the gateway adds",
            get("/g", "Connection: close, X-Real-IP, X-Forwarded-For\r\n"),
            Refused(400),
        ),
        ("a sidecar's word", get("/g", "X-Satchel-Unsent: 1\r\nConnection: close\r\n"), Once("")),
        (
            "upgrade to h2c",
            get("/g", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"),
            Once(""),
        ),
        (
            "data behind an upgrade",
            get("/g", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + &get("/evil", ""),
            Once(""),
        ),
        (
            "what comes along with a request is checked as well",
            get("/g", "") + &get("/evil", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            Once(""),
        ),
        ("long request line", get(&format!("/{}", "a".repeat(9_000)), ""), Refused(414)),
        ("long field", get("/g", &format!("X: {}\r\n", "a".repeat(9_000))), Refused(431)),
        (
            "many fields",
            get("/g", &(0..200).map(|n| format!("X{n}: {}\r\n", "a".repeat(200))).collect::<String>()),
            Refused(431),
        ),
    ];
    all.push(("LF only", "GET /g HTTP/1.1\nHost: a\nConnection: close\n\n".into(), Once("")));
    all.into_iter().map(|(name, request, expected)| (name, request.into_bytes(), expected)).collect()
}

/// Every request in what reached the back end: its request line and its body.
fn requests(received: &[u8]) -> Vec<(String, String)> {
    let mut rest = String::from_utf8_lossy(received).into_owned();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some((head, mut tail)) =
            rest.split_once("\r\n\r\n").map(|(head, tail)| (head.to_owned(), tail.to_owned()))
        else {
            found.push((format!("broken: {rest}"), String::new()));
            break;
        };
        let lower = head.to_ascii_lowercase();
        let mut body = String::new();
        if lower.contains("\r\ntransfer-encoding: chunked") {
            while let Some((size, after)) = tail.clone().split_once("\r\n") {
                let size = usize::from_str_radix(size, 16).unwrap();
                body.push_str(&after[..size]);
                tail = after[size + 2..].to_owned();
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) =
            lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        {
            body = tail[..length].to_owned();
            tail = tail[length..].to_owned();
        }
        found.push((head.lines().next().unwrap_or_default().to_owned(), body));
        rest = tail;
    }
    found
}

#[test]
fn nothing_reaches_the_back_end_that_it_should_not() {
    let corpus = corpus();
    assert!(corpus.len() >= 70, "{}", corpus.len());
    for (name, request, expected) in corpus {
        let origin = Origin::start();
        let gateway = gateway(&origin);
        let answer = ask(gateway.port(), &request);
        let received: Vec<u8> = origin.received().concat();
        let shown = format!("{name}: {answer}\n{}", String::from_utf8_lossy(&received));
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let lower = String::from_utf8_lossy(&received).to_ascii_lowercase();
        assert!(!answer.contains("\r\nEvil") && !lower.contains("\r\nevil"), "{shown}");
        assert!(
            !lower.contains("get /evil") || matches!(expected, Once(body) if body.contains("/evil")),
            "{shown}"
        );
        assert!(!lower.contains("x-satchel-unsent") && !lower.contains("http2-settings"), "{shown}");
        match expected {
            Refused(wanted) | Answered(wanted) => {
                assert_eq!((status, received.len()), (wanted, 0), "{shown}");
            }
            Once(body) => {
                assert_eq!(status, 200, "{shown}");
                let requests = requests(&received);
                assert_eq!(requests.len(), 1, "{shown}");
                assert_eq!(requests[0].1, body, "{shown}");
                assert!(lower.contains("\r\nx-real-ip: 127.0.0.1\r\n"), "{shown}");
            }
            Broken(wanted) => {
                assert_eq!(status, wanted, "{shown}");
                assert!(
                    lower.matches(" http/1.1\r\n").count() <= 1 && !lower.ends_with("0\r\n\r\n"),
                    "{shown}"
                );
            }
        }
    }
}

/// The corpus would notice: a second request in one connection is seen as one.
#[test]
fn a_smuggled_request_is_seen() {
    let smuggled = b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /evil HTTP/1.1\r\n\r\n";
    assert_eq!(requests(smuggled).len(), 2);
    let chunked = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nG";
    assert_eq!(requests(chunked).len(), 2);
}
