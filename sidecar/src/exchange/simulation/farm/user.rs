//! What a user's browser does, and what sidecar and Tomcat do for it.

use bytes::Bytes;

use super::*;
use crate::exchange::access::Access;
use crate::exchange::look_up::{Found, Lookup};
use crate::exchange::store::{StoreError, Target};
use crate::file::SessionFile;
use crate::file::session_file::tests::sample;
use crate::id::Presented;
use crate::memcached::Command;
use crate::record::Ended;

/// An id and the node in its suffix.
pub(super) type Cookie = (Id, NodeIndex);

/// A browser.
#[derive(Default)]
pub(super) struct User {
    cookie: Option<Cookie>,
    /// What it had before. Requests with it may be late.
    before: Vec<Cookie>,
}

/// A request as its sidecar gets it.
pub(super) struct Asked {
    /// Its place in the history.
    pub at: usize,
    pub cookie: Cookie,
    pub act: Act,
    /// Without lock and turn.
    pub beside: bool,
    pub takes: Duration,
    /// The sidecar is stopped for so long while it has the session.
    pub nap: Option<Duration>,
}

impl User {
    fn replace(&mut self, cookie: Option<Cookie>) {
        self.before.extend(self.cookie);
        self.before.drain(..self.before.len().saturating_sub(5));
        self.cookie = cookie;
    }
}

fn file(id: &SessionId, tokens: &[Token]) -> SessionFile {
    let tail: Vec<u8> = tokens.iter().flat_map(|token| token.to_be_bytes()).collect();
    SessionFile::parse(sample(id.as_str(), 1800, &tail)).unwrap()
}

fn tokens(file: &SessionFile, id: &SessionId) -> Vec<Token> {
    let start = sample(id.as_str(), 1800, b"").len();
    file.bytes()[start..].chunks(4).map(|token| Token::from_be_bytes(token.try_into().unwrap())).collect()
}

impl World {
    /// One tab, of which no other has the `number`.
    pub(super) async fn browse(self: Arc<Self>, user: Arc<Mutex<User>>, number: usize, mut random: SmallRng) {
        for nth in 0..self.plan.requests {
            sleep(Duration::from_millis(random.random_range(0..2_000))).await;
            let (cookie, is_late) = {
                let user = user.lock().unwrap();
                match user.before.len() {
                    0 => (user.cookie, false),
                    before if random.random_range(0..10) == 0 => {
                        (Some(user.before[random.random_range(0..before)]), true)
                    }
                    _ => (user.cookie, false),
                }
            };
            // Ids and changes are numbered by the request that makes them.
            let own = number * 1_000 + nth;
            let act = match (cookie, random.random_range(0..1_000)) {
                (None, _) => Act::Create,
                (_, 0..30) => Act::LogOut,
                (_, 30..100) => Act::Rename(own),
                (_, 100..400) => Act::Read,
                _ => Act::Append(Token::try_from(own).unwrap()),
            };
            let asked = match cookie {
                Some(cookie) => self.ask(cookie, act, &mut random),
                None => self.ask((own, random.random_range(0..self.plan.nodes)), act, &mut random),
            };
            let (at, id) = (asked.at, asked.cookie.0);
            let running = self.pick(&mut random);
            let told = self.serve(&running, asked).await;
            let nothing = matches!(self.history()[at].saw, Some((_, Saw::Nothing)));
            let mut user = user.lock().unwrap();
            // The tabs of one browser make one session between them.
            if is_late || user.cookie.map(|cookie| cookie.0) != cookie.map(|cookie| cookie.0) {
                continue;
            }
            let logged_out =
                self.history()[at].act == Act::LogOut && self.history()[at].acknowledged.is_some();
            match told {
                // A new suffix does not always reach its browser; a new id does, or the change is not acknowledged.
                Some(told) if told.0 != id || cookie.is_none() || random.random_range(0..10) > 2 => {
                    user.replace(Some(told));
                }
                _ if nothing || logged_out => user.replace(None),
                _ => {}
            }
        }
    }

    /// Writes down a request that begins.
    pub(super) fn ask(&self, cookie: Cookie, act: Act, random: &mut SmallRng) -> Asked {
        let mut history = self.history();
        let at = history.len();
        let beside = act == Act::Read && random.random_range(0..2) == 0;
        let from = self.now();
        history.push(Request { id: cookie.0, act, beside, from, saw: None, acknowledged: None });
        let nap = Duration::from_millis(random.random_range(4_000..20_000));
        let naps = random.random_range(0..1_000) < self.plan.faults.asleep;
        Asked {
            at,
            cookie,
            act,
            beside,
            takes: Duration::from_millis(random.random_range(0..400)),
            nap: naps.then_some(nap),
        }
    }

    /// The cookie in the answer, if there is one.
    pub(super) async fn serve(&self, running: &Running, asked: Asked) -> Option<Cookie> {
        let _request = running.requests.clone();
        let mut killed = running.killed.subscribe();
        tokio::select! {
            biased;
            _ = killed.wait_for(|killed| *killed) => None,
            told = self.exchange(running, asked) => told,
        }
    }

    async fn exchange(&self, running: &Running, asked: Asked) -> Option<Cookie> {
        let sidecar = &running.sidecar;
        let Sidecar { core, gate } = sidecar;
        gate.passed().await;
        let id = session_id(asked.cookie.0);
        let (key, suffix) = (core.farm.key("", &id), asked.cookie.1);
        let target = Target { key: &key, context: "", id: &id };
        if asked.act == Act::Create {
            let created = core.create(&target, suffix, file(&id, &[]), Bytes::new(), false).await;
            return self.acknowledge(sidecar, &asked, asked.cookie.0, created).await;
        }
        let presented = Presented { id: id.clone(), suffix: Some(name(suffix)) };
        let access = if asked.beside { Access::ReadOnly } else { Access::Locked };
        trace(|| Some(format!("sidecar {:x} has request {}", running.number, asked.at)));
        let looked_up = core.clone().look_up(0, &presented, access).await;
        gate.passed().await;
        let see = |saw| self.history()[asked.at].saw = Some((self.now(), saw));
        let found = match looked_up {
            Ok(Lookup::Found(found)) => found,
            Ok(_) => {
                see(Saw::Nothing);
                return None;
            }
            // 503: nothing was promised.
            Err(_) => return None,
        };
        let tokens = tokens(&found.session.file, &id);
        see(Saw::Session(tokens.clone()));
        sleep(asked.takes).await;
        if let Some(nap) = asked.nap {
            gate.stop(nap);
        }
        self.conclude(sidecar, &asked, *found, tokens).await
    }

    /// What `settle.rs` does once Tomcat has saved.
    async fn conclude(
        &self,
        sidecar: &Sidecar,
        asked: &Asked,
        found: Found,
        mut tokens: Vec<Token>,
    ) -> Option<Cookie> {
        let core = &sidecar.core;
        let (id, session) = (session_id(asked.cookie.0), &found.session);
        let target = Target { key: &found.key, context: "", id: &id };
        let told = match asked.act {
            Act::Create => None,
            Act::Read if asked.beside || !session.displaced => {
                let told =
                    self.acknowledge(sidecar, asked, asked.cookie.0, Ok(session.version.primary.node)).await;
                core.touch(&target, session, found.lock).await;
                return told.filter(|_| !asked.beside);
            }
            Act::Read | Act::Append(_) => {
                if let Act::Append(token) = asked.act {
                    tokens.push(token);
                }
                let stored = core.store(&target, session, file(&id, &tokens)).await;
                self.acknowledge(sidecar, asked, asked.cookie.0, stored).await
            }
            Act::LogOut => {
                let buried = self.bury(sidecar, &target, &found, Ended::Invalidated).await;
                self.acknowledge(sidecar, asked, asked.cookie.0, buried.map(|()| 0)).await.and(None)
            }
            Act::Rename(to) => {
                let new_id = session_id(to);
                let new_key = core.farm.key("", &new_id);
                let new = Target { key: &new_key, context: "", id: &new_id };
                let node = core.nodes.start_of(&new_key);
                let created = core.create(&new, node, file(&new_id, &tokens), Bytes::new(), false).await;
                let done = match created {
                    Ok(node) => self.bury(sidecar, &target, &found, Ended::IdChanged).await.map(|()| node),
                    Err(error) => Err(error),
                };
                self.acknowledge(sidecar, asked, to, done).await
            }
        };
        if let Some(lock) = found.lock {
            lock.release().await;
        }
        told
    }

    async fn bury(
        &self,
        sidecar: &Sidecar,
        target: &Target<'_>,
        found: &Found,
        ended: Ended,
    ) -> Result<(), StoreError> {
        let core = &sidecar.core;
        if self.plan.broken != Broken::NoTombstones {
            return core.bury(target, &found.session, ended).await;
        }
        for node in core.nodes.all() {
            let delete = Command::Delete { key: target.key.record(), cas: None };
            let _ = core.nodes.run(node, &[delete]).await;
        }
        Ok(())
    }

    /// The answer leaves.
    async fn acknowledge(
        &self,
        sidecar: &Sidecar,
        asked: &Asked,
        id: Id,
        stored: Result<NodeIndex, StoreError>,
    ) -> Option<Cookie> {
        sidecar.gate.passed().await;
        match stored {
            Ok(node) => {
                self.history()[asked.at].acknowledged = Some(self.now());
                if !matches!(asked.act, Act::LogOut) {
                    self.ids.lock().unwrap().insert(id, (self.farm.key("", &session_id(id)), node));
                }
                Some((id, node))
            }
            Err(StoreError::Conflict | StoreError::Node(_) | StoreError::Kept(_)) => None,
            Err(other) => panic!("{other}"),
        }
    }
}
