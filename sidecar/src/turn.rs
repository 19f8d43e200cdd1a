//! One request per session in this Tomcat at a time, in the order in which they came.
//!
//! Tomcat's own semaphore would queue them too, but there each waiting request holds a Tomcat thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::record::RecordKey;

/// Waiting requests per session. More are a loop in a page or an attack, and are told so with 503.
pub const WAITING_MAX: usize = 128;

/// The queues.
#[derive(Default)]
pub struct Turns {
    queues: Mutex<HashMap<RecordKey, Weak<Queue>>>,
}

struct Queue {
    turn: Arc<Semaphore>,
    turns: Weak<Turns>,
    key: RecordKey,
}

/// The right to work on a session in this Tomcat; ends when dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _queue: Arc<Queue>,
}

/// Too many requests wait for this session already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Turns {
    /// Waits for the turn. A caller that goes away leaves the queue.
    ///
    /// # Errors
    /// [`Full`] at once.
    pub async fn take(self: &Arc<Self>, key: &RecordKey) -> Result<Turn, Full> {
        let queue = self.queue(key);
        // The map's own reference is weak: every strong one is a waiter or the holder.
        if Arc::strong_count(&queue) > WAITING_MAX {
            return Err(Full);
        }
        let permit = queue.turn.clone().acquire_owned().await.map_err(|_| Full)?;
        Ok(Turn { _permit: permit, _queue: queue })
    }

    fn queue(self: &Arc<Self>, key: &RecordKey) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(key).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(Queue {
            turn: Arc::new(Semaphore::new(1)),
            turns: Arc::downgrade(self),
            key: key.clone(),
        });
        queues.insert(key.clone(), Arc::downgrade(&queue));
        queue
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let Some(turns) = self.turns.upgrade() else { return };
        let mut queues = turns.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // A new queue may have taken the place since the last strong reference went.
        if queues.get(&self.key).is_some_and(|queue| queue.strong_count() == 0) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::record::Farm;

    fn key() -> RecordKey {
        Farm::new("t", None).key("", &SessionId::parse(b"A").unwrap())
    }

    #[tokio::test]
    async fn r09_waiters_are_served_in_order_and_may_leave() {
        let turns = Arc::new(Turns::default());
        let held = turns.take(&key()).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for n in 0..4 {
            let (turns, order) = (turns.clone(), order.clone());
            waiters.push(tokio::spawn(async move {
                let _turn = turns.take(&key()).await.unwrap();
                order.lock().unwrap().push(n);
            }));
            tokio::task::yield_now().await;
        }
        waiters[1].abort();
        tokio::task::yield_now().await;
        drop(held);
        for (n, waiter) in waiters.into_iter().enumerate() {
            assert_eq!(waiter.await.is_ok(), n != 1);
        }
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
        assert!(turns.queues.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn r09_a_queue_is_bounded() {
        let turns = Arc::new(Turns::default());
        let _held = turns.take(&key()).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 1..WAITING_MAX {
            let turns = turns.clone();
            waiting.push(tokio::spawn(async move { turns.take(&key()).await.map(drop) }));
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take(&key()).await.err(), Some(Full));
    }
}
