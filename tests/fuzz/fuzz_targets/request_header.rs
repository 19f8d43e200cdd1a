//! A header that is let through can be read in one way only: a strict reader finds in it what `limits::check` has found.
#![no_main]

use gateway::limits::{check, check_fields};
use libfuzzer_sys::fuzz_target;
use pingora_http::RequestHeader;

const LINE: usize = 512;
const ALL: usize = 2048;

fuzz_target!(|data: &[u8]| {
    if check(data, LINE, ALL).is_err() {
        return;
    }
    assert!(data.len() <= ALL);
    let mut fields = [httparse::EMPTY_HEADER; 512];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(len)) = request.parse(data) else { return };
    let head = &data[..len];
    let named = |name: &str| {
        let all = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        all.map(|field| field.value.trim_ascii()).collect::<Vec<_>>()
    };
    let (encodings, lengths, hosts) = (named("transfer-encoding"), named("content-length"), named("host"));
    assert!(encodings.len() + lengths.len() <= 1, "framed in two ways");
    assert!(encodings.iter().all(|value| value.eq_ignore_ascii_case(b"chunked")));
    assert!(lengths.iter().all(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit)));
    assert!(hosts.len() <= 1 && (hosts.len() == 1 || request.version == Some(0)));
    assert!(hosts.iter().all(|host| !host.iter().any(|b| b"/?#@\\\"<> ".contains(b))));
    // As many lines as fields: none is continued, none hides behind a lone CR.
    let lines =
        head.split(|b| *b == b'\n').filter(|line| !line.strip_suffix(b"\r").unwrap_or(line).is_empty());
    assert_eq!(lines.count(), request.headers.len() + 1);
    assert!(
        !head.contains(&0)
            && head.iter().filter(|b| **b == b'\r').count() <= head.split(|b| *b == b'\n').count()
    );
    by_fields(&request);
});

/// The same header in HTTP/2 is let through, too, and with another's host it is not.
fn by_fields(request: &httparse::Request<'_, '_>) {
    let target = request.path.unwrap_or_default().as_bytes();
    let Ok(mut fields) = RequestHeader::build(request.method.unwrap_or_default(), target, None) else {
        return;
    };
    for field in request.headers.iter() {
        if fields.append_header(field.name.to_owned(), field.value).is_err() {
            return;
        }
    }
    assert_eq!(check_fields(&fields, LINE, ALL), Ok(()));
    fields.insert_header("host", "a/b").expect("a field");
    assert!(check_fields(&fields, LINE, ALL).is_err());
}
