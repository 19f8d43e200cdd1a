//! A suffix that is added to Tomcat's cookie can be taken off again, and nothing else of the header changes. Input: a `Set-Cookie` field.
#![no_main]

use http::header::SET_COOKIE;
use libfuzzer_sys::fuzz_target;
use pingora_http::ResponseHeader;
use sidecar::id::{NodeName, Presented, SessionId, set_cookie};
use sidecar::proxy::reissue::reissue;

const NAME: &str = "JSESSIONID";

fuzz_target!(|data: &[u8]| {
    let removal = set_cookie::is_removal(data);
    let Some(range) = set_cookie::value_range(data, NAME) else { return };
    let value = &data[range.clone()];
    let Some(id) = SessionId::parse(value) else { return };
    let node = NodeName::parse("n1").expect("a name");
    let outside = id.with_suffix(&node);
    let sent = set_cookie::with_value(data, &range, &outside);
    assert_eq!(set_cookie::attributes(&sent), set_cookie::attributes(data));
    assert_eq!(set_cookie::is_removal(&sent), removal);
    let again = set_cookie::value_range(&sent, NAME).expect("it is the same cookie");
    assert_eq!(&sent[again.clone()], outside.as_bytes());
    if let [back] = &Presented::parse(&sent[again.clone()], |name| *name == node)[..] {
        assert_eq!((&back.id, &back.suffix), (&id, &Some(node)));
        assert_eq!(set_cookie::with_value(&sent, &again, back.id.as_str()), data);
    } else {
        assert!(outside.len() > sidecar::id::session_id::MAX_ID, "it is not read as one id");
    }
    reissued(&outside, set_cookie::attributes(data));
});

/// The cookie that is set again later says nothing that Tomcat has not said.
fn reissued(value: &str, attributes: &[u8]) {
    let mut response = ResponseHeader::build(200, None).expect("a response");
    if reissue(&mut response, NAME, value, attributes).is_err() {
        return;
    }
    let cookie = response.headers[SET_COOKIE].as_bytes();
    assert_eq!(&cookie[set_cookie::value_range(cookie, NAME).expect("our cookie")], value.as_bytes());
    let said: Vec<_> = attributes.split(|b| *b == b';').collect();
    assert!(cookie.split(|b| *b == b';').skip(1).all(|one| said.contains(&one)));
}
