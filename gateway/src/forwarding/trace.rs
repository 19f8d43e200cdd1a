//! A name for each request, so that its lines in all logs can be found: `X-Request-ID`, and W3C's `traceparent`.

use pingora_core::Result;
use pingora_http::RequestHeader;

const X_REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";

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

/// Tells the server the request's name. A `traceparent` that is one is passed on; otherwise one is made, with our own name as the trace's if
/// that can be one.
///
/// # Errors
/// None: all values are valid.
pub fn trace(request: &mut RequestHeader, request_id: &str) -> Result<()> {
    request.insert_header(X_REQUEST_ID, request_id)?;
    let told = request.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    if told.is_some_and(is_traceparent) {
        return Ok(());
    }
    let trace = if is_id(request_id, 32) {
        request_id.to_owned()
    } else {
        format!("{:032x}", rand::random::<u128>() | 1)
    };
    let span = rand::random::<u64>() | 1;
    request.insert_header(TRACEPARENT, format!("00-{trace}-{span:016x}-00"))?;
    Ok(())
}

/// W3C Trace Context, 3.2.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags, ..] = parts[..] else { return false };
    let known = version != "00" || parts.len() == 4;
    known && is_hex(version, 2) && version != "ff" && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2)
}

fn is_id(text: &str, len: usize) -> bool {
    is_hex(text, len) && text.bytes().any(|b| b != b'0')
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
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
        assert!(is_hex(&own, 32), "{own}");
        assert_ne!(own, request_id(&told, false));
        assert_ne!(request_id(&request(&[("X-Request-ID", "a\"b")]), true), "a\"b");
    }

    #[test]
    fn a_traceparent_is_passed_on_and_otherwise_made() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = |value: &str| {
            let mut request = request(&[("traceparent", value)]);
            trace(&mut request, "0af7651916cd43dd8448eb211c80319c").unwrap();
            request.headers["traceparent"].to_str().unwrap().to_owned()
        };
        assert_eq!(traced(good), good);
        for bad in [
            "",
            "x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &format!("{good}-x"),
            &good.to_uppercase(),
        ] {
            let made = traced(bad);
            assert!(
                made.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && is_traceparent(&made),
                "{bad}: {made}"
            );
        }
    }
}
