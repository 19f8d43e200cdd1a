//! What a request's header may look like before anything else is done with it.

use http::HeaderValue;
use http::header::HOST;
use pingora_http::RequestHeader;

/// Why a request is refused, as the status to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Two readers could take it for two different requests.
    Ambiguous,
    /// The request line is too long.
    RequestLine,
    /// A header field is, or all of them together.
    Header,
}

impl Refused {
    /// 400, 414 or 431.
    pub fn status(self) -> u16 {
        match self {
            Self::Ambiguous => 400,
            Self::RequestLine => 414,
            Self::Header => 431,
        }
    }
}

/// Checks the bytes of request line and header of HTTP/1.
///
/// Refused as ambiguous: `Transfer-Encoding` beside `Content-Length`, or other than one `chunked`; more than one `Content-Length` or
/// `Host`, none in HTTP/1.1, and one that can't be a host's; a `Content-Length` that is no number; a request line that is not three words, the first of capitals; a CR that ends no line, a line that continues the one before (obs-fold), a field name with something other than
/// a token before its colon (RFC 9112: 2.2, 3.2, 5.1, 5.2, 6.1).
///
/// # Errors
/// [`Refused`].
pub fn check(raw: &[u8], line: usize, all: usize) -> Result<(), Refused> {
    let mut lines = raw.split(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    if first.len() > line {
        return Err(Refused::RequestLine);
    }
    if raw.len() > all {
        return Err(Refused::Header);
    }
    no_stray_cr(first)?;
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let mut words = first.split(|b| *b == b' ');
    let method = words.next().unwrap_or_default();
    if method.is_empty() || !method.iter().all(is_of_method) || words.count() != 2 {
        return Err(Refused::Ambiguous);
    }
    let version_11 = first.ends_with(b"HTTP/1.1");
    let (mut transfer_encoding, mut content_length, mut host) = (0, 0, 0);
    for field in lines {
        if field.len() > line {
            return Err(Refused::Header);
        }
        no_stray_cr(field)?;
        let field = field.strip_suffix(b"\r").unwrap_or(field);
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|b| *b == b':').ok_or(Refused::Ambiguous)?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Refused::Ambiguous);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            transfer_encoding += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::Ambiguous);
            }
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            content_length += 1;
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(Refused::Ambiguous);
            }
        }
        if name.eq_ignore_ascii_case(b"host") {
            host += 1;
            if (value.is_empty() && version_11) || !is_host(value) {
                return Err(Refused::Ambiguous);
            }
        }
    }
    let framed_once = transfer_encoding + content_length <= 1;
    let chunked_in_10 = transfer_encoding > 0 && !version_11;
    if framed_once && !chunked_in_10 && host <= 1 && (host == 1 || !version_11) {
        Ok(())
    } else {
        Err(Refused::Ambiguous)
    }
}

/// Checks a header of HTTP/2, whose framing leaves nothing to guess.
///
/// # Errors
/// [`Refused`].
pub fn check_fields(request: &RequestHeader, line: usize, all: usize) -> Result<(), Refused> {
    let target = request.raw_path().len();
    if target > line {
        return Err(Refused::RequestLine);
    }
    let of_fields = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let (largest, sum) =
        of_fields.fold((0, target), |(largest, sum): (usize, usize), len| (largest.max(len), sum + len));
    if largest > line || sum > all {
        return Err(Refused::Header);
    }
    let host = request.headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    if request.method.as_str().bytes().all(|b| is_of_method(&b)) && is_host(host) {
        Ok(())
    } else {
        Err(Refused::Ambiguous)
    }
}

/// A CR stands before a LF and nowhere else; a NUL nowhere.
fn no_stray_cr(line: &[u8]) -> Result<(), Refused> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().any(|b| matches!(b, b'\r' | 0)) { Err(Refused::Ambiguous) } else { Ok(()) }
}

fn is_of_method(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

/// RFC 3986, 3.2.2, with a port. Our redirects and the servers' repeat it.
fn is_host(value: &[u8]) -> bool {
    let is_of_host = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(b);
    value.iter().all(is_of_host) && !value.windows(2).any(|two| two == b"..")
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_limit_has_its_status() {
        let ok = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(check(ok, 100, 1000), Ok(()));
        assert_eq!(check(b"GET / HTTP/1.0\r\n\r\n", 100, 1000), Ok(()));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100));
        assert_eq!(check(long.as_bytes(), 100, 1000), Err(Refused::RequestLine));
        let field = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(100));
        assert_eq!(check(field.as_bytes(), 100, 1000), Err(Refused::Header));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        assert_eq!(check(many.as_bytes(), 100, 1000), Err(Refused::Header));
    }

    #[test]
    fn what_could_be_two_requests_is_refused() {
        for fields in [
            "Host: a\r\nTRANSFER-encoding: chunked\r\ncontent-length: 5\r\n",
            "Host: a\r\nTransfer-Encoding : chunked\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
            "Host: a\r\nTransfer-Encoding: xchunked\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n x\r\n",
            "Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "Host: a\r\nContent-Length: 5, 5\r\n",
            "Host: a\r\nContent-Length: +5\r\n",
            "Host: a\r\nContent-Length:\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host: a\"b<c>\r\n",
            "Host: a/b\r\n",
            "Host:\r\n",
            "Host: a..b\r\n",
            "Host: a b\r\n",
            "X: y\r\n",
            "Host: a\r\nX: y\rZ: w\r\n",
            "Host: a\r\nX\0: y\r\n",
            "Host: a\r\nX: y\r\n continued\r\n",
            "Host: a\r\nno colon\r\n",
            "Host: a\r\n: empty\r\n",
        ] {
            let raw = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(check(raw.as_bytes(), 100, 1000), Err(Refused::Ambiguous), "{fields:?}");
        }
        for line in ["GET /a b HTTP/1.1", "get / HTTP/1.1", "GET  / HTTP/1.1", "GET /"] {
            let raw = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(check(raw.as_bytes(), 100, 1000), Err(Refused::Ambiguous), "{line}");
        }
        let chunked_10 = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(chunked_10, 100, 1000), Err(Refused::Ambiguous));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&raw, 50, 150);
        }
    }
}
