//! Which answer the client gets when a server has given one, but not a good one.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use satchel_tests::client::{Response, connect, read_response};
use satchel_tests::origin::Connection;
use satchel_tests::{Client, Gateway, Origin, ports};

/// Answers every request with these bytes.
fn origin(answer: &'static str) -> Origin {
    Origin::with(move |mut client: TcpStream, connection: &Connection| {
        while connection.read_request(&mut client).is_some() {
            let _ = client.write_all(answer.as_bytes());
        }
    })
}

/// The answers to requests that are sent at once over one connection.
fn pipelined(port: u16, requests: &[&str]) -> Vec<Response> {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    for request in requests {
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    }
    let mut stream = BufReader::new(stream);
    requests
        .iter()
        .map_while(|request| read_response(&mut stream, request.starts_with("HEAD")).ok())
        .collect()
}

#[test]
fn an_answer_is_not_given_up_for_a_server_that_does_not_work() {
    let busy = origin("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\nmax_fails = \
             0\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\nfail_timeout = \"1h\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \
             \"http://t\"\nproxy_next_upstream = [\"error\", \"timeout\", \"http_503\"]\n",
            busy.port(),
            ports::free(),
        )
    });
    let mut client = Client::new(gateway.port());
    // The first finds out that the other server is not there.
    let _ = client.get("/");
    for _ in 0..4 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (503, "busy"), "{}", gateway.log());
    }
}

#[test]
fn an_intercepted_error_gets_its_page_with_a_body_or_without() {
    for answer in [
        "HTTP/1.1 500 Oh\r\nContent-Length: 4\r\nSet-Cookie: a=b\r\n\r\noops",
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n0\r\n\r\n",
    ] {
        let failing = origin(answer);
        let gateway = Gateway::with(|port, directory| {
            let page = directory.join("page.html");
            std::fs::write(&page, "our page").unwrap();
            format!(
                "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n[[server]]\nlisten = \
                 [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\nproxy_intercept_errors = true\nerror_page.\"500\" = \"{}\"\n",
                failing.port(),
                page.display()
            )
        });
        let answers = pipelined(gateway.port(), &["GET /"]);
        let got = |one: &Response| {
            (
                one.status,
                one.text(),
                one.header("set-cookie").map(str::to_owned),
                one.header("content-length").map(str::to_owned),
            )
        };
        let page = |body: &str| (500, body.to_owned(), Some("a=b".to_owned()), Some("8".to_owned()));
        assert_eq!(answers.iter().map(got).collect::<Vec<_>>(), [page("our page")], "{answer}");
    }
}

#[test]
fn a_limit_answers_its_status_and_counts_in_its_zone_across_locations_and_reloads() {
    let gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nlimit_req = \"1r/m burst=1 nodelay zone=one\"\n\
             limit_req_status = 429\nreturn = \"200 pong\\n\"\n[[server.location]]\npath = \"/other\"\nreturn = \"200 other\"\n"
        )
    });
    let mut client = gateway.client();
    let mut get = |path: &str| {
        let answer = client.get(path);
        (answer.status, answer.text())
    };
    assert_eq!(get("/"), (200, "pong\n".into()));
    assert_eq!(get("/other"), (200, "other".into()));
    assert_eq!(get("/").0, 429);
    gateway.reload();
    assert_eq!(get("/other").0, 429);
}
