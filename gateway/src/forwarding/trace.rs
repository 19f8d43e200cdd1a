//! A name for each request, so that its lines in all logs can be found: `X-Request-ID`, and W3C's `traceparent`.

use pingora_core::Result;
use pingora_http::RequestHeader;
use satchel_common::trace::{Parent, TRACEPARENT};

const X_REQUEST_ID: &str = "x-request-id";

/// Whether this request's spans are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// None are: what others do is their business.
    Off,
    /// Those of other requests are.
    NotThis,
    /// They are, and this is what its server gets.
    As(Parent),
}

/// A trusted proxy's name for the request, or one of our own: 32 hexadecimal digits, as nginx's `$request_id`.
pub fn request_id(request: &RequestHeader, trusted: bool) -> String {
    let told = request.headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let allowed = |id: &&str| {
        trusted
            && (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    told.filter(allowed).map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

/// Tells the server the request's name. A `traceparent` that is one is passed on, as far as recording goes; otherwise one is made, with our own name as
/// the trace's if that can be one.
///
/// # Errors
/// None: all values are valid.
pub fn trace(request: &mut RequestHeader, request_id: &str, recording: Recording) -> Result<()> {
    request.insert_header(X_REQUEST_ID, request_id)?;
    let parent = match (recording, Parent::of(&request.headers)) {
        (Recording::As(parent), _) => parent,
        (Recording::Off, Some(_)) => return Ok(()),
        // A sidecar believes what it is told here.
        (Recording::NotThis, Some(told)) => Parent { sampled: false, ..told },
        (_, None) => made(request_id),
    };
    request.insert_header(TRACEPARENT, parent.to_string())
}

fn made(request_id: &str) -> Parent {
    let random = || rand::random::<u128>() | 1;
    let is_one = |id: &&str| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let named = Some(request_id).filter(is_one).and_then(|id| u128::from_str_radix(id, 16).ok());
    let trace = named.filter(|trace| *trace != 0).unwrap_or_else(random);
    Parent { trace, span: rand::random::<u64>() | 1, sampled: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        fields.iter().for_each(|(name, value)| request.insert_header(*name, *value).unwrap());
        request
    }

    #[test]
    fn only_a_trusted_proxys_name_is_taken() {
        let told = request(&[("X-Request-ID", "abc-1")]);
        assert_eq!(request_id(&told, true), "abc-1");
        let own = request_id(&told, false);
        assert!(own.len() == 32 && u128::from_str_radix(&own, 16).is_ok(), "{own}");
        assert_ne!(own, request_id(&told, false));
        assert_ne!(request_id(&request(&[("X-Request-ID", "a\"b")]), true), "a\"b");
    }

    #[test]
    fn a_traceparent_is_passed_on_and_otherwise_made() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = |value: &str, recording| {
            let mut request = request(&[("traceparent", value)]);
            trace(&mut request, "0af7651916cd43dd8448eb211c80319c", recording).unwrap();
            request.headers["traceparent"].to_str().unwrap().to_owned()
        };
        assert_eq!(traced(good, Recording::Off), good);
        assert_eq!(traced(good, Recording::NotThis), good.replace("-01", "-00"));
        let ours = Parent { trace: 1, span: 2, sampled: true };
        assert_eq!(traced(good, Recording::As(ours)), ours.to_string());
        for bad in ["", "x", &format!("{good}-x"), &good.to_uppercase()] {
            let made = traced(bad, Recording::Off);
            assert!(
                made.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && made.ends_with("-00"),
                "{bad}: {made}"
            );
            assert!(Parent::parse(&made).is_some(), "{made}");
        }
    }
}
