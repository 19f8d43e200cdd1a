//! The server behind both: it records what it receives whole, and answers what the query asks for.
//!
//! `s=404`: the status. `h=Name:value`: a header. `b=KIND:LENGTH`: a body with a length, `chunked`, or up to the connection's `close`.
//! `echo=1`: the request's body. `file=1`: a file with `ETag`, `Last-Modified` and ranges. `text=…`: this body.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Method, target and version.
    pub line: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// Chunks put together.
    pub body: Vec<u8>,
}

/// A running server.
pub struct Backend {
    /// On 127.0.0.1.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub const ETAG: &str = "\"v1\"";
pub const LAST_MODIFIED: &str = "Wed, 01 Jul 2026 10:00:00 GMT";
const FILE_LEN: usize = 10_000;

/// Bytes that no cut, shift or repetition leaves as they are.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| b'a' + (n % 23 + n / 1000 % 3) as u8).collect()
}

impl Backend {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = record.clone();
                std::thread::spawn(move || serve(stream, &record));
            }
        });
        Self { port, seen }
    }

    /// What has come since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Until the client leaves, sends something that is no request, or is told that this was the last one.
fn serve(stream: TcpStream, record: &Mutex<Vec<Seen>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let seen = read_request(&mut reader, &mut writer).ok()?;
        record.lock().unwrap().push(seen.clone());
        let close = answer(&seen, &mut writer).ok()?;
        if close {
            return None;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<Seen> {
    let mut seen = Seen { line: line(reader)?, ..Seen::default() };
    loop {
        let field = line(reader)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').ok_or_else(|| io::Error::other("no field"))?;
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header =
        |name: &str| seen.headers.iter().find(|(other, _)| other == name).map(|(_, value)| &value[..]);
    if header("expect") == Some("100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (length, coding) = (header("content-length"), header("transfer-encoding"));
    assert!(length.is_none() || coding.is_none(), "framed twice: {:?}", seen.headers);
    if let Some(coding) = coding {
        assert_eq!(coding, "chunked");
        loop {
            let size = usize::from_str_radix(&line(reader)?, 16).map_err(io::Error::other)?;
            let start = seen.body.len();
            seen.body.resize(start + size, 0);
            reader.read_exact(&mut seen.body[start..])?;
            assert_eq!(line(reader)?, "");
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        seen.body.resize(length.parse().map_err(io::Error::other)?, 0);
        reader.read_exact(&mut seen.body)?;
    }
    Ok(seen)
}

fn line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(text.iter().map(|byte| char::from(*byte)).collect())
}

/// What the query asks for.
struct Wish {
    status: u16,
    headers: Vec<(String, String)>,
    kind: String,
    body: Vec<u8>,
}

impl Wish {
    fn of(seen: &Seen) -> Self {
        let mut wish = Self { status: 200, headers: Vec::new(), kind: "len".into(), body: b"ok\n".to_vec() };
        let target = seen.line.split(' ').nth(1).unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = unescape(value);
            match key {
                "s" => wish.status = value.parse().unwrap_or(500),
                "h" => wish.headers.extend(value.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned()))),
                "b" => {
                    let (kind, length) = value.split_once(':').unwrap_or(("len", "0"));
                    wish.kind = kind.to_owned();
                    wish.body = bytes(length.parse().unwrap_or(0));
                }
                "echo" => wish.body = seen.body.clone(),
                "text" => wish.body = value.into_bytes(),
                "file" => wish.serve_file(&seen.headers),
                _ => {}
            }
        }
        wish
    }

    fn serve_file(&mut self, headers: &[(String, String)]) {
        let header =
            |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| &value[..]);
        let mut put = |name: &str, value: &str| self.headers.push((name.to_owned(), value.to_owned()));
        put("ETag", ETAG);
        put("Last-Modified", LAST_MODIFIED);
        put("Accept-Ranges", "bytes");
        self.body = bytes(FILE_LEN);
        let unchanged = match header("if-none-match") {
            Some(tags) => tags.split(',').any(|tag| tag.trim() == ETAG || tag.trim() == "*"),
            None => header("if-modified-since") == Some(LAST_MODIFIED),
        };
        let same = header("if-range").is_none_or(|tag| tag == ETAG || tag == LAST_MODIFIED);
        if unchanged {
            self.status = 304;
        } else if header("if-match").is_some_and(|tag| tag != ETAG) {
            self.status = 412;
            self.body = b"changed\n".to_vec();
        } else if let Some(range) =
            header("range").and_then(|text| text.strip_prefix("bytes=")).filter(|_| same)
        {
            let (from, to) = range.split_once('-').unwrap_or(("", ""));
            let last = FILE_LEN - 1;
            let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
                (Ok(from), Ok(to)) => (from, to.min(last)),
                (Ok(from), Err(_)) => (from, last),
                (Err(_), Ok(count)) => (FILE_LEN - count.min(FILE_LEN), last),
                _ => (0, last),
            };
            if from > last || to < from {
                self.status = 416;
                self.headers.push(("Content-Range".into(), format!("bytes */{FILE_LEN}")));
                self.body.clear();
            } else {
                self.status = 206;
                self.headers.push(("Content-Range".into(), format!("bytes {from}-{to}/{FILE_LEN}")));
                self.body = self.body[from..=to].to_vec();
            }
        }
    }
}

/// Returns whether the connection is to be closed.
fn answer(seen: &Seen, writer: &mut TcpStream) -> io::Result<bool> {
    let wish = Wish::of(seen);
    let head = seen.line.starts_with("HEAD ");
    let bodiless = matches!(wish.status, 204 | 304);
    let mut out = format!(
        "HTTP/1.1 {} Some Reason\r\nDate: Thu, 02 Jul 2026 12:00:00 GMT\r\nServer: back-end\r\n",
        wish.status
    );
    let has = |name: &str| wish.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !has("content-type") && !bodiless {
        out.push_str("Content-Type: text/plain\r\n");
    }
    for (name, value) in wish.headers.iter().filter(|(_, value)| value != "none") {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    match &wish.kind[..] {
        _ if bodiless => {}
        "chunked" => out.push_str("Transfer-Encoding: chunked\r\n"),
        "close" => out.push_str("Connection: close\r\n"),
        _ => out.push_str(&format!("Content-Length: {}\r\n", wish.body.len())),
    }
    out.push_str("\r\n");
    writer.write_all(out.as_bytes())?;
    if !head && !bodiless {
        match &wish.kind[..] {
            "chunked" => {
                for chunk in wish.body.chunks(7000) {
                    write!(writer, "{:x}\r\n", chunk.len())?;
                    writer.write_all(chunk)?;
                    writer.write_all(b"\r\n")?;
                }
                writer.write_all(b"0\r\n\r\n")?;
            }
            _ => writer.write_all(&wish.body)?,
        }
    }
    Ok(wish.kind == "close")
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match escaped.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
