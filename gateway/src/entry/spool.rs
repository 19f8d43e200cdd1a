//! What a client has not read yet: in memory, then in a temporary file, as nginx's `proxy_buffering` does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::config::TempFiles;

/// As much is kept in memory, in bytes: nginx's `proxy_buffers 8 8k`.
const MEMORY: usize = 64 * 1024;
/// As much is read from the file at a time.
const PIECE: usize = 64 * 1024;

/// Bytes in their order.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: Vec<u8>,
    /// Of `memory`, those that are gone.
    gone: usize,
    file: Option<Paged>,
}

/// Behind what is in memory.
#[derive(Debug)]
struct Paged {
    file: File,
    read: u64,
    written: u64,
}

impl Spool {
    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.memory.len() && self.file.is_none()
    }

    /// Takes bytes in. `false`: there is no room for them now.
    pub(super) fn push(&mut self, bytes: &[u8], files: &TempFiles) -> bool {
        if self.file.is_none() && self.memory.len() - self.gone + bytes.len() <= MEMORY {
            self.memory.drain(..std::mem::take(&mut self.gone));
            self.memory.extend_from_slice(bytes);
            return true;
        }
        self.page(bytes, files).is_ok_and(|room| room)
    }

    fn page(&mut self, bytes: &[u8], files: &TempFiles) -> io::Result<bool> {
        let written = self.file.as_ref().map_or(0, |paged| paged.written);
        if written + bytes.len() as u64 > files.max {
            return Ok(false);
        }
        let paged = match &mut self.file {
            Some(paged) => paged,
            none => none.insert(Paged { file: tempfile::tempfile_in(&files.path)?, read: 0, written }),
        };
        let result = paged.file.write_all_at(bytes, paged.written);
        if result.is_ok() {
            paged.written += bytes.len() as u64;
        } else if paged.written == 0 {
            // A full disk: what comes next waits, as without a file.
            self.file = None;
        }
        result.map(|()| true)
    }

    /// The first of what is there.
    pub(super) fn front(&mut self) -> io::Result<&[u8]> {
        if self.gone == self.memory.len()
            && let Some(paged) = &mut self.file
        {
            let left = usize::try_from(paged.written - paged.read).unwrap_or(PIECE).min(PIECE);
            self.memory.resize(left, 0);
            self.gone = 0;
            paged.file.read_exact_at(&mut self.memory, paged.read)?;
            paged.read += left as u64;
            if paged.read == paged.written {
                self.file = None;
            }
        }
        Ok(&self.memory[self.gone..])
    }

    /// So many of the first are gone.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.gone = (self.gone + bytes).min(self.memory.len());
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    fn files(max: u64) -> TempFiles {
        TempFiles { path: std::env::temp_dir().into(), max }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            steps in proptest::collection::vec((0usize..60_000, 0usize..80_000), 1..30),
        ) {
            let (mut spool, mut expected, mut next) = (Spool::default(), std::collections::VecDeque::new(), 0u8);
            for (push, take) in steps {
                let bytes: Vec<u8> = (0..push).map(|_| { next = next.wrapping_add(1); next }).collect();
                prop_assert!(spool.push(&bytes, &files(u64::MAX)));
                expected.extend(bytes);
                let front = spool.front().unwrap().to_vec();
                prop_assert_eq!(front.is_empty(), expected.is_empty());
                let take = take.min(front.len());
                for byte in &front[..take] {
                    prop_assert_eq!(Some(*byte), expected.pop_front());
                }
                spool.consume(take);
                prop_assert_eq!(spool.is_empty(), expected.is_empty());
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut spool = Spool::default();
        for _ in 0..100 {
            assert!(spool.push(&[7; 50_000], &files(10_000_000)));
        }
        assert!(spool.memory.capacity() <= 2 * MEMORY && spool.file.is_some());
    }

    #[test]
    fn without_room_or_a_directory_bytes_wait() {
        for files in [files(0), TempFiles { path: Path::new("/nowhere").into(), max: u64::MAX }] {
            let mut spool = Spool::default();
            assert!(spool.push(&[7; MEMORY], &files) && !spool.push(&[8], &files));
            spool.consume(1);
            assert!(spool.push(&[8], &files), "there is room again");
        }
    }
}
