//! What lets somebody change something at an admin address.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A shorter one could be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

/// A secret. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// It is not one that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "16 to 256 visible ASCII characters are needed, without blanks; `openssl rand -hex 32` prints some that cannot be guessed"
)]
pub struct TokenError;

impl Token {
    /// Takes a text.
    ///
    /// # Errors
    /// It is too short, or can't be sent in a header.
    pub fn new(text: String) -> Result<Self, TokenError> {
        let fits = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(TokenError) }
    }

    /// Whether an `Authorization` field is `Bearer` and this. How long that takes tells nothing but the length.
    pub fn is_in(&self, authorization: Option<&[u8]>) -> bool {
        let Some((kind, told)) = authorization.and_then(|field| field.split_at_checked("Bearer ".len()))
        else {
            return false;
        };
        kind.eq_ignore_ascii_case(b"Bearer ") && bool::from(told.trim_ascii().ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_it() {
        let token = Token::new("0123456789abcdef".into()).unwrap();
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(token.is_in(Some(right.as_bytes())), "{right}");
        }
        for wrong in
            ["", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Basic 0123456789abcdef"]
        {
            assert!(!token.is_in(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!token.is_in(None));
        assert_eq!(format!("{token:?}"), "…");
    }

    #[test]
    fn what_could_be_guessed_is_refused() {
        for text in
            ["", "short", "fifteen-letters", "with a blank in it", "ümläuts-are-none-here", &"x".repeat(257)]
        {
            assert_eq!(Token::new(text.into()), Err(TokenError), "{text}");
        }
    }
}
