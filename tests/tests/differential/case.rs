//! A case: requests on one connection, byte by byte.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::net::SocketAddr;
use std::thread;

use satchel_tests::Response;
use satchel_tests::client::{connect, read_response};

/// Requests on one connection.
pub struct Case {
    pub name: String,
    pub requests: Vec<Request>,
}

/// One request.
#[derive(Clone)]
pub struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Default)]
pub struct Answers {
    /// As many as came.
    pub responses: Vec<Response>,
    /// Whether the server asked for the body of a request with `Expect`.
    pub continued: bool,
    /// Whether the connection was closed behind the last response, as that had said.
    pub closed_as_said: bool,
}

impl Case {
    pub fn new(name: impl Into<String>, requests: Vec<Request>) -> Self {
        Self { name: name.into(), requests }
    }

    /// Sends the requests one by one, each when the answer to the one before is there.
    pub fn run(&self, address: SocketAddr) -> Answers {
        let mut answers = Answers { closed_as_said: true, ..Answers::default() };
        let mut reader = BufReader::new(connect(address).unwrap());
        for request in &self.requests {
            match request.exchange(&mut reader, &mut answers.continued) {
                Ok(response) => answers.responses.push(response),
                Err(_) => return answers,
            }
        }
        if answers.responses.last().is_some_and(|last| last.header("connection") == Some("close")) {
            let mut rest = Vec::new();
            // A reset closes too.
            let _ = reader.read_to_end(&mut rest);
            answers.closed_as_said = rest.is_empty();
        }
        answers
    }
}

impl Request {
    /// A request for the default host.
    pub fn new(method: &str, target: &str) -> Self {
        Self::line(&format!("{method} {target} HTTP/1.1")).with("Host", "main.test")
    }

    /// With a request line of one's own, and without any header.
    pub fn line(line: &str) -> Self {
        Self { line: line.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn host(mut self, host: &str) -> Self {
        self.headers.retain(|(name, _)| name != "Host");
        self.with("Host", host)
    }

    pub fn version(mut self, version: &str) -> Self {
        self.line = self.line.replace("HTTP/1.1", version);
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body with its length.
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self = self.with("Content-Length", &body.len().to_string());
        self.body = body;
        self
    }

    /// A body in chunks.
    pub fn chunked(mut self, body: &[u8], size: usize) -> Self {
        self = self.with("Transfer-Encoding", "chunked");
        for chunk in body.chunks(size) {
            self.body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(b"0\r\n\r\n");
        self
    }

    fn is_head(&self) -> bool {
        self.line.starts_with("HEAD ")
    }

    /// How it is named.
    pub fn text(&self) -> String {
        let short = |text: &str, length: usize| match text.len() > length {
            true => format!("{}… ({} bytes)", text.chars().take(length / 2).collect::<String>(), text.len()),
            false => text.to_owned(),
        };
        let fields = self.headers.iter().map(|(name, value)| format!("; {name}: {}", short(value, 70)));
        let mut text = fields.fold(short(&self.line, 120), |text, field| text + &field);
        if !self.body.is_empty() {
            text.push_str(&format!("; {} bytes", self.body.len()));
        }
        text
    }

    fn exchange(
        &self,
        reader: &mut BufReader<std::net::TcpStream>,
        continued: &mut bool,
    ) -> io::Result<Response> {
        let mut writer = reader.get_ref().try_clone()?;
        let mut head = self.line.clone();
        for (name, value) in &self.headers {
            head.push_str(&format!("\r\n{name}: {value}"));
        }
        head.push_str("\r\n\r\n");
        // A character is a byte: cases may have any.
        let mut head: Vec<u8> = head.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
        if self.headers.iter().any(|(name, _)| name == "Expect") {
            writer.write_all(&head)?;
            let mut first = Vec::new();
            while !first.ends_with(b"\r\n\r\n") {
                if reader.read_until(b'\n', &mut first)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            if !first.starts_with(b"HTTP/1.1 100 ") {
                return read_response(&mut Cursor::new(first).chain(reader), self.is_head());
            }
            *continued = true;
            writer.write_all(&self.body)?;
            return read_response(reader, self.is_head());
        }
        head.extend_from_slice(&self.body);
        thread::scope(|scope| {
            // A server that refuses a body need not read it.
            scope.spawn(move || writer.write_all(&head));
            read_response(reader, self.is_head())
        })
    }
}
