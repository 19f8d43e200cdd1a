//! A node over a pool of connections. A connection is put back only after a whole exchange, so that a
//! cancelled request can never leave an answer for the next one.

#[cfg(feature = "broken")]
mod careless;
mod soon;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use satchel_common::address::HostPort;
use tokio::runtime::{Handle, Id};
use tokio::time::timeout;

use super::connection::Connection;
use super::node::{Answers, Command, Incarnation, Node, NodeError};
use crate::config::Protocol;
use soon::Soon;

/// Idle connections that each runtime keeps. More are made when more requests are under way, and closed after.
const IDLE_MAX: usize = 64;

/// By the runtime that has made them. Another could use them too, but would be told of each answer by the first one's thread: two wake-ups
/// more, which cost as much as the answer (docs/performance.md).
type Idle = HashMap<Id, Vec<Connection>>;

/// One memcached.
pub struct Pool {
    address: HostPort,
    protocol: Protocol,
    /// For a whole exchange, connecting included.
    timeout: Duration,
    idle: Mutex<Idle>,
    soon: Soon,
    item_size_max: AtomicUsize,
}

impl Pool {
    /// Connects when it is first used.
    pub fn new(address: HostPort, protocol: Protocol, timeout: Duration) -> Self {
        Self {
            address,
            protocol,
            timeout,
            idle: Mutex::default(),
            soon: Soon::default(),
            item_size_max: AtomicUsize::new(0),
        }
    }

    async fn connection(&self) -> Result<Connection, NodeError> {
        while let Some(connection) = self.pop() {
            if connection.is_usable() {
                return Ok(connection);
            }
        }
        self.dial().await
    }

    async fn dial(&self) -> Result<Connection, NodeError> {
        let connection = Connection::dial(&self.address, self.protocol).await?;
        self.item_size_max.store(connection.item_size_max, Ordering::Relaxed);
        Ok(connection)
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().get_mut(&Handle::current().id())?.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle();
        let idle = idle.entry(connection.runtime).or_default();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl Node for Pool {
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        #[cfg(feature = "broken")]
        if crate::broken::Broken::ReusedConnection.is_on() {
            return self.run_carelessly(batch, only).await;
        }
        let exchange = async {
            let mut connection = self.connection().await?;
            let incarnation = connection.incarnation;
            if only.is_some_and(|only| only != incarnation) {
                self.put_back(connection);
                return Err(NodeError::Reborn);
            }
            let carried = self.soon.take(incarnation);
            let replies = match carried.is_empty() {
                true => connection.run(batch).await,
                false => carried.run(&mut connection, batch).await,
            }?;
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

    async fn run_soon(&self, batch: Vec<Command>, only: Incarnation) -> Result<Answers, NodeError> {
        match self.soon.carried(&batch, only).await {
            Some(result) => result,
            None => self.run(&batch, Some(only)).await,
        }
    }

    async fn probe(&self) -> Result<(), NodeError> {
        let answered = async {
            let mut connection = self.dial().await?;
            connection.probe().await.map(|()| connection)
        };
        let connection = timeout(self.timeout / 2, answered).await.unwrap_or(Err(NodeError::Timeout))?;
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
