//! `<id>.session` as Tomcat's `FileStore` writes it: a fixed header of Java's serialization, then opaque.
//!
//! Order of the fields: `StandardSession.doWriteObject`. The bytes between them are class descriptors of
//! `java.lang.Long`, `Integer` and `Boolean`, the same in every file; they are compared, not skipped, so a
//! layout that this code does not know is refused and never patched. Nothing in the stream has an absolute
//! offset, so the id may change its length.

use std::ops::Range;

use bytes::Bytes;

use crate::id::SessionId;

/// Stream header, then the descriptor of `java.lang.Long` and its superclass `java.lang.Number`.
const LONG: &[u8] =
    b"\xAC\xED\x00\x05\x73\x72\x00\x0Ejava.lang.Long\x3B\x8B\xE4\x90\xCC\x8F\x23\xDF\x02\x00\x01\
\x4A\x00\x05value\x78\x72\x00\x10java.lang.Number\x86\xAC\x95\x1D\x0B\x94\xE0\x8B\x02\x00\x00\x78\x70";
/// A further Long: refers back to the descriptor.
const LONG_AGAIN: &[u8] = b"\x73\x71\x00\x7E\x00\x00";
const INTEGER: &[u8] = b"\x73\x72\x00\x11java.lang.Integer\x12\xE2\xA0\xA4\xF7\x81\x87\x38\x02\x00\x01\
\x49\x00\x05value\x78\x71\x00\x7E\x00\x01";
const BOOLEAN: &[u8] = b"\x73\x72\x00\x11java.lang.Boolean\xCD\x20\x72\x80\xD5\x9C\xFA\xEE\x02\x00\x01\
\x5A\x00\x05value\x78\x70";
const BOOLEAN_AGAIN: &[u8] = b"\x73\x71\x00\x7E\x00\x06";
/// `isValid` as a reference to the object that `isNew` is, when both have the same value.
const SAME_BOOLEAN: &[u8] = b"\x71\x00\x7E\x00\x07";
/// TC_STRING: a 16 bit length and modified UTF-8.
const STRING: u8 = 0x74;

/// A session file whose header has been understood.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionFile {
    bytes: Bytes,
    layout: Layout,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    this_accessed: usize,
    /// Where the id's STRING byte stands.
    id: usize,
    id_len: usize,
}

/// Where `creationTime` stands.
const CREATED: usize = LONG.len();
const LAST_ACCESSED: usize = CREATED + 8 + LONG_AGAIN.len();
const MAX_INACTIVE: usize = LAST_ACCESSED + 8 + INTEGER.len();
const IS_NEW: usize = MAX_INACTIVE + 4 + BOOLEAN.len();

/// The bytes are not a session file of a known layout: cut short, or of an unknown Tomcat.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a session file of a known Tomcat (unexpected bytes at offset {0:#x})")]
pub struct UnknownLayout(pub usize);

impl SessionFile {
    /// Understands the header.
    ///
    /// # Errors
    /// The offset at which the bytes differ from what every supported Tomcat writes.
    pub fn parse(bytes: Bytes) -> Result<Self, UnknownLayout> {
        let mut at = 0;
        expect(&bytes, &mut at, LONG)?;
        at += 8;
        expect(&bytes, &mut at, LONG_AGAIN)?;
        at += 8;
        expect(&bytes, &mut at, INTEGER)?;
        at += 4;
        expect(&bytes, &mut at, BOOLEAN)?;
        at += 1;
        if bytes[at.min(bytes.len())..].starts_with(SAME_BOOLEAN) {
            at += SAME_BOOLEAN.len();
        } else {
            expect(&bytes, &mut at, BOOLEAN_AGAIN)?;
            at += 1;
        }
        expect(&bytes, &mut at, LONG_AGAIN)?;
        let this_accessed = at;
        at += 8;
        let id = at;
        expect(&bytes, &mut at, &[STRING])?;
        let len = bytes.get(at..at + 2).ok_or(UnknownLayout(at))?;
        let id_len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        at += 2;
        let text = bytes.get(at..at + id_len).ok_or(UnknownLayout(at))?;
        SessionId::parse(text).ok_or(UnknownLayout(at))?;
        Ok(Self { bytes, layout: Layout { this_accessed, id, id_len } })
    }

    /// The whole file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The id inside the file. A file under another name is rejected by Tomcat.
    pub fn id(&self) -> &[u8] {
        &self.bytes[self.id_text()]
    }

    /// Seconds without a request after which Tomcat ends the session; zero or less: never.
    pub fn max_inactive_interval(&self) -> i32 {
        i32::from_be_bytes(self.array(MAX_INACTIVE))
    }

    /// When it was made, in milliseconds since 1970.
    pub fn created(&self) -> i64 {
        i64::from_be_bytes(self.array(CREATED))
    }

    /// When it was last changed by a request: one that changes nothing is not stored. In milliseconds since 1970.
    pub fn changed(&self) -> i64 {
        i64::from_be_bytes(self.array(self.layout.this_accessed))
    }

    /// Whether no request has used it since the one that made it. The first one that does changes the file, whatever it does.
    pub fn is_new(&self) -> bool {
        self.bytes[IS_NEW] != 0
    }

    /// The file with another id, for a session that has one name in Tomcat and one in the store.
    pub fn with_id(&self, id: &str) -> Self {
        if self.id() == id.as_bytes() {
            return self.clone();
        }
        let text = self.id_text();
        let mut bytes = Vec::with_capacity(self.bytes.len() + id.len());
        bytes.extend_from_slice(&self.bytes[..self.layout.id + 1]);
        // A SessionId is at most 128 bytes, a node name 32.
        bytes.extend_from_slice(&(id.len() as u16).to_be_bytes());
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&self.bytes[text.end..]);
        Self { bytes: bytes.into(), layout: Layout { id_len: id.len(), ..self.layout } }
    }

    /// The bytes with both access times set, as milliseconds since 1970. Without this Tomcat expires
    /// sessions that are only read, because an unchanged session is not stored again (measured).
    pub fn accessed_at(&self, millis: i64) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        for at in [LAST_ACCESSED, self.layout.this_accessed] {
            bytes[at..at + 8].copy_from_slice(&millis.to_be_bytes());
        }
        bytes
    }

    /// Whether the two hold the same session: everything but the access times. Two saves of an unchanged
    /// session differ in nothing else (measured).
    pub fn same_session(&self, other: &Self) -> bool {
        self.parts().iter().zip(other.parts()).all(|(a, b)| *a == b)
    }

    fn parts(&self) -> [&[u8]; 3] {
        let this = self.layout.this_accessed;
        [&self.bytes[..LAST_ACCESSED], &self.bytes[LAST_ACCESSED + 8..this], &self.bytes[this + 8..]]
    }

    fn id_text(&self) -> Range<usize> {
        let start = self.layout.id + 3;
        start..start + self.layout.id_len
    }

    /// Only called with offsets inside the header that `parse` walked over.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[at..at + N]);
        out
    }
}

impl std::fmt::Debug for SessionFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionFile").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

fn expect(bytes: &[u8], at: &mut usize, wanted: &[u8]) -> Result<(), UnknownLayout> {
    let end = *at + wanted.len();
    if bytes.get(*at..end) != Some(wanted) {
        return Err(UnknownLayout(*at));
    }
    *at = end;
    Ok(())
}

const _: () = assert!(CREATED == 0x4A && LAST_ACCESSED == 0x58 && MAX_INACTIVE == 0x8E && IS_NEW == 0xBC);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file as Tomcat 10.1 writes it for a session without attributes.
    pub(crate) fn sample(id: &str, max_inactive: i32, tail: &[u8]) -> Bytes {
        let mut out = LONG.to_vec();
        out.extend(1_000i64.to_be_bytes());
        out.extend(LONG_AGAIN);
        out.extend(2_000i64.to_be_bytes());
        out.extend(INTEGER);
        out.extend(max_inactive.to_be_bytes());
        out.extend(BOOLEAN);
        out.push(0);
        out.extend(BOOLEAN_AGAIN);
        out.push(1);
        out.extend(LONG_AGAIN);
        out.extend(3_000i64.to_be_bytes());
        out.push(STRING);
        out.extend((id.len() as u16).to_be_bytes());
        out.extend(id.as_bytes());
        out.extend(tail);
        out.into()
    }

    #[test]
    fn the_header_is_read() {
        let file = SessionFile::parse(sample("ABC", 1800, b"\x70\x70\x70\x70")).unwrap();
        assert_eq!(file.id(), b"ABC");
        assert_eq!(file.max_inactive_interval(), 1800);
        let time = |at| i64::from_be_bytes(file.array(at));
        assert_eq!((time(CREATED), time(file.layout.this_accessed)), (1_000, 3_000));
        assert_eq!(file.layout.this_accessed, 0xCA);
    }

    #[test]
    fn equal_booleans_are_one_object() {
        let mut bytes = sample("ABC", 1800, b"rest").to_vec();
        bytes.splice(0xBD..0xC4, SAME_BOOLEAN.iter().copied());
        let file = SessionFile::parse(bytes.into()).unwrap();
        assert_eq!((file.id(), file.layout.this_accessed), (b"ABC".as_slice(), 0xC8));
    }

    #[test]
    fn only_the_times_differ_between_two_saves() {
        let file = SessionFile::parse(sample("ABC", 1800, b"rest")).unwrap();
        let later = SessionFile::parse(file.accessed_at(9_000).into()).unwrap();
        assert_ne!(file.bytes(), later.bytes());
        assert!(file.same_session(&later));
        let changed = SessionFile::parse(sample("ABC", 1800, b"tser")).unwrap();
        assert!(!file.same_session(&changed));
    }

    #[test]
    fn the_id_may_change_its_length() {
        let file = SessionFile::parse(sample("ABC", 1800, b"rest")).unwrap();
        let visible = file.with_id("ABC-n1");
        assert_eq!(SessionFile::parse(visible.bytes().clone()).unwrap(), visible);
        assert_eq!(visible.with_id("ABC"), file);
    }

    #[test]
    fn a_cut_file_is_refused_at_every_length() {
        let whole = sample("ABC", 1800, b"");
        for len in 0..whole.len() {
            assert!(SessionFile::parse(whole.slice(..len)).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SessionFile::parse(bytes.into());
        }

        #[test]
        fn a_damaged_header_is_refused_or_consistent(at in 0usize..240, byte: u8) {
            let mut bytes = sample("ABCDEF", 1800, b"tail").to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(file) = SessionFile::parse(bytes.into()) {
                let _ = (file.id().len(), file.accessed_at(1), file.with_id("X-n1"));
            }
        }
    }
}
