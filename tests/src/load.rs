//! Users who go on using their sessions while a test breaks things, and who know what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Client, eventually};

/// Between two requests of a user.
const THINKS: Duration = Duration::from_millis(40);

/// Running users.
pub struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    served: Arc<Vec<AtomicU64>>,
    users: Vec<JoinHandle<User>>,
}

/// One user, and what he was told.
struct User {
    name: String,
    client: Client,
    /// The counter's values that he was told, in the order of the answers.
    told: Vec<i64>,
    failures: Vec<Failure>,
    /// What must not be.
    wrong: Vec<String>,
    longest: Duration,
    requests: usize,
}

/// A request that was not answered with 200.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// When it was sent, since the load began.
    pub sent: Duration,
    /// When it failed.
    pub failed: Duration,
    /// Its status; zero: the connection was closed.
    pub status: u16,
}

/// What all users together have seen.
pub struct Report {
    /// Requests that were sent.
    pub requests: usize,
    /// Those that failed.
    pub failures: Vec<Failure>,
    /// The longest that anybody waited for an answer.
    pub longest: Duration,
}

impl Load {
    /// Users of the gateway on `port`, each of whom logs in and then counts up in his session; every third time with two or three
    /// requests at once.
    pub fn start(port: u16, users: usize) -> Self {
        Self::on(port, users, "/kind/small?ms=5")
    }

    /// The same with a request of one's own, which has to count up too.
    pub fn on(port: u16, users: usize, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served: Arc<Vec<AtomicU64>> = Arc::new((0..users).map(|_| AtomicU64::new(0)).collect());
        let began = Instant::now();
        let users = (0..users)
            .map(|n| {
                let (stop, served) = (stop.clone(), served.clone());
                thread::spawn(move || {
                    let mut user = User::log_in(port, n);
                    let mut turn = n;
                    while !stop.load(Ordering::Relaxed) {
                        turn += 1;
                        let at_once = if turn % 3 == 0 { 2 + turn % 2 } else { 1 };
                        if user.go_on(port, path, at_once, began) {
                            served[n].fetch_add(1, Ordering::Relaxed);
                        }
                        thread::sleep(THINKS);
                    }
                    user
                })
            })
            .collect();
        let load = Self { began, stop, served, users };
        load.all_served();
        load
    }

    /// When it is, on the clock of the report.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until every user was served twice more: his session has been stored since.
    pub fn all_served(&self) {
        let before: Vec<u64> = self.served.iter().map(|served| served.load(Ordering::Relaxed)).collect();
        eventually("every user is served", || {
            assert!(self.users.iter().all(|user| !user.is_finished()), "a user has given up");
            self.served
                .iter()
                .zip(&before)
                .all(|(served, before)| served.load(Ordering::Relaxed) >= before + 2)
        });
    }

    /// Goes on for a while.
    pub fn go_on(&self, time: Duration) {
        let began = self.now();
        eventually("time passes", || self.now() >= began + time);
    }

    /// Stops, and compares what everybody was told with what is there.
    ///
    /// # Panics
    /// When a counter is not exact, or a login is lost.
    pub fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let users: Vec<User> = self.users.into_iter().map(|user| user.join().unwrap()).collect();
        let wrong: Vec<String> = users.iter().flat_map(User::check).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        Report {
            requests: users.iter().map(|user| user.requests).sum(),
            failures: users.iter().flat_map(|user| user.failures.clone()).collect(),
            longest: users.iter().map(|user| user.longest).max().unwrap_or_default(),
        }
    }
}

impl User {
    fn log_in(port: u16, n: usize) -> Self {
        let name = format!("user{n}");
        let mut client = Client::new(port);
        let response = client.get(&format!("/login?user={name}"));
        assert_eq!(response.status, 200, "{}", response.text());
        Self {
            name,
            client,
            told: Vec::new(),
            failures: Vec::new(),
            wrong: Vec::new(),
            longest: Duration::ZERO,
            requests: 0,
        }
    }

    /// Some requests at once. `true`: one was answered.
    fn go_on(&mut self, port: u16, path: &'static str, at_once: usize, began: Instant) -> bool {
        let clients: Vec<Client> = match at_once {
            1 => vec![std::mem::replace(&mut self.client, Client::new(port))],
            _ => (0..at_once).map(|_| self.client.at(port)).collect(),
        };
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                thread::spawn(move || {
                    let sent = began.elapsed();
                    let response = client.try_send("GET", path, &[], b"");
                    (client, sent, began.elapsed(), response)
                })
            })
            .collect();
        let mut answered = false;
        for thread in threads {
            let (client, sent, ended, response) = thread.join().unwrap();
            self.requests += 1;
            self.longest = self.longest.max(ended - sent);
            match response {
                Ok(response) if response.status == 200 => {
                    answered = true;
                    if response.field("user").as_deref() != Some(&self.name) {
                        self.wrong.push(format!("{} at {ended:?}: {}", self.name, response.text()));
                    }
                    self.told.extend(response.number("n"));
                }
                other => {
                    let status = other.map_or(0, |response| response.status);
                    self.failures.push(Failure { sent, failed: ended, status });
                }
            }
            // The last new cookie counts.
            if at_once == 1 || client.cookie("JSESSIONID") != self.client.cookie("JSESSIONID") {
                self.client = client;
            }
        }
        answered
    }

    fn check(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let mut client = self.client.at(self.client.port());
        let seen = client.get("/kind/small?read=1");
        let n = seen.number("n").unwrap_or(0);
        let last = self.told.iter().max().copied().unwrap_or(0);
        let (told, failed) = (self.told.len() as i64, self.failures.len() as i64);
        let distinct: BTreeSet<_> = self.told.iter().collect();
        if seen.field("user").as_deref() != Some(&self.name) {
            wrong.push(format!("{}: in the end {}", self.name, seen.text()));
        }
        if distinct.len() != self.told.len() || n < last || n < told || n > told + failed {
            wrong.push(format!(
                "{}: {n} in the end; he was told {told} values ({} different, the largest {last}), and {failed} requests failed",
                self.name,
                distinct.len()
            ));
        }
        wrong
    }
}

impl Report {
    /// Requests that failed between these times.
    pub fn failed_between(&self, from: Duration, to: Duration) -> Vec<Failure> {
        self.failures.iter().filter(|failure| (from..to).contains(&failure.failed)).copied().collect()
    }

    /// For people.
    pub fn summary(&self) -> String {
        let share = 100.0 * self.failures.len() as f64 / self.requests.max(1) as f64;
        format!(
            "{} requests, {} failed ({share:.3} %), the longest took {:?}",
            self.requests,
            self.failures.len(),
            self.longest
        )
    }
}
