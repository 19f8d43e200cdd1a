//! What stands inside a record once it is opened: a session, or the mark that it has ended.

use bytes::Bytes;

use super::ttl::Ttl;
use crate::id::{NodeName, session_id::MAX_NODE};

const SESSION: u8 = 1;
const TOMBSTONE: u8 = 2;

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Grows by one with every store of this session, over tombstones too.
    pub counter: u64,
    /// Random with every store: tells two records of one counter apart (R18). With the counter it makes the item's client flags
    /// ([`flags`](super::flags)).
    pub writer: u64,
    /// The node in the suffix of the session's cookie when this was stored. A copy on another node says so where the session's
    /// requests are locked.
    pub primary: NodeName,
    /// What the item was stored with: idle time = this − what memcached says is left (R8).
    pub ttl: Ttl,
    /// The session or its end.
    pub stored: Stored,
}

/// A session or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A living session.
    Session {
        /// The attributes of Tomcat's `Set-Cookie`, from the first `;` on, to issue the cookie again.
        cookie_attributes: Bytes,
        /// Tomcat's session file, with the id without suffix.
        file: Bytes,
    },
    /// A tombstone: the session has ended, and a late writer must not bring it back.
    Ended(Ended),
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Invalidated by the application, or expired in Tomcat.
    Invalidated,
    /// It goes on under another id (login).
    IdChanged,
}

/// The bytes are not a payload of this version.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("malformed payload")]
pub struct Malformed;

impl Payload {
    /// Bytes of the longest tombstone. A session's file alone has more.
    pub const TOMBSTONE_MAX: usize = 1 + 8 + 8 + 4 + 1 + MAX_NODE + 1;

    /// The bytes that are sealed. Numbers are big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(if matches!(self.stored, Stored::Session { .. }) { SESSION } else { TOMBSTONE });
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(&self.writer.to_be_bytes());
        out.extend_from_slice(&self.ttl.0.to_be_bytes());
        // Never cut: a node's name has at most 32 bytes.
        let primary = self.primary.as_str().as_bytes();
        out.push(primary.len() as u8);
        out.extend_from_slice(primary);
        match &self.stored {
            Stored::Session { cookie_attributes, file } => {
                // A header line is far below 64 KiB; a longer one is not kept.
                let kept = u16::try_from(cookie_attributes.len()).unwrap_or(0);
                out.reserve(2 + usize::from(kept) + file.len());
                out.extend_from_slice(&kept.to_be_bytes());
                out.extend_from_slice(&cookie_attributes[..usize::from(kept)]);
                out.extend_from_slice(file);
            }
            Stored::Ended(Ended::Invalidated) => out.push(1),
            Stored::Ended(Ended::IdChanged) => out.push(2),
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut rest = Reader(bytes);
        let [kind] = rest.take()?;
        let counter = u64::from_be_bytes(rest.take()?);
        let writer = u64::from_be_bytes(rest.take()?);
        let ttl = Ttl(u32::from_be_bytes(rest.take()?));
        let [len] = rest.take()?;
        let name = rest.split(usize::from(len))?;
        let primary = std::str::from_utf8(&name).ok().and_then(NodeName::parse).ok_or(Malformed)?;
        let stored = match kind {
            SESSION => {
                let len = usize::from(u16::from_be_bytes(rest.take()?));
                let cookie_attributes = rest.split(len)?;
                Stored::Session { cookie_attributes, file: rest.0 }
            }
            TOMBSTONE => match rest.0.as_ref() {
                [1] => Stored::Ended(Ended::Invalidated),
                [2] => Stored::Ended(Ended::IdChanged),
                _ => return Err(Malformed),
            },
            _ => return Err(Malformed),
        };
        Ok(Self { counter, writer, primary, ttl, stored })
    }
}

struct Reader(Bytes);

impl Reader {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.split(N)?.as_ref().try_into().map_err(|_| Malformed)
    }

    fn split(&mut self, len: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < len { Err(Malformed) } else { Ok(self.0.split_to(len)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            counter: u64, writer: u64, primary in "[A-Za-z0-9_]{1,32}", ttl: u32, attributes: Vec<u8>, file: Vec<u8>
        ) {
            let primary = NodeName::parse(&primary).unwrap();
            let session = Stored::Session { cookie_attributes: attributes.into(), file: file.into() };
            for stored in [session, Stored::Ended(Ended::Invalidated), Stored::Ended(Ended::IdChanged)] {
                let payload = Payload { counter, writer, primary: primary.clone(), ttl: Ttl(ttl), stored };
                let bytes = payload.encode();
                let ended = matches!(payload.stored, Stored::Ended(_));
                prop_assert!(!ended || bytes.len() <= Payload::TOMBSTONE_MAX);
                prop_assert_eq!(Payload::decode(bytes.into()), Ok(payload));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Payload::decode(bytes.into());
        }
    }
}
