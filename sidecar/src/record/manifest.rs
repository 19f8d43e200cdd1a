//! A record that is larger than what memcached takes as one item: its envelope is cut into chunks under keys of their own, and the
//! record's item says where they are.
//!
//! Every store makes new keys, so two versions never mix; and the chunks count only if the whole opens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;

use super::seal::VERSION;

/// Second byte of such an item; an envelope has other bits there.
const CHUNKED: u8 = 4;
/// memcached's smallest item limit (its option -I) is 1 KiB: a record in smaller parts is a waste of somebody's time.
const CHUNK_MIN: usize = 512;
const TAG: usize = 16;
const LEN: usize = 2 + TAG + 2 + 4;

/// Where the chunks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Random with every store: in the name of each chunk.
    tag: [u8; TAG],
    /// How many.
    chunks: u16,
    /// Bytes of the whole.
    len: u32,
}

impl Manifest {
    /// For an envelope of `len` bytes in `chunks` chunks.
    pub fn new(len: u32, chunks: u16) -> Self {
        let mut tag = [0; TAG];
        rand::rng().fill(&mut tag);
        Self { tag, chunks, len }
    }

    /// Reads a record's item; `None`: it is an envelope, or nothing that can be used. A whole of more than `max` bytes is nothing.
    pub fn decode(item: &[u8], max: usize) -> Option<Self> {
        let item: &[u8; LEN] = item.try_into().ok()?;
        let (head, rest) = item.split_first_chunk::<2>()?;
        let (tag, rest) = rest.split_first_chunk::<TAG>()?;
        let (chunks, len) = rest.split_first_chunk::<2>()?;
        let manifest = Self {
            tag: *tag,
            chunks: u16::from_be_bytes(*chunks),
            len: u32::from_be_bytes(len.try_into().ok()?),
        };
        let plausible = (1..=manifest.size() / CHUNK_MIN + 1).contains(&usize::from(manifest.chunks));
        (*head == [VERSION, CHUNKED] && plausible && manifest.size() <= max).then_some(manifest)
    }

    /// What the record's item holds.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, CHUNKED];
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.chunks.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        out
    }

    /// Bytes of the whole.
    pub fn size(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// The chunks' keys in their order: `c`, 22 characters of base64url, `-` and a number.
    pub fn keys(&self) -> impl Iterator<Item = String> + use<> {
        let tag = URL_SAFE_NO_PAD.encode(self.tag);
        (0..self.chunks).map(move |n| format!("c{tag}-{n}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let manifest = Manifest::new(5_000_000, 5);
        assert_eq!(Manifest::decode(&manifest.encode(), 5_000_000), Some(manifest.clone()));
        assert_eq!(Manifest::decode(&manifest.encode(), 4_999_999), None, "larger than allowed");
        let keys: Vec<String> = manifest.keys().collect();
        assert_eq!(keys.len(), 5);
        assert!(keys.iter().all(|key| key.len() == 25 && key.bytes().all(|b| b.is_ascii_graphic())));
        assert_ne!(Manifest::new(1, 1).encode(), Manifest::new(1, 1).encode(), "new keys each time");
    }

    #[test]
    fn an_envelope_is_none() {
        for form in 0..=3 {
            let mut item = Manifest::new(9, 1).encode();
            item[1] = form;
            assert_eq!(Manifest::decode(&item, 100), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_bounded(bytes: Vec<u8>, max in 0usize..1 << 20) {
            prop_assert!(Manifest::decode(&bytes, max).is_none_or(|manifest| manifest.size() <= max));
        }
    }
}
