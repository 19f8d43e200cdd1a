//! Writing a record to its copies. Every write is a fence (R17): it takes effect only on what was there when the exchange
//! read it, or on what is older. No copy is ever written blindly (R18).

use bytes::Bytes;
use tokio::time::Instant;

use super::fence::{self, Next};
use super::leftovers::drop_leftover;
use super::look_up::Read;
use super::outbox::Entry;
use super::store::{StoreError, Target};
use super::{Core, aside, unix_time};
use crate::cache::{Place, There, Version};
use crate::memcached::node::TTL_UNKNOWN;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Answers, Command, Mode, NodeError, Reply};
use crate::record::{Manifest, Payload, RecordKey, Stored, Ttl, flags};

/// Beyond it the second copy is written only after the first node has taken it: one that has no room for it drops what it has, and
/// not both are to do that at once (R19). In bytes.
const LARGE: usize = 64 * 1024;

/// A record that is to be written, and what it may replace.
pub(super) struct Record<'a> {
    pub(super) target: &'a Target<'a>,
    /// The version that was loaded; for a session that did not exist, counter 0 and nothing at its places.
    pub(super) base: Version,
    pub(super) ttl: Ttl,
    pub(super) stored: Stored,
    /// Whether it may replace what others have stored meanwhile: a change may under locking "none", and nothing else ever.
    pub(super) insists: bool,
    /// What was loaded, as it was stored: to be put back when memcached drops it.
    pub(super) loaded: Option<(Stored, Ttl)>,
    /// Its chunks.
    pub(super) chunks: Option<Manifest>,
}

/// What is stored now.
pub(super) struct Written {
    pub(super) version: Version,
    /// The node that the record names.
    pub(super) named: NodeIndex,
    pub(super) chunks: Option<Manifest>,
}

/// A record as it goes over the wire.
struct Sealed {
    /// What the record's item holds.
    value: Bytes,
    /// The whole, if that is in chunks.
    chunks: Option<(Manifest, Bytes)>,
    counter: u64,
    writer: u64,
    ttl: Ttl,
}

impl Sealed {
    fn version(&self, primary: Place, backup: Option<Place>) -> Version {
        Version { counter: self.counter, writer: self.writer, primary, backup }
    }

    fn is_large(&self) -> bool {
        self.chunks.is_some() || self.value.len() > LARGE
    }

    fn manifest(&self) -> Option<Manifest> {
        self.chunks.as_ref().map(|(manifest, _)| manifest.clone())
    }
}

/// What came of the second copy.
enum Second {
    /// There is to be none, or no other node is up.
    None,
    /// Over the version that was `loaded`; otherwise over an older one or nothing, which does not say that nobody has stored since.
    Stored {
        place: Place,
        loaded: bool,
    },
    /// One that is newer, or as new, is there.
    Newer(NodeIndex),
    Failed(NodeIndex),
}

impl Core {
    /// Writes both copies at once. The version that is stored now.
    ///
    /// # Errors
    /// As [`StoreError`]; what was loaded is still there.
    pub(super) async fn write(&self, record: Record<'_>) -> Result<Written, StoreError> {
        let (old, was_on) = (record.chunks.clone(), record.base.primary.node);
        self.nodes.note_life(record.ttl.0);
        let key = record.target.key;
        let written = self.write_copies(record).await?;
        self.drop_leftovers(key, &written.version);
        if let Some(old) = old {
            let Version { primary, backup, .. } = written.version;
            let mut on = vec![was_on, primary.node];
            on.extend(backup.map(|place| place.node));
            on.sort_unstable();
            on.dedup();
            self.drop_chunks(on, old);
        }
        self.nodes.away_known().await;
        Ok(written)
    }

    async fn write_copies(&self, record: Record<'_>) -> Result<Written, StoreError> {
        let primary = record.base.primary;
        let home = self.home_after(primary.node);
        let mut base = record.base;
        loop {
            let counter = base.counter.wrapping_add(1);
            let writer = crate::random::bits();
            let stored = record.stored.clone();
            let sealed = self.seal(record.target, counter, writer, home, record.ttl, stored).await?;
            let first = self.put(record.target, base.primary, &sealed);
            let before = base;
            let second = self.write_second(record.target, primary.node, Some(&before), &sealed, &[]);
            let (first, second) = if sealed.is_large() {
                let first = first.await;
                let second = if may_go_on(&first) { second.await } else { Second::None };
                (first, second)
            } else {
                tokio::join!(first, second)
            };
            let next = fence::after(first.as_ref().map(reply), record.insists);
            match (next, first) {
                (Next::Stored(cas), Ok(answers)) => {
                    let first = Place::seen(primary.node, answers.incarnation, Some(cas));
                    if home != primary.node {
                        self.still_first(&record, first, &second, &sealed).await?;
                        let version = self.moved_home(home, first, second, &sealed);
                        return Ok(Written { version, named: home, chunks: sealed.manifest() });
                    }
                    let backup = self.second_copy(&record, first, second, &sealed).await?;
                    let version = sealed.version(first, backup);
                    return Ok(Written { version, named: home, chunks: sealed.manifest() });
                }
                (Next::Overwrite, _) => {
                    let found = match self.there(record.target, primary.node).await {
                        Ok(Some(found)) if !found.ended => found,
                        // What has ended stays ended, on the second node too.
                        other => {
                            self.undo(record.target, primary.node, second).await;
                            return Err(other.err().unwrap_or(StoreError::Conflict));
                        }
                    };
                    self.metrics.overwritten.add();
                    base.counter = found.counter;
                    base.writer = found.writer;
                    base.primary = Place::of(primary.node, found.there);
                    base.backup = None;
                }
                // The primary has forgotten it, but the second copy was the loaded version: made anew from it (R17).
                (Next::Vanished, _) => {
                    self.metrics.vanished.add();
                    match second {
                        Second::Stored { place, loaded: true } if base.primary.life.is_some() => {
                            base.primary = Place::nothing(primary.node);
                            base.backup = Some(place);
                        }
                        _ => {
                            self.withdraw(&record, second).await;
                            return Err(StoreError::Conflict);
                        }
                    }
                }
                (Next::PutBack, Err(error)) => {
                    self.put_back(&record, &base, second).await;
                    return Err(error.into());
                }
                (Next::Failed | Next::Look, Err(error)) => {
                    return self.without_primary(&record, home, second, &sealed, error).await;
                }
                (_, _) => {
                    self.undo(record.target, primary.node, second).await;
                    return Err(StoreError::Conflict);
                }
            }
        }
    }
}

impl Core {
    /// Where a session on `node` is at home after its next store: there, or on the next node if that one is retired.
    fn home_after(&self, node: NodeIndex) -> NodeIndex {
        let nodes = &self.nodes;
        let next = || nodes.ring(node).skip(1).find(|node| nodes.is_up(*node));
        if nodes.is_retired(node) { next().unwrap_or(node) } else { node }
    }

    /// The session has left a retired node, whose copy says where it is now. If it has not arrived there, that copy is found.
    fn moved_home(&self, home: NodeIndex, left: Place, arrived: Second, sealed: &Sealed) -> Version {
        match arrived {
            Second::Stored { place, .. } => sealed.version(place, None),
            _ => sealed.version(Place::nothing(home), Some(left)),
        }
    }

    /// The first copy is not there and its node is gone: the second one, if it is stored, is the session now.
    async fn without_primary(
        &self,
        record: &Record<'_>,
        named: NodeIndex,
        second: Second,
        sealed: &Sealed,
        error: NodeError,
    ) -> Result<Written, StoreError> {
        let lost = record.base.primary.node;
        let Second::Stored { place: primary, loaded } = second else { return Err(error.into()) };
        if self.nodes.is_up(lost) {
            // It answers others: they would read the old state there.
            self.undo(record.target, lost, second).await;
            return Err(error.into());
        }
        // Over nothing that was loaded: what a node has that was thought away may be newer, and it would not be asked (R17).
        if !loaded && !record.insists && self.is_overtaken(record, primary.node, sealed).await {
            self.withdraw(record, second).await;
            return Err(StoreError::Conflict);
        }
        let third = self.write_second(record.target, primary.node, None, sealed, &[lost]).await;
        let backup = self.second_copy(record, primary, third, sealed).await?;
        let version = sealed.version(primary, backup);
        Ok(Written { version, named, chunks: sealed.manifest() })
    }

    /// Whether another node than `ours` has a version that is as new as the one that was written.
    async fn is_overtaken(&self, record: &Record<'_>, ours: NodeIndex, sealed: &Sealed) -> bool {
        let nodes = &self.nodes;
        for node in nodes.all().filter(|node| *node != ours && nodes.is_up(*node)) {
            if let Ok(Some(read)) = self.peek(node, record.target.key).await
                && !flags::is_newer(flags::of(sealed.counter, 0), read.item.flags)
            {
                return true;
            }
        }
        false
    }

    /// The second copy in the end: a node that failed is replaced by the next one that is up (R18).
    async fn second_copy(
        &self,
        record: &Record<'_>,
        primary: Place,
        mut second: Second,
        sealed: &Sealed,
    ) -> Result<Option<Place>, StoreError> {
        let mut failed = Vec::new();
        loop {
            match second {
                Second::Stored { place, .. } => return Ok(Some(place)),
                Second::Failed(node) => {
                    failed.push(node);
                    second = self.write_second(record.target, primary.node, None, sealed, &failed).await;
                }
                Second::None => {
                    if self.settings().copies > 1 {
                        self.metrics.single_copies.add();
                    }
                    return Ok(None);
                }
                Second::Newer(_) => {
                    self.still_first(record, primary, &second, sealed).await?;
                    return Ok(None);
                }
            }
        }
    }

    /// The second node had a version that is as new as the one that `first` has just got, or newer. If `first` has ours no more, that one
    /// was made from it. Otherwise somebody locks the session elsewhere, since he cannot reach the node: his version stays, since
    /// he may not see ours. Without locks the last writer wins: the last on the first node.
    async fn still_first(
        &self,
        record: &Record<'_>,
        first: Place,
        second: &Second,
        sealed: &Sealed,
    ) -> Result<(), StoreError> {
        let Second::Newer(node) = second else { return Ok(()) };
        if record.insists {
            return Ok(());
        }
        match self.copy(record.target.key, *node, first).await {
            Err(StoreError::Conflict) => return Ok(()),
            Err(unknown) => return Err(unknown),
            Ok(_) => {}
        }
        self.metrics.diverged.add();
        if let Some(manifest) = sealed.manifest() {
            self.drop_chunks(vec![first.node], manifest);
        }
        Err(StoreError::Conflict)
    }

    /// Writes the second copy to the first node behind `primary` that is up and not among `except`, over what is known to be
    /// there or what turns out to be older. `base` is what was loaded.
    async fn write_second(
        &self,
        target: &Target<'_>,
        primary: NodeIndex,
        base: Option<&Version>,
        sealed: &Sealed,
        except: &[NodeIndex],
    ) -> Second {
        let nodes = &self.nodes;
        if self.settings().copies < 2 && !nodes.is_retired(primary) {
            return Second::None;
        }
        let Some(node) =
            nodes.ring(primary).skip(1).find(|node| nodes.is_up(*node) && !except.contains(node))
        else {
            return Second::None;
        };
        let mut known = base.and_then(|base| base.backup).filter(|place| place.node == node);
        let is_loaded =
            |read: &Read| base.is_some_and(|base| read.item.flags == flags::of(base.counter, base.writer));
        loop {
            let (at, loaded) = match known {
                Some(place) => (place, true),
                None => match self.peek(node, target.key).await {
                    Ok(Some(read)) if !flags::is_newer(flags::of(sealed.counter, 0), read.item.flags) => {
                        // A reader beside us may have copied it from the first node.
                        return match self.holds(node, target.key, sealed).await {
                            Ok(Some(place)) => Second::Stored { place, loaded: true },
                            Ok(None) => Second::Newer(node),
                            Err(_) => Second::Failed(node),
                        };
                    }
                    Ok(read) => {
                        let loaded = read.as_ref().is_some_and(is_loaded);
                        let nothing = Place::nothing(node);
                        (read.map_or(nothing, |read| Place::of(node, read.there())), loaded)
                    }
                    Err(_) => return Second::Failed(node),
                },
            };
            match self.put(target, at, sealed).await {
                Ok(answers) => match reply(&answers) {
                    Reply::Stored(cas) => {
                        let place = Place::seen(node, answers.incarnation, Some(*cas));
                        return Second::Stored { place, loaded };
                    }
                    // Not what we thought: look.
                    _ => known = None,
                },
                Err(NodeError::Reborn) => known = None,
                Err(_) => return Second::Failed(node),
            }
        }
    }

    /// Where this very record is on a node; `None`: something else is there.
    async fn holds(
        &self,
        node: NodeIndex,
        key: &RecordKey,
        sealed: &Sealed,
    ) -> Result<Option<Place>, NodeError> {
        let answers = self.nodes.run(node, &[Command::Get { key: key.record(), value: true }]).await?;
        Ok(match reply(&answers) {
            Reply::Hit(item) if item.value.as_ref() == Some(&sealed.value) => {
                Some(Place::seen(node, answers.incarnation, Some(item.cas)))
            }
            _ => None,
        })
    }

    /// The second copy was written and the first could not be, because the session had changed there: the second is made to
    /// follow the first again.
    async fn undo(&self, target: &Target<'_>, primary: NodeIndex, second: Second) {
        if let Second::Stored { place, .. } = second
            && self.copy(target.key, primary, place).await.is_err()
        {
            self.metrics.diverged.add();
            log::warn!(
                "The copies of a session on memcached nodes {} and {} differ",
                self.nodes.name(primary),
                self.nodes.name(place.node)
            );
        }
    }

    /// The second copy was written, and of what was loaded nothing was left: somebody may have ended the session, and his tombstone be on
    /// other nodes.
    async fn withdraw(&self, record: &Record<'_>, second: Second) {
        if let Second::Stored { place: Place { node, there: Some(there), .. }, loaded: false } = second
            && !record.insists
        {
            let _ = drop_leftover(&self.nodes, node, record.target.key.record(), there).await;
        }
    }

    /// Copies a record as it is.
    pub(super) async fn copy(
        &self,
        key: &RecordKey,
        from: NodeIndex,
        to: Place,
    ) -> Result<Place, StoreError> {
        let get = Command::Get { key: key.record(), value: true };
        let answers = self.nodes.run(from, &[get]).await?;
        let Reply::Hit(item) = reply(&answers) else { return Err(StoreError::Conflict) };
        let value = item.value.clone().unwrap_or_default();
        // What is left of its life; -1: it has no end.
        let ttl = match item.ttl {
            TTL_UNKNOWN => self.nodes.longest_life(),
            left => Ttl(u32::try_from(left).unwrap_or(0)),
        };
        if let Some(manifest) = self.manifest(&value)
            && !self.copy_chunks(&manifest, from, to.node, ttl).await?
        {
            return Err(StoreError::Conflict);
        }
        let set = Command::Set {
            key: key.record(),
            value,
            flags: item.flags,
            ttl: ttl.on_the_wire(unix_time()),
            mode: to.there.map_or(Mode::Add, |there| Mode::Cas(there.cas)),
        };
        let answers = self.nodes.run_in(to.node, &[set], to.life).await?;
        match reply(&answers) {
            Reply::Stored(cas) => Ok(Place::seen(to.node, answers.incarnation, Some(*cas))),
            _ => Err(StoreError::Conflict),
        }
    }

    /// memcached drops the old item when it refuses a new one (R19): the last acknowledged record goes back at once.
    async fn put_back(&self, record: &Record<'_>, base: &Version, second: Second) {
        self.cache.remove(record.target.key).await;
        let Some((loaded, ttl)) = record.loaded.clone() else { return };
        let again = loaded.clone();
        let primary = base.primary.node;
        let result = match self.seal_again(record, base, ttl, loaded).await {
            Ok(sealed) => {
                let nothing = Place::nothing(primary);
                if let Second::Stored { place, .. } = second {
                    let _ = self.put(record.target, place, &sealed).await;
                }
                self.put(record.target, nothing, &sealed).await.map(|_| ()).map_err(StoreError::from)
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return };
        // As a store over the version before it: wherever the loaded one still is, there is nothing to do.
        let entry = Entry {
            context: record.target.context.to_owned(),
            id: record.target.id.clone(),
            base: base.counter.saturating_sub(1),
            dropped: true,
            node: primary,
            ttl,
            stored: again,
            since: Instant::now(),
            _working: None,
        };
        if !self.keep(record.target.key, entry) {
            log::error!(
                "A session was dropped by memcached node {} and could not be put back: {error}",
                self.nodes.name(primary)
            );
        }
    }

    /// One copy, on condition of what is there: its chunks first.
    async fn put(&self, target: &Target<'_>, place: Place, sealed: &Sealed) -> Result<Answers, NodeError> {
        if let Some((manifest, whole)) = &sealed.chunks {
            self.put_chunks(place.node, manifest, whole, sealed.ttl).await?;
        }
        let result = self.put_item(target, place, sealed).await;
        let stored = result.as_ref().is_ok_and(|answers| matches!(reply(answers), Reply::Stored(_)));
        // What got no answer may still take effect.
        let refused = matches!(result, Ok(_) | Err(NodeError::Refused(_) | NodeError::Reborn));
        if let Some(manifest) = sealed.manifest().filter(|_| refused && !stored) {
            // Waited for: the next attempt writes the same keys.
            self.delete_chunks(place.node, &manifest).await;
        }
        result
    }

    /// The record's own item. A store without an answer is looked for, and sent again if it has not taken effect: others may have seen the
    /// copy on the other node, which would have to be taken back.
    async fn put_item(
        &self,
        target: &Target<'_>,
        place: Place,
        sealed: &Sealed,
    ) -> Result<Answers, NodeError> {
        let first = self.send_item(target, place, sealed).await;
        if !is_unknown(&first) {
            return first;
        }
        let found = self.look_for(target, place, sealed).await?;
        let there = match reply(&found) {
            Reply::Stored(_) => return Ok(found),
            Reply::Hit(item) => Some(There { incarnation: found.incarnation, cas: item.cas }),
            _ => None,
        };
        if there != place.there {
            return Err(NodeError::Timeout);
        }
        match self.send_item(target, place, sealed).await {
            // The first one may have been late.
            Ok(answers) if matches!(reply(&answers), Reply::Stored(_)) => Ok(answers),
            again => match self.look_for(target, place, sealed).await {
                Ok(found) if matches!(reply(&found), Reply::Stored(_)) => Ok(found),
                _ if is_unknown(&again) => Err(NodeError::Timeout),
                _ => again,
            },
        }
    }

    async fn send_item(
        &self,
        target: &Target<'_>,
        place: Place,
        sealed: &Sealed,
    ) -> Result<Answers, NodeError> {
        let set = Command::Set {
            key: target.key.record(),
            value: sealed.value.clone(),
            flags: flags::of(sealed.counter, sealed.writer),
            ttl: sealed.ttl.on_the_wire(unix_time()),
            mode: place.there.map_or(Mode::Add, |there| Mode::Cas(there.cas)),
        };
        // Where nothing was seen, nothing must have been forgotten since (R17).
        self.nodes.run_in(place.node, &[set], place.life).await
    }

    /// What is there: `Stored` if it is this very record.
    async fn look_for(
        &self,
        target: &Target<'_>,
        place: Place,
        sealed: &Sealed,
    ) -> Result<Answers, NodeError> {
        let get = Command::Get { key: target.key.record(), value: true };
        let answers = if self.settings().copies > 1 {
            self.nodes.run(place.node, &[get]).await?
        } else {
            // There is no other copy to go on with.
            self.nodes.run_anyway(place.node, &[get]).await?
        };
        Ok(match reply(&answers) {
            Reply::Hit(item) if item.value.as_ref() == Some(&sealed.value) => {
                Answers { replies: vec![Reply::Stored(item.cas)], ..answers }
            }
            _ => answers,
        })
    }

    async fn seal(
        &self,
        target: &Target<'_>,
        counter: u64,
        writer: u64,
        primary: NodeIndex,
        ttl: Ttl,
        stored: Stored,
    ) -> Result<Sealed, StoreError> {
        let name = self.nodes.name(primary);
        let payload = Payload { counter, writer, primary: name, ttl, stored };
        let identity = self.farm.identity(target.context, target.id);
        let (keys, payload) = (self.keys(), payload.encode());
        let sealed = aside(payload.len(), move || keys.seal(&identity, payload)).await;
        let value: Bytes = sealed.and_then(Result::ok).ok_or(StoreError::Seal)?.into();
        let limit = self.value_max();
        if value.len() <= limit {
            return Ok(Sealed { value, chunks: None, counter, writer, ttl });
        }
        let too_large =
            |_| StoreError::TooLarge { size: value.len(), limit: self.settings().max_session_size };
        let chunks = u16::try_from(value.len().div_ceil(limit)).map_err(too_large)?;
        let manifest = Manifest::new(u32::try_from(value.len()).map_err(too_large)?, chunks);
        Ok(Sealed { value: manifest.encode().into(), chunks: Some((manifest, value)), counter, writer, ttl })
    }

    /// What was loaded, sealed once more. Its chunks are still there.
    async fn seal_again(
        &self,
        record: &Record<'_>,
        base: &Version,
        ttl: Ttl,
        loaded: Stored,
    ) -> Result<Sealed, StoreError> {
        let Version { counter, writer, primary, .. } = *base;
        match &record.chunks {
            Some(manifest) => {
                Ok(Sealed { value: manifest.encode().into(), chunks: None, counter, writer, ttl })
            }
            None => self.seal(record.target, counter, writer, primary.node, ttl, loaded).await,
        }
    }
}

/// Whether the second copy of a large record is written after the first has ended so.
fn may_go_on(first: &Result<Answers, NodeError>) -> bool {
    match first {
        Ok(answers) => matches!(reply(answers), Reply::Stored(_)),
        Err(error) => {
            matches!(
                error,
                NodeError::Down | NodeError::Timeout | NodeError::Unreachable(_) | NodeError::Reborn
            )
        }
    }
}

/// Whether a command may have taken effect.
fn is_unknown(result: &Result<Answers, NodeError>) -> bool {
    matches!(result, Err(NodeError::Timeout | NodeError::Unreachable(_)))
}

/// The answer to a batch of one.
fn reply(answers: &Answers) -> &Reply {
    answers.replies.first().unwrap_or(&Reply::Miss)
}
