//! What went wrong with a server, for the log: the innermost cause alone, and the key that bounds it.

use pingora_core::{Error, ErrorType};

/// One phrase, and the system's word for it if there is one.
pub(super) fn why(error: &Error) -> String {
    let what = match error.root_etype() {
        ErrorType::ConnectRefused => return "the connection is refused".into(),
        ErrorType::ConnectNoRoute => "there is no route to it",
        ErrorType::ConnectTimedout => "it has not accepted within proxy_connect_timeout",
        ErrorType::ReadTimedout => "it has not answered within proxy_read_timeout",
        ErrorType::WriteTimedout => "it has not taken the request within proxy_send_timeout",
        ErrorType::ConnectionClosed => "it has closed the connection",
        ErrorType::InvalidHTTPHeader => "its answer is no HTTP",
        other => other.as_str(),
    };
    let cause = error.root_cause();
    if cause.is::<Error>() { what.to_owned() } else { format!("{what} ({cause})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_said() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let inner = Error::because(ErrorType::ReadError, "reading", reset);
        let outer = inner.more_context("Peer: 127.0.0.1:1");
        assert_eq!(why(&outer), "ReadError (connection reset)");
        assert_eq!(
            why(&Error::new(ErrorType::ReadTimedout)),
            "it has not answered within proxy_read_timeout"
        );
    }
}
