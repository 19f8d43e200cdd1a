//! W3C Trace Context: the `traceparent` field of a request. <https://www.w3.org/TR/trace-context/#traceparent-header>

use std::fmt;

use http::HeaderMap;

/// The field's name.
pub const TRACEPARENT: &str = "traceparent";

/// Which trace a request belongs to, and which span has sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Not zero.
    pub trace: u128,
    /// Not zero.
    pub span: u64,
    /// Whether the sender records it.
    pub sampled: bool,
}

impl Parent {
    /// What the field of a request says; `None`: it is not there, or malformed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let field = fields.next().and_then(|field| field.to_str().ok())?;
        // With two nobody knows which one counts.
        if fields.next().is_some() { None } else { Self::parse(field) }
    }

    /// Reads the field.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags, ..] = parts[..] else { return None };
        let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
        let known = version != "ff" && (version != "00" || parts.len() == 4);
        if !known || !lengths.iter().all(|(text, length)| is_hex(text, *length)) {
            return None;
        }
        let parent = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written() {
        let parent = Parent::parse(GOOD).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), GOOD);
        // Of later versions what is known counts.
        assert_eq!(Parent::parse(&GOOD.replacen("00", "cc", 1)), Some(parent));
        assert_eq!(Parent::parse(&format!("cc{}-more", &GOOD[2..])), Some(parent));
    }

    #[test]
    fn what_is_malformed_is_none() {
        for bad in [
            "",
            "x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            &format!("{GOOD}-x"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(Parent::of(&headers).is_some());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(Parent::of(&headers), None);
    }
}
