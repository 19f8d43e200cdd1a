//! Of what a client presents, Tomcat sees the id that was looked up and no other. Input: the target, then a `Cookie` field a line.
#![no_main]

use http::header::COOKIE;
use libfuzzer_sys::fuzz_target;
use pingora_http::RequestHeader;
use satchel_fuzz::tomcat;
use sidecar::id::session_id::{MAX_ID, MAX_NODE};
use sidecar::id::{Presented, cookies, path_param};
use sidecar::proxy::request::rewrite;

const COOKIE_NAME: &str = "JSESSIONID";

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|b| *b == b'\n');
    let target = lines.next().unwrap_or_default();
    // No request line has these in its target.
    if target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return;
    }
    let Ok(mut request) = RequestHeader::build("GET", target, None) else { return };
    for line in lines {
        if request.append_header(COOKIE, line).is_err() {
            return;
        }
    }
    let params = path_param::names_for(COOKIE_NAME);
    let sent: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(|line| line.as_bytes()).collect();
    let presented = cookies::values(sent.iter().copied(), COOKIE_NAME);
    for value in presented.iter().copied().chain(path_param::value(request.raw_path(), &params)) {
        parsed(value);
    }
    let in_path = path_param::value(request.raw_path(), &params).is_some();
    for told in [None, Some("5526F95AEB3E88C6")] {
        let mut request = request.clone();
        rewrite(&mut request, COOKIE_NAME, &params, told).expect("what is left is a header");
        let lines = request.headers.get_all(COOKIE).iter();
        let cookies: Vec<_> =
            lines.flat_map(|line| tomcat::cookies(line.as_bytes(), COOKIE_NAME.as_bytes())).collect();
        let expected = |here: bool| told.filter(|_| here).map(|id| id.as_bytes().to_vec()).into_iter();
        assert!(cookies.iter().cloned().eq(expected(!presented.is_empty())), "{cookies:?}");
        // Tomcat answers 400 to the others.
        if !request.raw_path().contains(&b'#') {
            let params = tomcat::path_parameters(request.raw_path(), &params);
            assert!(params.iter().cloned().eq(expected(presented.is_empty() && in_path)), "{params:?}");
        }
    }
});

fn parsed(value: &[u8]) {
    for one in Presented::parse(value, |node| node.as_str() == "n1") {
        let id = one.id.as_str();
        assert!(!id.is_empty() && id.len() <= MAX_ID && id.as_bytes()[0].is_ascii_alphanumeric());
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        if let Some(node) = &one.suffix {
            assert!(node.as_str().len() <= MAX_NODE);
            assert!(node.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
        let whole = one.suffix.as_ref().map_or(id.to_owned(), |node| one.id.with_suffix(node));
        assert_eq!(whole.as_bytes(), value);
    }
}
