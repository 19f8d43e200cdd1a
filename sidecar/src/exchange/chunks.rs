//! Records that are larger than memcached's items, on the wire: chunks first, the record's own item last, so that a reader finds
//! either the old version whole or the new one (R19).

use bytes::{Bytes, BytesMut};

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::look_up::Read;
use super::{Core, unix_time};
use crate::memcached::nodes::NodeIndex;
use crate::memcached::wire::VALUE_MAX;
use crate::memcached::{Command, Mode, NodeError, Reply};
use crate::record::{Manifest, RecordKey, Ttl};

/// memcached's own bytes for an item beside key and value: header, cas and suffix (`items.c`), rounded up; and the longest key.
const ITEM_OVERHEAD: usize = 128 + 64;
/// `item_size_max` of a memcached that was not asked yet: its default.
const ITEM_SIZE_DEFAULT: usize = 1 << 20;
/// How often a record is read again whose chunks were replaced meanwhile.
const READ_AGAIN: usize = 3;
/// For all chunks of a record: each alone may take `memcached.timeout`, and there may be tens of thousands.
const WITHIN: Duration = Duration::from_secs(10);
/// Records that are put together at one time: a manifest is not sealed, and whoever can write memcached can plant any.
const AT_ONCE: usize = 8;

/// Who may put a record together now.
pub struct Gathering(Semaphore);

impl Default for Gathering {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, NodeError>> + Send) -> Result<T, NodeError> {
    // Apart: few records have chunks, and every request would carry the room for it.
    timeout(WITHIN, Box::pin(work)).await.unwrap_or(Err(NodeError::Timeout))
}

impl Core {
    /// The largest value that every node takes as one item, in bytes.
    pub(super) fn value_max(&self) -> usize {
        let known = self.nodes.all().map(|node| self.nodes.item_size_max(node)).filter(|size| *size > 0);
        known.min().unwrap_or(ITEM_SIZE_DEFAULT).min(VALUE_MAX).saturating_sub(ITEM_OVERHEAD).max(1)
    }

    /// Whether an item's value says where the chunks are.
    pub(super) fn manifest(&self, value: &[u8]) -> Option<Manifest> {
        Manifest::decode(value, self.keys().max_size().saturating_add(1024))
    }

    /// The record on `node` with its whole envelope; without a value if chunks of it are missing.
    pub(super) async fn fetch(&self, node: NodeIndex, key: &RecordKey) -> Result<Option<Read>, NodeError> {
        let get = Command::Get { key: key.record(), value: true };
        let mut last = None;
        for _ in 0..READ_AGAIN {
            let answers = self.nodes.run(node, std::slice::from_ref(&get)).await?;
            let Some(mut read) = Read::of(&answers, 0) else { return Ok(None) };
            let Some(manifest) = read.item.value.as_deref().and_then(|value| self.manifest(value)) else {
                return Ok(Some(read));
            };
            read.item.value = in_time(self.gather(node, &manifest)).await?;
            read.manifest = Some(manifest);
            if read.item.value.is_some() || last == Some(read.item.cas) {
                return Ok(Some(read));
            }
            last = Some(read.item.cas);
        }
        Ok(None)
    }

    /// The chunks, put together. `None`: not all are there.
    async fn gather(&self, node: NodeIndex, manifest: &Manifest) -> Result<Option<Bytes>, NodeError> {
        let _turn = self.gathering.0.acquire().await.map_err(|_| NodeError::Down)?;
        let mut whole = BytesMut::new();
        for key in manifest.keys() {
            match self.chunk(node, key).await? {
                Some(chunk) if whole.len() + chunk.len() <= manifest.size() => {
                    whole.extend_from_slice(&chunk)
                }
                _ => return Ok(None),
            }
        }
        Ok((whole.len() == manifest.size()).then(|| whole.freeze()))
    }

    async fn chunk(&self, node: NodeIndex, key: String) -> Result<Option<Bytes>, NodeError> {
        let answers = self.nodes.run(node, &[Command::Get { key, value: true }]).await?;
        match answers.replies.into_iter().next() {
            Some(Reply::Hit(item)) => Ok(item.value),
            _ => Ok(None),
        }
    }

    /// Writes all chunks, or none.
    pub(super) async fn put_chunks(
        &self,
        node: NodeIndex,
        manifest: &Manifest,
        whole: &Bytes,
        ttl: Ttl,
    ) -> Result<(), NodeError> {
        let size = whole.len().div_ceil(manifest.keys().count());
        let all = async {
            for (n, key) in manifest.keys().enumerate() {
                let value = whole.slice(n * size..whole.len().min((n + 1) * size));
                self.put_chunk(node, key, value, ttl).await?;
            }
            Ok(())
        };
        let result = in_time(all).await;
        if result.is_err() {
            self.delete_chunks(node, manifest).await;
        }
        result
    }

    async fn put_chunk(&self, node: NodeIndex, key: String, value: Bytes, ttl: Ttl) -> Result<(), NodeError> {
        let ttl = ttl.of_chunk().on_the_wire(unix_time());
        let set = Command::Set { key, value, flags: 0, ttl, mode: Mode::Set };
        match self.nodes.run(node, &[set]).await {
            Ok(_) => Ok(()),
            // It has not dropped anything: the key is new.
            Err(NodeError::Refused(text)) => Err(NodeError::ChunkRefused(text)),
            Err(error) => Err(error),
        }
    }

    /// Copies the chunks from one node to another. `false`: not all were there.
    pub(super) async fn copy_chunks(
        &self,
        manifest: &Manifest,
        from: NodeIndex,
        to: NodeIndex,
        ttl: Ttl,
    ) -> Result<bool, NodeError> {
        in_time(async {
            for key in manifest.keys() {
                let Some(chunk) = self.chunk(from, key.clone()).await? else { return Ok(false) };
                self.put_chunk(to, key, chunk, ttl).await?;
            }
            Ok(true)
        })
        .await
    }

    /// Lets the chunks live on. `false`: not all are there.
    pub(super) async fn touch_chunks(
        &self,
        node: NodeIndex,
        manifest: &Manifest,
        ttl: Ttl,
    ) -> Result<bool, NodeError> {
        let ttl = ttl.of_chunk().on_the_wire(unix_time());
        let touches: Vec<_> = manifest.keys().map(|key| Command::Touch { key, ttl }).collect();
        let answers = self.nodes.run(node, &touches).await?;
        Ok(answers.replies.iter().all(|reply| matches!(reply, Reply::Hit(_))))
    }

    /// Deletes chunks that nothing names any more.
    pub(super) async fn delete_chunks(&self, node: NodeIndex, manifest: &Manifest) {
        let deletes: Vec<_> = manifest.keys().map(|key| Command::Delete { key, cas: None }).collect();
        let _ = self.nodes.run(node, &deletes).await;
    }

    /// The same in the background.
    pub(super) fn drop_chunks(&self, on: Vec<NodeIndex>, manifest: Manifest) {
        let nodes = self.nodes.clone();
        tokio::spawn(async move {
            let deletes: Vec<_> = manifest.keys().map(|key| Command::Delete { key, cas: None }).collect();
            for node in on {
                let _ = nodes.run(node, &deletes).await;
            }
        });
    }
}
