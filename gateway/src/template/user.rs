//! The user that a request names, as nginx's `$remote_user`: of `Authorization: Basic`, whether or not its password is right.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// As lenient as nginx: it reads to the first `=`.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// Empty if there is none.
pub(super) fn user(headers: &HeaderMap) -> String {
    headers.get(AUTHORIZATION).and_then(|value| of(value.as_bytes())).unwrap_or_default()
}

fn of(value: &[u8]) -> Option<String> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let coded = rest.trim_ascii_start().split(|b| *b == b'=').next()?;
    let decoded = LENIENT.decode(coded).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some(String::from_utf8_lossy(&decoded[..colon]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn basic_names_a_user() {
        for (value, user) in [
            ("Basic YW5uYTpzZWNyZXQ=", "anna"),
            ("basic   YW5uYTpzZWNyZXQ", "anna"),
            ("Basic YW5uYTo=", "anna"),
            ("Basic OnNlY3JldA==", ""),
            ("Basic YW5uYQ==", ""),
            ("Basic ?", ""),
            ("Basic", ""),
            ("Bearer YW5uYTpzZWNyZXQ=", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(super::user(&headers), user, "{value}");
        }
        assert_eq!(super::user(&HeaderMap::new()), "");
    }

    proptest! {
        #[test]
        fn anything_may_be_sent(value in proptest::collection::vec(any::<u8>(), 0..60), basic: bool) {
            let _ = of(&[if basic { &b"Basic "[..] } else { b"" }, &value].concat());
        }
    }
}
