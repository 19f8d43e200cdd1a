//! Clients that use their sessions, and note what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::farm::UNSAVED;
use super::history::{Kind, Operation, Outcome, Seen};
use crate::{Client, Response};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// In which time everybody is served when nothing is broken any more: twice the lock's TTL.
const SERVED_IN_THE_END: Duration = Duration::from_secs(10);
/// Ids that a client remembers after they have ended, to try them again.
const REMEMBERED: usize = 24;

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// How many clients.
    pub clients: usize,
    /// How many sessions each of them has.
    pub sessions: usize,
    /// The longest pause between two requests of one, in milliseconds.
    pub thinks_ms: u64,
    /// Bytes that sessions hold besides their list, at most; zero: only some, and not many.
    pub big: usize,
    /// Whether ids that have ended are tried again.
    pub tries_ended: bool,
}

/// What the clients have in common.
struct Shared {
    began: Instant,
    stop: AtomicBool,
    in_flight: AtomicUsize,
    served: Vec<AtomicU64>,
    port: u16,
    seed: u64,
    habits: Habits,
}

/// Running clients.
pub struct Users {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Operation>>>,
}

impl Users {
    /// Clients of the server on `port`.
    pub fn start(port: u16, seed: u64, habits: Habits) -> Self {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            served: (0..habits.clients).map(|_| AtomicU64::new(0)).collect(),
            port,
            seed,
            habits,
        });
        let threads = (0..habits.clients)
            .map(|number| {
                let shared = shared.clone();
                thread::spawn(move || User::new(number, shared).run())
            })
            .collect();
        Self { shared, threads }
    }

    /// Microseconds since they began.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Requests that are under way.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// How often each client has been served.
    pub fn served(&self) -> Vec<u64> {
        self.shared.served.iter().map(|served| served.load(Ordering::SeqCst)).collect()
    }

    /// Lets everybody look at all that is his once more, and returns the notes.
    ///
    /// # Panics
    /// When a client's thread has panicked.
    pub fn finish(self) -> Vec<Operation> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A session, as its client knows it.
#[derive(Clone)]
struct Session {
    name: String,
    epoch: u32,
    cookie: String,
    /// The last token that was sent.
    token: u32,
    /// How many requests it is still to have.
    left: u32,
}

impl Session {
    /// Whether they are one, under one id.
    fn is(&self, other: &Self) -> bool {
        (&self.name, self.epoch) == (&other.name, other.epoch)
    }
}

struct User {
    number: usize,
    shared: Arc<Shared>,
    random: SmallRng,
    client: Client,
    generation: u32,
    sessions: Vec<Session>,
    ended: Vec<Session>,
    notes: Vec<Operation>,
}

/// A request, and what is asked of the application besides.
struct Request {
    kind: Kind,
    token: u32,
    query: String,
}

impl User {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        let seed = shared.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let mut client = Client::new(shared.port);
        client.patience = PATIENCE;
        Self {
            number,
            random: SmallRng::seed_from_u64(seed),
            client,
            generation: 0,
            sessions: Vec::new(),
            ended: Vec::new(),
            notes: Vec::new(),
            shared,
        }
    }

    fn run(mut self) -> Vec<Operation> {
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.step();
            let pause = self.random.random_range(0..=self.shared.habits.thinks_ms);
            thread::sleep(Duration::from_millis(pause));
        }
        // Who was refused asks again: what can't be had any more, although nothing is wrong, is lost.
        let deadline = Instant::now() + SERVED_IN_THE_END;
        for session in self.sessions.clone() {
            while matches!(self.look(&session), Outcome::Failed(_)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(200));
            }
        }
        for session in self.ended.clone() {
            self.look(&session);
        }
        self.notes
    }

    fn look(&mut self, session: &Session) -> Outcome {
        self.one(session, &Request { kind: Kind::Read, token: 0, query: String::new() }).0
    }

    fn step(&mut self) {
        if self.sessions.len() < self.shared.habits.sessions {
            return self.begin();
        }
        let at = self.random.random_range(0..self.sessions.len());
        if self.sessions[at].left == 0 {
            return self.rotate_or_end(at, Kind::End);
        }
        self.sessions[at].left -= 1;
        match self.random.random_range(0..100) {
            0..50 => self.use_it(at, Kind::Append),
            50..72 => self.use_it(at, Kind::Read),
            72..84 => self.at_once(at),
            84..90 => self.rotate_or_end(at, Kind::Rotate),
            90..95 => self.leave(at),
            _ => self.try_ended(at),
        }
    }

    fn begin(&mut self) {
        self.generation += 1;
        let name = format!("u{}g{}", self.number, self.generation);
        let left = self.random.random_range(15..60);
        let mut session = Session { name, epoch: 0, cookie: String::new(), token: 0, left };
        let query = format!("user={}{}", session.name, self.size());
        let (outcome, cookie) = self.one(&session, &Request { kind: Kind::Begin, token: 0, query });
        if let (Outcome::Acknowledged, Some(cookie)) = (outcome, cookie) {
            session.cookie = cookie;
            self.sessions.push(session);
        }
    }

    fn use_it(&mut self, at: usize, kind: Kind) {
        let request = self.request(at, kind);
        let session = self.sessions[at].clone();
        let (outcome, cookie) = self.one(&session, &request);
        self.take_over(at, outcome, cookie);
    }

    /// Several requests of one session at a time.
    fn at_once(&mut self, at: usize) {
        let many = self.random.random_range(2..4);
        let requests: Vec<Request> = (0..many)
            .map(|_| {
                let kind = if self.random.random_bool(0.6) { Kind::Append } else { Kind::Read };
                self.request(at, kind)
            })
            .collect();
        let session = self.sessions[at].clone();
        let (number, shared) = (self.number, &self.shared);
        let told: Vec<(Operation, Option<String>)> = thread::scope(|scope| {
            let threads: Vec<_> = requests
                .iter()
                .map(|request| {
                    let (mut client, session) = (self.client.at(shared.port), &session);
                    scope.spawn(move || perform(&mut client, shared, number, session, request))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (operation, cookie) in told {
            let (outcome, gone) = (operation.outcome, operation.seen == Some(Seen::Nothing));
            self.note(operation);
            if self.sessions.get(at).is_some_and(|now| now.is(&session)) {
                self.take_over(at, outcome, cookie);
                if gone {
                    self.is_gone(&session);
                }
            }
        }
    }

    /// Ends the id that the client has, to go on under another, or not at all.
    fn rotate_or_end(&mut self, at: usize, kind: Kind) {
        let request = self.request(at, kind);
        let session = self.sessions[at].clone();
        let (outcome, cookie) = self.one(&session, &request);
        let still_there = self.sessions.get(at).is_some_and(|now| now.is(&session));
        match (outcome, cookie) {
            (Outcome::Acknowledged, Some(cookie)) if kind == Kind::Rotate && still_there => {
                self.remember(session);
                self.sessions[at].epoch += 1;
                self.sessions[at].cookie = cookie;
            }
            (Outcome::Acknowledged, None) if kind == Kind::End => {
                self.remember(session);
                if still_there {
                    self.sessions.remove(at);
                }
            }
            // Nobody knows which of its ids is the right one, or whether it has ended.
            (_, Some(_)) | (Outcome::Unsaved, None) if still_there => {
                self.sessions.remove(at);
            }
            _ => {}
        }
    }

    /// Sends a change and does not wait for the answer.
    fn leave(&mut self, at: usize) {
        let request = self.request(at, Kind::Append);
        let session = &self.sessions[at];
        let start = self.shared.now();
        let path = path(&request);
        let cookie = format!("JSESSIONID={}", session.cookie);
        if let Ok(stream) = self.client.try_start("POST", &path, &[("Cookie", &cookie)], b"") {
            thread::sleep(Duration::from_millis(self.random.random_range(0..12)));
            drop(stream);
        }
        let operation = Operation {
            client: self.number as u32,
            session: session.name.clone(),
            epoch: session.epoch,
            kind: request.kind,
            token: request.token,
            start,
            end: self.shared.now(),
            outcome: Outcome::Left,
            seen: None,
        };
        self.notes.push(operation);
    }

    /// Presents an id that has ended.
    fn try_ended(&mut self, at: usize) {
        if self.ended.is_empty() || !self.shared.habits.tries_ended {
            return self.use_it(at, Kind::Read);
        }
        let session = self.ended[self.random.random_range(0..self.ended.len())].clone();
        self.look(&session);
    }

    fn remember(&mut self, session: Session) {
        if !self.shared.habits.tries_ended {
            return;
        }
        if self.ended.len() == REMEMBERED {
            let forgotten = self.random.random_range(0..REMEMBERED);
            self.ended.swap_remove(forgotten);
        }
        self.ended.push(session);
    }

    fn request(&mut self, at: usize, kind: Kind) -> Request {
        let mut query = format!("ms={}", self.random.random_range(0..12));
        let mut token = 0;
        if matches!(kind, Kind::Append | Kind::Rotate) {
            self.sessions[at].token += 1;
            token = self.sessions[at].token;
            query.push_str(&format!("&token={token}"));
            if self.random.random_bool(0.03) {
                // Its answer is complete before Tomcat saves it, which takes its time.
                query.push_str(&format!("&early=1&slow={}", self.random.random_range(5..20)));
            }
            let size = self.size();
            query.push_str(&size);
        }
        Request { kind, token, query }
    }

    fn size(&mut self) -> String {
        match self.shared.habits.big {
            0 if self.random.random_bool(0.01) => format!("&big={}", self.random.random_range(0..120_000)),
            0 => String::new(),
            big => format!("&big={}", self.random.random_range(big / 2..big)),
        }
    }

    /// A session is forgotten when it is not there; a new cookie of it is kept.
    fn take_over(&mut self, at: usize, outcome: Outcome, cookie: Option<String>) {
        let relied_on = matches!(outcome, Outcome::Acknowledged | Outcome::Unsaved);
        if let (true, Some(cookie), Some(session)) = (relied_on, cookie, self.sessions.get_mut(at)) {
            session.cookie = cookie;
        }
    }

    fn one(&mut self, session: &Session, request: &Request) -> (Outcome, Option<String>) {
        let (operation, cookie) = perform(&mut self.client, &self.shared, self.number, session, request);
        let outcome = operation.outcome;
        let gone = operation.seen == Some(Seen::Nothing) && request.kind != Kind::End;
        self.note(operation);
        if gone && self.sessions.iter().any(|other| other.is(session)) {
            self.is_gone(session);
        }
        (outcome, cookie)
    }

    /// It was not there. Whether it is there a moment later tells whether it is lost or was only not shown.
    fn is_gone(&mut self, session: &Session) {
        self.sessions.retain(|other| !other.is(session));
        self.look(session);
    }

    fn note(&mut self, operation: Operation) {
        if operation.is_acknowledged() {
            self.shared.served[self.number].fetch_add(1, Ordering::SeqCst);
        }
        self.notes.push(operation);
    }
}

fn path(request: &Request) -> String {
    format!("/chaos/{}?{}", request.kind.name(), request.query)
}

/// One request, and the session cookie of its answer.
fn perform(
    client: &mut Client,
    shared: &Shared,
    number: usize,
    session: &Session,
    request: &Request,
) -> (Operation, Option<String>) {
    let cookie = format!("JSESSIONID={}", session.cookie);
    let headers: &[(&str, &str)] = if session.cookie.is_empty() { &[] } else { &[("Cookie", &cookie)] };
    // What changes something is never sent twice by what is on the way.
    let method = if request.kind == Kind::Read { "GET" } else { "POST" };
    client.cookies.clear();
    let start = shared.now();
    shared.in_flight.fetch_add(1, Ordering::SeqCst);
    let response = client.try_send(method, &path(request), headers, b"");
    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
    let end = shared.now();
    let (outcome, seen) = match &response {
        Ok(response) if response.status == 200 => understood(response),
        Ok(response) => (Outcome::Failed(response.status), None),
        Err(_) => (Outcome::Failed(0), None),
    };
    let operation = Operation {
        client: number as u32,
        session: session.name.clone(),
        epoch: session.epoch,
        kind: request.kind,
        token: request.token,
        start,
        end,
        outcome,
        seen,
    };
    (operation, client.cookie("JSESSIONID").map(str::to_owned))
}

fn understood(response: &Response) -> (Outcome, Option<Seen>) {
    let unsaved = response.header(&UNSAVED.to_ascii_lowercase()).is_some();
    let outcome = if unsaved { Outcome::Unsaved } else { Outcome::Acknowledged };
    let seen = match (response.field("user"), response.field("tokens")) {
        (Some(user), Some(tokens)) => {
            let tokens = tokens.split(',').filter(|token| !token.is_empty()).map(str::parse);
            // A list that can't be read is nobody's.
            tokens
                .collect::<Result<_, _>>()
                .map_or(Seen::Session("?".into(), vec![]), |tokens| Seen::Session(user, tokens))
        }
        _ if response.text() == "nothing\n" => Seen::Nothing,
        _ => Seen::Session("?".into(), vec![]),
    };
    (outcome, Some(seen))
}
