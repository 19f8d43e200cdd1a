//! A node over a pool of connections. A connection is put back only after a whole exchange, so that a
//! cancelled request can never leave an answer for the next one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use satchel_common::address::HostPort;
use tokio::time::timeout;

use super::node::{Answers, Command, Incarnation, Node, NodeError, Reply};

/// Idle connections that are kept. More are made when more requests are under way, and closed after.
const IDLE_MAX: usize = 64;

/// A connection to a node, in one of the protocols.
#[async_trait]
pub trait Connection: Sized + Send + Sync {
    /// Resolves and connects. The name is resolved at every connect: a restarted pod has another address. A value of more than
    /// `value_max` bytes will not be read.
    async fn dial(address: &HostPort, value_max: usize) -> Result<Self, NodeError>;

    /// Sends the batch and reads its answers. After an error the connection must be dropped.
    async fn run(&mut self, batch: &[Command]) -> Result<Vec<Reply>, NodeError>;

    /// Who is at its other end.
    fn incarnation(&self) -> Incarnation;

    /// As [`Node`]'s.
    fn item_size_max(&self) -> usize;

    /// Whether it is still open while it is idle, and quiet.
    fn is_usable(&self) -> bool;
}

/// One memcached.
pub struct Pool<C> {
    address: HostPort,
    /// For a whole exchange, connecting included.
    timeout: Duration,
    /// Bytes of the largest value that is read.
    value_max: usize,
    idle: Mutex<Vec<C>>,
    item_size_max: AtomicUsize,
}

impl<C: Connection> Pool<C> {
    /// Connects when it is first used.
    pub fn new(address: HostPort, timeout: Duration, value_max: usize) -> Self {
        Self { address, timeout, value_max, idle: Mutex::default(), item_size_max: AtomicUsize::new(0) }
    }

    async fn connection(&self) -> Result<C, NodeError> {
        while let Some(connection) = self.pop() {
            if connection.is_usable() {
                return Ok(connection);
            }
        }
        self.dial().await
    }

    async fn dial(&self) -> Result<C, NodeError> {
        let connection = C::dial(&self.address, self.value_max).await?;
        self.item_size_max.store(connection.item_size_max(), Ordering::Relaxed);
        Ok(connection)
    }

    fn pop(&self) -> Option<C> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<C>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, connection: C) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl<C: Connection> Node for Pool<C> {
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        let exchange = async {
            let mut connection = self.connection().await?;
            let incarnation = connection.incarnation();
            if only.is_some_and(|only| only != incarnation) {
                self.put_back(connection);
                return Err(NodeError::Reborn);
            }
            let replies = connection.run(batch).await?;
            self.put_back(connection);
            Ok(Answers { replies, incarnation })
        };
        let result = timeout(self.timeout, exchange).await.unwrap_or(Err(NodeError::Timeout));
        if matches!(result, Err(NodeError::Timeout | NodeError::Unreachable(_))) {
            // The others lead to the same server, which may be gone without a word: nobody is to wait on them.
            self.idle().clear();
        }
        result
    }

    async fn probe(&self) -> Result<(), NodeError> {
        let connection = timeout(self.timeout / 2, self.dial()).await.unwrap_or(Err(NodeError::Timeout))?;
        self.put_back(connection);
        Ok(())
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn item_size_max(&self) -> usize {
        self.item_size_max.load(Ordering::Relaxed)
    }
}
