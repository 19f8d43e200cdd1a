//! A small blocking HTTP/1.1 client: a user with a cookie jar, and raw bytes where a test needs them.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

use crate::wait::DEADLINE;

/// A response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The final status.
    pub status: u16,
    /// All headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
    /// Informational statuses that came before.
    pub informational: Vec<u16>,
}

/// One cookie of the jar.
#[derive(Debug, Clone)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its `Path`.
    pub path: String,
}

/// A user: one connection at a time, kept alive, and a cookie jar.
pub struct Client {
    address: SocketAddr,
    /// The cookies, oldest first.
    pub cookies: Vec<Cookie>,
    /// The `Host` that it asks for.
    pub host: String,
    /// How long it waits for the next bytes.
    pub patience: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A user of the server on `port` of 127.0.0.1, without cookies.
    pub fn new(port: u16) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            cookies: Vec::new(),
            host: "test".into(),
            patience: DEADLINE,
            connection: None,
        }
    }

    /// The same user at another server.
    pub fn at(&self, port: u16) -> Self {
        let (cookies, host) = (self.cookies.clone(), self.host.clone());
        Self { cookies, host, patience: self.patience, ..Self::new(port) }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// GET.
    ///
    /// # Panics
    /// When there is no response.
    pub fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    /// POST of a form.
    pub fn post(&mut self, path: &str, form: &str) -> Response {
        self.send("POST", path, &[("Content-Type", "application/x-www-form-urlencoded")], form.as_bytes())
    }

    /// Any request. Without a `Cookie` among `headers` the jar's cookies are sent.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, where a failure is expected.
    ///
    /// # Errors
    /// When the connection fails or is closed before the response is complete.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        // A request is never sent twice: only a connection that is known to be open is used again.
        self.connection = self.connection.take().filter(is_open);
        let request = self.request(method, path, headers, body);
        self.exchange(&request).inspect(|response| self.keep_cookies(response, path))
    }

    /// Sends a request and returns the connection at once, with nothing read.
    pub fn start(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        self.try_start(method, path, headers, body).unwrap()
    }

    /// The same, where a failure is expected.
    ///
    /// # Errors
    /// As the system says.
    pub fn try_start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<TcpStream> {
        let mut stream = connect(self.address)?;
        stream.write_all(&self.request(method, path, headers, body))?;
        Ok(stream)
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().rev().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    /// The `Cookie` header for a path.
    pub fn cookie_header(&self, path: &str) -> String {
        let sent = self.cookies.iter().filter(|cookie| {
            let rest = path.strip_prefix(cookie.path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', ';']))
        });
        sent.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    /// The bytes of a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        let cookie = self.cookie_header(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie")) && !cookie.is_empty() {
            request.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let framing = |name: &str| matches!(name, "content-length" | "transfer-encoding");
        let framed = headers.iter().any(|(name, _)| framing(&name.to_ascii_lowercase()));
        if !framed && (!body.is_empty() || method == "POST" || method == "PUT") {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(connect(self.address)?),
        };
        connection.get_ref().set_read_timeout(Some(self.patience))?;
        // A server that refuses a request may close before it has read all of it.
        let written = connection.get_mut().write_all(request);
        let response = match read_response(&mut connection, request.starts_with(b"HEAD ")) {
            Ok(response) => response,
            Err(error) => return Err(written.err().unwrap_or(error)),
        };
        if response.header("connection") != Some("close") && response.header("content-length").is_some()
            || response.header("transfer-encoding").is_some()
        {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// Takes the cookies of a response into the jar.
    pub fn keep_cookies(&mut self, response: &Response, path: &str) {
        for (_, header) in response.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = header.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let default = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
            let path = parts.find_map(|part| part.strip_prefix("Path=")).unwrap_or(default);
            let cookie = Cookie { name: name.into(), value: value.into(), path: path.into() };
            self.cookies.retain(|other| other.name != cookie.name || other.path != cookie.path);
            self.cookies.push(cookie);
        }
    }
}

impl Response {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `name=value` in the body, up to white space.
    pub fn field(&self, name: &str) -> Option<String> {
        let key = format!("{name}=");
        self.text().split_whitespace().find_map(|word| word.strip_prefix(&key).map(str::to_owned))
    }

    /// A number in the body.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.field(name)?.parse().ok()
    }
}

fn is_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let quiet = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let open = quiet.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && open
}

/// Connects with a deadline on every read and write.
///
/// # Errors
/// As the system says.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same from an address of one's own.
///
/// # Errors
/// As the system says.
pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    rustix::net::connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one response, informational ones before it included.
///
/// # Errors
/// When the connection ends before the response is complete.
pub fn read_response(connection: &mut impl BufRead, head: bool) -> io::Result<Response> {
    let mut response = Response::default();
    loop {
        let line = read_line(connection)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        response.status = status.ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
        response.headers = read_headers(connection)?;
        if !matches!(response.status, 100 | 102 | 103) {
            break;
        }
        response.informational.push(response.status);
    }
    if head || matches!(response.status, 101 | 204 | 304) {
        return Ok(response);
    }
    if response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let size = read_line(connection)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or(""), 16)
                .map_err(|_| io::Error::other("bad chunk"))?;
            let start = response.body.len();
            response.body.resize(start + size, 0);
            connection.read_exact(&mut response.body[start..])?;
            read_line(connection)?;
            if size == 0 {
                return Ok(response);
            }
        }
    }
    match response.header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => {
            response.body.resize(length, 0);
            connection.read_exact(&mut response.body)?;
        }
        None => {
            connection.read_to_end(&mut response.body)?;
        }
    }
    Ok(response)
}

fn read_headers(connection: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            return Ok(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    connection.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionReset,
            "closed before the response was complete",
        ));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
