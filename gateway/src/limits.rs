//! What a request may look like before anything else is done with it.

/// Why a request is refused, as the status to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Both `Transfer-Encoding` and `Content-Length`: two readers could take it for two different requests.
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

/// Checks the bytes of request line and header.
///
/// # Errors
/// [`Refused`].
pub fn check(raw: &[u8], line: usize, all: usize) -> Result<(), Refused> {
    let mut lines = raw.split(|b| *b == b'\n');
    if lines.next().is_some_and(|first| first.len() > line) {
        return Err(Refused::RequestLine);
    }
    if raw.len() > all {
        return Err(Refused::Header);
    }
    let (mut transfer_encoding, mut content_length) = (false, false);
    for field in lines {
        if field.len() > line {
            return Err(Refused::Header);
        }
        transfer_encoding |= is_named(field, b"transfer-encoding");
        content_length |= is_named(field, b"content-length");
    }
    if transfer_encoding && content_length { Err(Refused::Ambiguous) } else { Ok(()) }
}

fn is_named(field: &[u8], name: &[u8]) -> bool {
    let end = field.iter().position(|b| *b == b':').unwrap_or(0);
    field[..end].trim_ascii().eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_status() {
        let ok = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(check(ok, 100, 1000), Ok(()));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100));
        assert_eq!(check(long.as_bytes(), 100, 1000), Err(Refused::RequestLine));
        let field = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(100));
        assert_eq!(check(field.as_bytes(), 100, 1000), Err(Refused::Header));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        assert_eq!(check(many.as_bytes(), 100, 1000), Err(Refused::Header));
        let both = b"POST / HTTP/1.1\r\nTRANSFER-encoding : chunked\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(check(both, 100, 1000), Err(Refused::Ambiguous));
    }
}
