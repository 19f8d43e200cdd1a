//! A session id, checked before it is used for anything, and the node suffix behind it.

use std::fmt;

use rand::RngExt;

/// Longest id that is accepted, in bytes. Tomcat's own are 32 hex digits, plus a `jvmRoute` if there is one.
pub const MAX_ID: usize = 128;

/// Longest node name, in bytes.
pub const MAX_NODE: usize = 32;

/// The id that Tomcat gave a session: `[A-Za-z0-9._-]`, 1 to [`MAX_ID`] bytes, beginning with a letter or
/// digit. It can't leave a directory, end a memcached command or start a header.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Box<str>);

/// The short name of a memcached node: `[A-Za-z0-9_]`, 1 to [`MAX_NODE`] bytes (msm's rule).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeName(Box<str>);

/// What a client presents: an id and, if there is one, the suffix that names its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The id without its suffix.
    pub id: SessionId,
    /// The name behind it.
    pub suffix: Option<NodeName>,
}

// === impl SessionId ===

impl SessionId {
    /// Accepts an id; `None` if it has a character or a length that no Tomcat gives.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.len() > MAX_ID || !text.first()?.is_ascii_alphanumeric() || !text.iter().all(allowed) {
            return None;
        }
        std::str::from_utf8(text).ok().map(|text| Self(text.into()))
    }

    /// An id that no Tomcat has given and none will: told to Tomcat in place of one that does not exist,
    /// so that the application still sees "requested, not valid".
    pub fn never_used() -> Self {
        let mut bytes = [0u8; 16];
        rand::rng().fill(&mut bytes);
        let mut text = String::with_capacity(32);
        for byte in bytes {
            text.push_str(&format!("{byte:02X}"));
        }
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<id>-<node>`: what the client gets.
    pub fn with_suffix(&self, node: &NodeName) -> String {
        format!("{}-{}", self.0, node.as_str())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whoever reads a log must not be able to take a session over: only the first characters are shown.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(6);
        write!(f, "{}…", &self.0[..shown])
    }
}

// === impl NodeName ===

impl NodeName {
    /// Accepts a name; `None` if it has a character or a length that is not allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        (!text.is_empty() && text.len() <= MAX_NODE && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Presented ===

impl Presented {
    /// Reads what stands in a cookie or path parameter: an id whose text behind the last `-` is a node that `is_node` knows. If
    /// it is none, the `-` may belong to the id (a `jvmRoute`), or the node is not configured any more: both are possible.
    pub fn parse(text: &[u8], is_node: impl Fn(&NodeName) -> bool) -> Vec<Self> {
        let Some(whole) = SessionId::parse(text) else { return Vec::new() };
        let split = whole.as_str().rsplit_once('-').and_then(|(id, suffix)| {
            Some(Self { id: SessionId::parse(id.as_bytes())?, suffix: Some(NodeName::parse(suffix)?) })
        });
        match split {
            Some(split) if split.suffix.as_ref().is_some_and(is_node) => vec![split],
            split => [Self { id: whole, suffix: None }].into_iter().chain(split).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_suffix_is_taken_off() {
        let read = |text: &[u8]| -> Vec<String> {
            let show = |p: Presented| format!("{} {}", p.id, p.suffix.map_or("?".into(), |s| s.to_string()));
            Presented::parse(text, |node| node.as_str() == "n1").into_iter().map(show).collect()
        };
        assert_eq!(read(b"5526F95AEB3E88C6-n1"), ["5526F95AEB3E88C6 n1"]);
        assert_eq!(read(b"ABC.worker1"), ["ABC.worker1 ?"]);
        assert_eq!(read(b"ABC.worker-1"), ["ABC.worker-1 ?", "ABC.worker 1"]);
        assert_eq!(read(b"ABC.worker-1-n1"), ["ABC.worker-1 n1"]);
        assert_eq!(read(b"../x-n1"), Vec::<String>::new());
    }

    #[test]
    fn what_no_tomcat_gives_is_refused() {
        for text in
            ["", "../evil", "..", ".hidden", "-n1", "a/b", "a%2eb", "a b", "a\r\nset", "a;b", "\u{e9}"]
        {
            assert_eq!(SessionId::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(SessionId::parse(&[b'A'; MAX_ID]).is_some());
        assert!(SessionId::parse(&[b'A'; MAX_ID + 1]).is_none());
    }

    #[test]
    fn a_log_shows_only_the_beginning() {
        let id = SessionId::parse(b"5526F95AEB3E88C6").unwrap();
        assert_eq!(format!("{id:?}"), "5526F9…");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for p in Presented::parse(&bytes, |node| node.as_str().len() == 2) {
                let text = p.id.as_str();
                prop_assert!(!text.contains(['/', '\\', '\r', '\n', ' ', '%', '\0']));
                prop_assert!(!text.starts_with('.'));
                let whole = p.suffix.map_or(text.to_owned(), |s| p.id.with_suffix(&s));
                prop_assert_eq!(whole.as_bytes(), &bytes[..]);
            }
        }
    }
}
