//! Commands that nobody waits for go with those of another request, if one comes within a millisecond: one system call and one wake-up of
//! memcached less, each way (docs/performance.md).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Answers, Command, Connection, Incarnation, NodeError};
use crate::memcached::Reply;

/// How long they wait to be carried.
const WITHIN: Duration = Duration::from_millis(1);
/// So many batches go with one request.
const CARRIED_MAX: usize = 16;

/// What waits to be carried.
#[derive(Default)]
pub struct Soon(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// To tell one that waits from another.
    next: u64,
    /// When a request was last there to carry something.
    asked: Option<Instant>,
}

struct Waiting {
    number: u64,
    batch: Vec<Command>,
    only: Incarnation,
    tell: oneshot::Sender<Result<Answers, NodeError>>,
}

/// What goes with a request.
pub struct Carried {
    waiting: Vec<Waiting>,
    incarnation: Incarnation,
}

impl Soon {
    /// What a request that is about to be sent to this life of the node takes with it.
    pub fn take(&self, incarnation: Incarnation) -> Carried {
        let mut state = self.state();
        state.asked = Some(Instant::now());
        let is_for = |waiting: &mut Waiting| waiting.only == incarnation;
        Carried { waiting: state.waiting.extract_if(.., is_for).take(CARRIED_MAX).collect(), incarnation }
    }

    /// Waits for a request that carries them. `None`: there was none, or it was broken off; they are to be run by themselves.
    pub async fn carried(&self, batch: &[Command], only: Incarnation) -> Option<Result<Answers, NodeError>> {
        let (tell, mut told) = oneshot::channel();
        let number = {
            let mut state = self.state();
            // Where little goes on, nobody will come.
            state.asked.filter(|asked| asked.elapsed() < WITHIN)?;
            state.next += 1;
            let number = state.next;
            state.waiting.push(Waiting { number, batch: batch.to_vec(), only, tell });
            number
        };
        if let Ok(result) = timeout(WITHIN, &mut told).await {
            return result.ok();
        }
        let is_still_here = {
            let mut state = self.state();
            let before = state.waiting.len();
            state.waiting.retain(|waiting| waiting.number != number);
            state.waiting.len() < before
        };
        if is_still_here { None } else { told.await.ok() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carried {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Runs all in one round trip; the replies to `batch`, which goes last.
    pub async fn run(self, connection: &mut Connection, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
        let first = self.waiting.iter().flat_map(|waiting| &waiting.batch);
        let all: Vec<Command> = first.chain(batch).cloned().collect();
        let mut result = connection.run(&all).await.map(Vec::into_iter);
        for Waiting { batch, tell, .. } in self.waiting {
            let own = result.as_mut().map_err(|error| error.clone());
            let own = own.map(|replies| replies.by_ref().take(batch.len()).collect());
            // Whoever waited may have gone.
            let _ = tell.send(own.map(|replies| Answers { replies, incarnation: self.incarnation }));
        }
        result.map(Iterator::collect)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use satchel_common::address::HostPort;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::super::Pool;
    use super::*;
    use crate::config::Protocol;
    use crate::memcached::Node as _;

    const LIFE: Incarnation = Incarnation { pid: 7, started: 100 };
    const STATISTICS: &[u8] =
        b"STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 105\r\nEND\r\nSTAT item_size_max 1048576\r\nEND\r\n";

    /// Answers deletions and gets, and tells what came in one piece. Gets of `slow` are never answered.
    async fn node() -> (Arc<Pool>, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = HostPort { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                        let lines = text.lines().filter(|line| !line.contains(" slow"));
                        let answers: Vec<&[u8]> = lines
                            .map(|line| match line {
                                _ if line.starts_with("stats settings") => STATISTICS,
                                _ if line.starts_with("md") => b"HD\r\n",
                                _ if line.starts_with("mg") => b"EN\r\n",
                                _ => b"",
                            })
                            .collect();
                        if !text.starts_with("stats") {
                            let _ = tell.send(text);
                        }
                        stream.write_all(&answers.concat()).await.unwrap();
                    }
                });
            }
        });
        (Arc::new(Pool::new(address, Protocol::Meta, Duration::from_secs(5))), told)
    }

    fn delete(key: &str) -> Vec<Command> {
        vec![Command::Delete { key: key.into(), cas: Some(1) }]
    }

    fn get(key: &str) -> Vec<Command> {
        vec![Command::Get { key: key.into(), value: false }]
    }

    /// A pool that was just used.
    async fn busy() -> (Arc<Pool>, mpsc::UnboundedReceiver<String>) {
        let (pool, mut told) = node().await;
        pool.run(&get("first"), None).await.unwrap();
        told.recv().await.unwrap();
        (pool, told)
    }

    async fn wait_in(
        pool: &Arc<Pool>,
        key: &'static str,
    ) -> tokio::task::JoinHandle<Result<Answers, NodeError>> {
        let lazy = pool.clone();
        // However slow the machine is: it was just used.
        pool.soon.state().asked = Some(Instant::now());
        let waiting = tokio::spawn(async move { lazy.run_soon(delete(key), LIFE).await });
        tokio::task::yield_now().await;
        waiting
    }

    #[tokio::test]
    async fn what_nobody_waits_for_goes_with_another_request_and_each_gets_its_own_answers() {
        let (pool, mut told) = busy().await;
        let waiting = wait_in(&pool, "lock").await;
        let answers = pool.run(&get("other"), None).await.unwrap();
        assert_eq!(answers.replies, [Reply::Miss]);
        assert_eq!(waiting.await.unwrap().unwrap().replies, [Reply::Deleted]);
        let mut all = told.recv().await.unwrap();
        // On a slow machine its millisecond may have been over.
        while all.lines().count() < 2 {
            all += &told.recv().await.unwrap();
        }
        assert!(all.contains("md lock") && all.contains("mg other"), "{all}");
    }

    #[tokio::test]
    async fn nobody_comes() {
        let (pool, mut told) = busy().await;
        let waiting = wait_in(&pool, "lock").await;
        assert_eq!(waiting.await.unwrap().unwrap().replies, [Reply::Deleted]);
        assert!(told.recv().await.unwrap().starts_with("md lock"));
        assert!(pool.soon.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn whoever_carries_it_is_broken_off() {
        let (pool, mut told) = busy().await;
        let waiting = wait_in(&pool, "lock").await;
        let other = pool.clone();
        let carrier = tokio::spawn(async move { other.run(&get("slow"), None).await });
        while !told.recv().await.unwrap().contains("slow") {}
        carrier.abort();
        assert_eq!(waiting.await.unwrap().unwrap().replies, [Reply::Deleted]);
    }

    #[tokio::test]
    async fn another_life_of_the_node_gets_nothing() {
        let (pool, _told) = busy().await;
        let lazy = pool.clone();
        pool.soon.state().asked = Some(Instant::now());
        let other = Incarnation { pid: 8, ..LIFE };
        let waiting = tokio::spawn(async move { lazy.run_soon(delete("lock"), other).await });
        tokio::task::yield_now().await;
        pool.run(&get("other"), None).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Err(NodeError::Reborn));
    }
}
