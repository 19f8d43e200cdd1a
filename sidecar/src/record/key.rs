//! The names under which memcached holds things: a keyed hash, so that a dump reveals no session id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::{NodeName, SessionId};

/// Who shares sessions: every sidecar with this name and index key.
#[derive(Clone)]
pub struct Farm {
    name: String,
    index_key: [u8; 32],
}

/// The place of one session of one context. 24 bytes of BLAKE3: 192 bits against collisions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    hash: [u8; 24],
}

impl Farm {
    /// `index_key` is the configured secret. Without one (encryption off) the names can be computed by
    /// whoever knows the farm's name and a session id.
    pub fn new(name: &str, index_key: Option<[u8; 32]>) -> Self {
        let index_key = index_key
            .unwrap_or_else(|| blake3::derive_key("satchel 1 index key without a secret", name.as_bytes()));
        Self { name: name.to_owned(), index_key }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything about a session is by farm, context and id (R1).
    pub fn key(&self, context: &str, id: &SessionId) -> RecordKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.index_key);
        hasher.update(&self.identity(context, id));
        let mut hash = [0; 24];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..24]);
        RecordKey { hash }
    }

    /// The item that says that a node was away: `a` and 32 characters of base64url.
    pub fn away(&self, node: &NodeName) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.index_key);
        hasher.update(b"away ");
        hasher.update(self.name.as_bytes());
        hasher.update(b" ");
        hasher.update(node.as_str().as_bytes());
        format!("a{}", URL_SAFE_NO_PAD.encode(&hasher.finalize().as_bytes()[..24]))
    }

    /// The item that says what the sidecars of a farm have in common: `f` and 32 characters of base64url. Without a secret, so that
    /// sidecars with different ones find each other.
    pub fn agreement(farm: &str) -> String {
        let hash = blake3::derive_key("satchel 1 agreement", farm.as_bytes());
        format!("f{}", URL_SAFE_NO_PAD.encode(&hash[..24]))
    }

    /// What a record is bound to: a record that is copied to another session's key can't be opened.
    pub fn identity(&self, context: &str, id: &SessionId) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.name.len() + context.len() + id.as_str().len() + 6);
        for part in [self.name.as_str(), context, id.as_str()] {
            // None is longer than the configuration and SessionId allow, far below 64 KiB.
            out.extend_from_slice(&(part.len() as u16).to_be_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

impl RecordKey {
    /// Where it is written when the record under `key` ends, for nodes that do not tell. `None`: it is no record's key.
    pub fn end_of(key: &str) -> Option<String> {
        key.starts_with('s').then(|| format!("e{}", &key[1..]))
    }

    /// The record: `s` and 32 characters of base64url.
    pub fn record(&self) -> String {
        format!("s{}", URL_SAFE_NO_PAD.encode(self.hash))
    }

    /// The lock: `l` and the same.
    pub fn lock(&self) -> String {
        format!("l{}", URL_SAFE_NO_PAD.encode(self.hash))
    }

    /// Where the ring order of a new session starts (R2).
    pub fn ring_start(&self, nodes: usize) -> usize {
        let mut first = [0; 8];
        first.copy_from_slice(&self.hash[..8]);
        usize::try_from(u64::from_be_bytes(first) % nodes.max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn r01_farm_context_and_id_all_count() {
        let farm = Farm::new("shop", Some([1; 32]));
        let key = farm.key("/app", &id("ABC"));
        assert_eq!(key, farm.key("/app", &id("ABC")));
        assert_ne!(key, farm.key("", &id("ABC")));
        assert_ne!(key, farm.key("/app", &id("ABD")));
        assert_ne!(key, Farm::new("other", Some([1; 32])).key("/app", &id("ABC")));
        assert_ne!(key, Farm::new("shop", Some([2; 32])).key("/app", &id("ABC")));
        // Lengths are part of it: no two splits of one text are the same.
        assert_ne!(farm.identity("/a", &id("bc")), farm.identity("/ab", &id("c")));
    }

    #[test]
    fn the_name_reveals_no_id_and_is_safe_on_the_wire() {
        let key = Farm::new("shop", Some([1; 32])).key("/app", &id("ABC"));
        assert_eq!(key.record().len(), 33);
        assert!(key.record().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
        assert_eq!(key.record()[1..], key.lock()[1..]);
    }
}
