//! What the sidecar asks of a memcached node: batches of meta commands, one round trip each.

use async_trait::async_trait;
use bytes::Bytes;

/// One command of a batch. Keys come from `RecordKey` and are safe on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `mg`: flags, cas and remaining TTL always; the value only when asked for.
    Get {
        /// The key.
        key: String,
        /// Whether to return the value.
        value: bool,
    },
    /// `mg … T`: sets the TTL of an item and returns no value.
    Touch {
        /// The key.
        key: String,
        /// As the protocol wants it, see `Ttl::on_the_wire`.
        ttl: u32,
    },
    /// `ms`: stores, under a condition.
    Set {
        /// The key.
        key: String,
        /// The value; never empty.
        value: Bytes,
        /// Client flags.
        flags: u32,
        /// As the protocol wants it.
        ttl: u32,
        /// The condition.
        mode: Mode,
    },
    /// `md`: deletes.
    Delete {
        /// The key.
        key: String,
        /// Only if the cas is still this; `None`: whatever it is.
        cas: Option<u64>,
    },
}

/// When a store takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only if there is no item.
    Add,
    /// Only if the item's cas is still this.
    Cas(u64),
    /// Always.
    Set,
}

/// What a node answered to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The item of a `Get` or `Touch`.
    Hit(Item),
    /// No item.
    Miss,
    /// Stored, with the item's new cas.
    Stored(u64),
    /// `Add`: there is an item. `Cas`, `Delete`: it has another cas.
    Exists,
    /// `Cas`, `Delete`: there is no item.
    NotFound,
    /// Deleted.
    Deleted,
}

/// An item without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The value, when it was asked for.
    pub value: Option<Bytes>,
    /// Client flags.
    pub flags: u32,
    /// Unique within one incarnation of the node.
    pub cas: u64,
    /// Seconds that are left; -1: for ever; [`TTL_UNKNOWN`].
    pub ttl: i64,
}

/// It is not known how long the item lives: a text node has lost what was written down beside it.
pub const TTL_UNKNOWN: i64 = -2;

/// One life of a memcached process (R7): a cas of another life means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation {
    /// The process.
    pub pid: u64,
    /// When it started, in seconds since 1970.
    pub started: u64,
}

/// The answers to a batch, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// One for each command.
    pub replies: Vec<Reply>,
    /// Who answered.
    pub incarnation: Incarnation,
}

/// Why a batch has no answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Known to be down; nothing was sent.
    #[error("node is down")]
    Down,
    /// The node was restarted since, and has lost what it held; nothing was sent.
    #[error("restarted meanwhile")]
    Reborn,
    /// Refused, reset or unresolvable.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time. What was sent may have taken effect.
    #[error("no answer in time")]
    Timeout,
    /// memcached answered with an error: the item is too large, or memory is used up. It has dropped the
    /// old item (R19).
    #[error("refused: {0}")]
    Refused(String),
    /// The same for a part of a record, under a key of its own: no old item was dropped.
    #[error("refused a part of it: {0}")]
    ChunkRefused(String),
    /// The answer was not understood.
    #[error("protocol: {0}")]
    Protocol(String),
}

/// A memcached node.
#[async_trait]
pub trait Node: Send + Sync {
    /// Runs a batch in one round trip. The commands take effect in order; a failure may leave the first of
    /// them done. With `only`, nothing is sent to another life of the node ([`NodeError::Reborn`]).
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError>;

    /// Runs commands that nobody waits for and that may be run twice, within a millisecond, together with others if there are any by then.
    async fn run_soon(&self, batch: Vec<Command>, only: Incarnation) -> Result<Answers, NodeError> {
        self.run(&batch, Some(only)).await
    }

    /// Whether a fresh connection is answered (R23).
    async fn probe(&self) -> Result<(), NodeError>;

    /// How long [`run`](Self::run) waits for an answer.
    fn timeout(&self) -> std::time::Duration;

    /// The largest item that the node takes, in bytes (`item_size_max`); zero while it is unknown.
    fn item_size_max(&self) -> usize;
}
