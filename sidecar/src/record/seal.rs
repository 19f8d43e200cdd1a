//! The envelope: version, compression, encryption.
//!
//! Whoever can write memcached could otherwise run code in Tomcat, because a session file is a stream of
//! Java objects. XChaCha20-Poly1305: its 24 byte nonce may be random for every store, whatever the number of
//! sidecars, without a nonce ever coming twice.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngExt;
use zstd::bulk::{Compressor, Decompressor};

/// First byte of every record.
pub(super) const VERSION: u8 = 1;
/// Second byte: what was done to the payload, in this order.
const COMPRESSED: u8 = 1;
const SEALED: u8 = 2;
/// Bytes that tell which key sealed a record.
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Below this a frame of zstd costs more than it saves: 12 µs, when all the rest of a store costs 150, for a record that goes into one packet
/// anyway (docs/performance.md).
const COMPRESS_FROM: usize = 1024;
/// Level 1: the cheapest; serialized Java shrinks to a third already (class names repeat).
const LEVEL: i32 = 1;

/// The configured secrets. The first seals, all open.
pub struct Keys {
    keys: Vec<Key>,
    max_size: usize,
}

struct Key {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

/// Why a record could not be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Not of this version.
    #[error("not a record of version {VERSION}")]
    Version,
    /// None of the configured keys has sealed it.
    #[error("sealed with a key that is not in record.keys (fingerprint {0})")]
    UnknownKey(String),
    /// Changed, or not of this session.
    #[error("forged or damaged: the seal does not fit this session")]
    Forged,
    /// Not encrypted although keys are configured.
    #[error("not encrypted, although record.encryption is on")]
    NotSealed,
    /// The compressed content can't be read.
    #[error("damaged: cannot be decompressed to at most {0} bytes")]
    Compression(usize),
}

impl Keys {
    /// No keys: records are stored in the clear. `max_size` bounds what a record may be decompressed to.
    pub fn new(secrets: &[[u8; 32]], max_size: usize) -> Self {
        let keys = secrets
            .iter()
            .map(|secret| Key { id: fingerprint(secret), cipher: XChaCha20Poly1305::new(secret.into()) })
            .collect();
        Self { keys, max_size }
    }

    /// Makes the value that memcached holds. `identity` is what the record belongs to.
    ///
    /// # Errors
    /// Never in practice: the cipher refuses only content of more than 256 GiB.
    pub fn seal(&self, identity: &[u8], payload: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE];
        rand::rng().fill(&mut nonce);
        self.seal_with(identity, payload, nonce)
    }

    fn seal_with(&self, identity: &[u8], payload: Vec<u8>, nonce: [u8; NONCE]) -> Result<Vec<u8>, SealError> {
        let (content, mut form) = match compress(&payload) {
            Some(smaller) => (smaller, COMPRESSED),
            None => (payload, 0),
        };
        let Some(key) = self.keys.first() else {
            return Ok([&[VERSION, form], content.as_slice()].concat());
        };
        form |= SEALED;
        let mut out = Vec::with_capacity(2 + KEY_ID + NONCE + content.len() + TAG);
        out.extend_from_slice(&[VERSION, form]);
        out.extend_from_slice(&key.id);
        out.extend_from_slice(&nonce);
        let aad = associated_data(&out[..2 + KEY_ID], identity);
        let mut sealed = content;
        key.cipher
            .encrypt_in_place(&XNonce::from(nonce), &aad, &mut sealed)
            .map_err(|_| SealError::Compression(self.max_size))?;
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Bytes of the largest payload that is opened.
    pub fn max_size(&self) -> usize {
        self.max_size
    }

    /// Opens what [`seal`](Self::seal) made for the same identity.
    ///
    /// # Errors
    /// Anything that was not made so.
    pub fn open(&self, identity: &[u8], record: &[u8]) -> Result<Bytes, SealError> {
        let (&[version, form], rest) = record.split_first_chunk().ok_or(SealError::Version)?;
        if version != VERSION || form & !(COMPRESSED | SEALED) != 0 {
            return Err(SealError::Version);
        }
        let content = match (form & SEALED != 0, self.keys.is_empty()) {
            (false, true) => rest.to_vec(),
            (false, false) => return Err(SealError::NotSealed),
            (true, _) => self.unseal(identity, record)?,
        };
        if form & COMPRESSED == 0 {
            return Ok(content.into());
        }
        let claimed = Decompressor::upper_bound(&content).unwrap_or(self.max_size);
        DECOMPRESSOR
            .with_borrow_mut(|kept| {
                kept_or_new(kept, Decompressor::new)?.decompress(&content, claimed.min(self.max_size))
            })
            .map(Bytes::from)
            .map_err(|_| SealError::Compression(self.max_size))
    }

    fn unseal(&self, identity: &[u8], record: &[u8]) -> Result<Vec<u8>, SealError> {
        let header = 2 + KEY_ID;
        let content = record.get(header + NONCE..).ok_or(SealError::Forged)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == record[2..header])
            .ok_or_else(|| SealError::UnknownKey(hex(&record[2..header])))?;
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&record[header..header + NONCE]);
        let mut content = content.to_vec();
        key.cipher
            .decrypt_in_place(
                &XNonce::from(nonce),
                &associated_data(&record[..header], identity),
                &mut content,
            )
            .map_err(|_| SealError::Forged)?;
        Ok(content)
    }
}

/// What an envelope says of itself to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The fingerprint of the key that has sealed it; `None`: it is not sealed.
    pub key: Option<String>,
    /// Bytes of the payload, compressed if it was.
    pub size: usize,
}

impl Envelope {
    /// Of a record. `None`: it is none.
    pub fn of(record: &[u8]) -> Option<Self> {
        let (&[version, form], rest) = record.split_first_chunk()?;
        if version != VERSION || form & !(COMPRESSED | SEALED) != 0 {
            return None;
        }
        if form & SEALED == 0 {
            return Some(Self { key: None, size: rest.len() });
        }
        let size = rest.len().checked_sub(KEY_ID + NONCE + TAG)?;
        Some(Self { key: Some(hex(&rest[..KEY_ID])), size })
    }
}

/// The fingerprint of a key: says which it is and nothing about it.
pub fn fingerprint(secret: &[u8; 32]) -> [u8; KEY_ID] {
    let mut out = [0; KEY_ID];
    out.copy_from_slice(&blake3::derive_key("satchel 1 key fingerprint", secret)[..KEY_ID]);
    out
}

/// [`fingerprint`] for people.
pub fn shown_fingerprint(secret: &[u8; 32]) -> String {
    hex(&fingerprint(secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header and what the record belongs to: a record can't be moved to another session or farm.
fn associated_data(header: &[u8], identity: &[u8]) -> Vec<u8> {
    [header, identity].concat()
}

fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < COMPRESS_FROM {
        return None;
    }
    let smaller =
        COMPRESSOR.with_borrow_mut(|kept| kept_or_new(kept, || Compressor::new(LEVEL))?.compress(payload));
    smaller.ok().filter(|smaller| smaller.len() < payload.len())
}

thread_local! {
    // Made once and not for each record: docs/performance.md.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn kept_or_new<T>(kept: &mut Option<T>, new: impl FnOnce() -> io::Result<T>) -> io::Result<&mut T> {
    let ours = match kept.take() {
        Some(ours) => ours,
        None => new()?,
    };
    Ok(kept.insert(ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeName, SessionId};
    use crate::record::{Farm, Payload, Stored, Ttl};
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = ([1; 32], [2; 32]);
        let sealed = Keys::new(&[old], MAX).seal(b"me", b"payload".to_vec()).unwrap();
        let both = Keys::new(&[new, old], MAX);
        assert_eq!(both.open(b"me", &sealed).unwrap(), "payload");
        let again = both.seal(b"me", b"payload".to_vec()).unwrap();
        assert!(matches!(Keys::new(&[old], MAX).open(b"me", &again), Err(SealError::UnknownKey(_))));
    }

    #[test]
    fn everybody_can_tell_the_key_and_the_size() {
        let sealed = Keys::new(&[[1; 32]], MAX).seal(b"me", b"payload".to_vec()).unwrap();
        let told = Envelope { key: Some(shown_fingerprint(&[1; 32])), size: 7 };
        assert_eq!(Envelope::of(&sealed), Some(told));
        let clear = Keys::new(&[], MAX).seal(b"me", b"payload".to_vec()).unwrap();
        assert_eq!(Envelope::of(&clear), Some(Envelope { key: None, size: 7 }));
        for none in [&b""[..], b"\x02\0", b"\x01\x04", b"\x01\x02short"] {
            assert_eq!(Envelope::of(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_smallest_session_is_larger_than_a_tombstone() {
        let stored = Stored::Session {
            cookie_attributes: Bytes::new(),
            file: crate::file::session_file::tests::sample("A", 1800, &[0x70; 4]),
        };
        let payload =
            Payload { counter: 1, writer: 0, primary: NodeName::parse("n").unwrap(), ttl: Ttl(0), stored };
        let sealed = Keys::new(&[[1; 32]], MAX).seal(b"me", payload.encode()).unwrap();
        assert!(Envelope::of(&sealed).unwrap().size > Payload::TOMBSTONE_MAX);
    }

    #[test]
    fn a_record_belongs_to_one_session() {
        let keys = Keys::new(&[[1; 32]], MAX);
        let sealed = keys.seal(b"me", b"payload".to_vec()).unwrap();
        assert_eq!(keys.open(b"you", &sealed), Err(SealError::Forged));
    }

    #[test]
    fn nothing_unsealed_is_taken_once_there_are_keys() {
        let clear = Keys::new(&[], MAX).seal(b"me", b"payload".to_vec()).unwrap();
        assert_eq!(Keys::new(&[], MAX).open(b"me", &clear).unwrap(), "payload");
        assert_eq!(Keys::new(&[[1; 32]], MAX).open(b"me", &clear), Err(SealError::NotSealed));
    }

    #[test]
    fn content_that_grows_past_the_limit_is_refused() {
        let sealed = Keys::new(&[[1; 32]], MAX).seal(b"me", vec![0; 100_000]).unwrap();
        assert!(sealed.len() < 1_000);
        assert_eq!(Keys::new(&[[1; 32]], 99_999).open(b"me", &sealed), Err(SealError::Compression(99_999)));
    }

    #[test]
    fn a_bomb_that_whoever_has_the_key_has_sealed_is_refused() {
        // A frame of zstd (RFC 8878): blocks of 128 KiB in four bytes each, and what it says it comes to.
        let block = |last: u32| [&((131_072_u32 << 3) | (1 << 1) | last).to_le_bytes()[..3], b"A"].concat();
        let frame = |size: Option<u64>, blocks: usize| {
            let mut out = vec![0x28, 0xB5, 0x2F, 0xFD, if size.is_some() { 0xC0 } else { 0 }, 0x38];
            out.extend(size.into_iter().flat_map(u64::to_le_bytes));
            out.extend(block(0).repeat(blocks - 1));
            out.extend(block(1));
            out
        };
        let small = frame(None, 7);
        let mut bombs = vec![small.repeat(2), frame(None, 9), frame(Some(4), 9)];
        bombs.extend([(1 << 20) + 1, 1 << 40, u64::MAX].map(|size| frame(Some(size), 200_000)));
        let sealed = |content: &[u8]| {
            let keys = Keys::new(&[[1; 32]], MAX);
            let nonce = [0; NONCE];
            let mut out = [&[VERSION, COMPRESSED | SEALED][..], &keys.keys[0].id, &nonce].concat();
            let aad = associated_data(&out[..2 + KEY_ID], b"me");
            let mut content = content.to_vec();
            keys.keys[0].cipher.encrypt_in_place(&XNonce::from(nonce), &aad, &mut content).unwrap();
            out.extend_from_slice(&content);
            keys.open(b"me", &out)
        };
        assert_eq!(sealed(&small).unwrap().len(), 7 * 131_072, "it is one of zstd's");
        for bomb in &bombs {
            assert_eq!(sealed(bomb), Err(SealError::Compression(MAX)));
            let clear = [&[VERSION, COMPRESSED][..], bomb].concat();
            assert_eq!(Keys::new(&[], MAX).open(b"me", &clear), Err(SealError::Compression(MAX)));
        }
    }

    /// The worked example of `docs/record.md`.
    #[test]
    fn the_documented_example() {
        let farm = Farm::new("shop", Some([0x11; 32]));
        let id = SessionId::parse(b"5526F95AEB3E88C6F1C0B9C7A5B92E23").unwrap();
        let payload = Payload {
            counter: 7,
            writer: 0x0102_0304_0506_0708,
            primary: NodeName::parse("n1").unwrap(),
            ttl: Ttl(1805),
            stored: Stored::Session {
                cookie_attributes: Bytes::from_static(b"; Path=/app; HttpOnly"),
                file: Bytes::from_static(b"the session file"),
            },
        };
        let keys = Keys::new(&[[0x22; 32]], MAX);
        let record = keys.seal_with(&farm.identity("/app", &id), payload.encode(), [0x33; NONCE]).unwrap();
        let documented = include_str!("../../../docs/record.md");
        let shown: String = documented.split_whitespace().collect();
        let lines = [farm.key("/app", &id).record(), hex(&payload.encode()), hex(&record)];
        let missing: Vec<_> = lines.iter().filter(|line| !shown.contains(*line)).collect();
        assert!(missing.is_empty(), "docs/record.md lacks {missing:#?}");
        assert_eq!(keys.open(&farm.identity("/app", &id), &record).unwrap(), payload.encode());
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_seen(at in 0usize..400, bit in 0u8..8) {
            let keys = Keys::new(&[[1; 32]], MAX);
            let mut sealed = keys.seal(b"me", (0..=255).collect()).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(keys.open(b"me", &sealed).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(Keys::new(&[[1; 32]], MAX).open(b"me", &bytes).is_err());
            let _ = Keys::new(&[], MAX).open(b"me", &bytes);
        }
    }
}
