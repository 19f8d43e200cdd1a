//! `session list`. Keys of records are hashes and their content is sealed with the session's id: whose a record is nobody can tell from it.
//! What can be told is how many there are, where, how large, how old, and which key has sealed them.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use satchel_common::progress::Progress;

use super::farm::Farm;
use super::metadump::{self, Line};
use crate::config::{Config, NodeConfig};
use crate::exchange::unix_time;
use crate::id::SessionId;
use crate::memcached::{Command, NodeError, Reply};
use crate::record::seal::Envelope;
use crate::record::{Manifest, Payload, Stored};

/// More are counted and not looked at: each costs some hundred bytes here.
const REMEMBERED_MAX: usize = 1_000_000;
/// It is told how many have been counted after so many.
const PROGRESS_EVERY: u64 = 10_000;
/// So many are asked for in one round trip.
const BATCH: usize = 32;

/// All records that the nodes hold.
#[derive(Debug, Default)]
pub struct Listed {
    /// By node, in configuration order.
    pub nodes: Vec<OnNode>,
    /// The most recently used.
    pub records: Vec<Record>,
    /// How many there are in all.
    pub count: usize,
    /// Seconds since 1970, when it was asked.
    pub now: u64,
}

/// What one node holds.
#[derive(Debug)]
pub struct OnNode {
    /// Its name.
    pub name: String,
    /// Records, and bytes of them and of their parts. `Err`: why that is not known.
    pub told: Result<Totals, NodeError>,
}

/// Sums of a node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Parts of large ones.
    pub parts: u64,
    /// Locks that are held.
    pub locks: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    /// The characters of its key behind the first.
    pub place: String,
    /// The nodes that have it.
    pub on: Vec<usize>,
    /// Whether a request has locked it.
    pub locked: bool,
    /// When it was last used, in seconds since 1970.
    pub used: u64,
    /// When it ends; `None`: never.
    pub ends: Option<u64>,
    /// What its item says.
    pub item: Option<Item>,
}

/// What is known of a record's item.
#[derive(Debug, Clone)]
pub struct Item {
    /// The low 24 bits of its counter.
    pub counter: u32,
    /// Bytes of the envelope.
    pub size: usize,
    /// Whether the session has ended. Of a sealed one its size tells: no session is as small.
    pub ended: bool,
    /// The fingerprint of the key that has sealed it; `None`: it is in parts, or not sealed.
    pub key: Option<String>,
    /// Only without encryption.
    pub id: Option<SessionId>,
}

/// Asks every node.
pub async fn list(farm: &Farm, config: &Config, limit: usize, progress: &Progress) -> Listed {
    let nodes: Vec<&NodeConfig> = config.nodes.iter().chain(&config.retired_nodes).collect();
    let mut all: BTreeMap<String, Record> = BTreeMap::new();
    let mut locked = std::collections::BTreeSet::new();
    let mut listed = Listed { now: unix_time(), ..Listed::default() };
    for (index, node) in nodes.iter().enumerate() {
        let (mut totals, mut said) = (Totals::default(), 0);
        let told = metadump::each(&node.address, config.node_timeout, |line| {
            note(&mut all, &mut locked, &mut totals, index, line);
            if totals.records - said >= PROGRESS_EVERY {
                said = totals.records;
                progress.on(format!("{}: {} sessions so far", node.name, totals.records));
            }
        });
        let told = told.await.map(|()| totals);
        listed.nodes.push(OnNode { name: node.name.to_string(), told });
    }
    listed.count = all.len();
    let mut records: Vec<Record> = all.into_values().collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.used));
    records.truncate(limit);
    for record in &mut records {
        record.locked = locked.contains(&record.place);
    }
    look_at(farm, &mut records).await;
    listed.records = records;
    listed
}

fn note(
    all: &mut BTreeMap<String, Record>,
    locked: &mut std::collections::BTreeSet<String>,
    totals: &mut Totals,
    node: usize,
    line: Line,
) {
    // Keys are a letter and 32 characters of base64url (`docs/record.md`); others are somebody else's.
    let Some((kind, place)) = line.key.split_at_checked(1) else { return };
    let is_place = place.len() == 32;
    match kind {
        "s" if is_place => totals.records += 1,
        "l" if is_place => totals.locks += 1,
        "c" if place.contains('-') => totals.parts += 1,
        _ => return,
    }
    totals.bytes += line.size;
    if kind == "l" {
        locked.insert(place.to_owned());
    }
    if kind != "s" || all.len() >= REMEMBERED_MAX && !all.contains_key(place) {
        return;
    }
    let record = all.entry(place.to_owned()).or_insert_with(|| Record {
        place: place.to_owned(),
        on: Vec::new(),
        locked: false,
        used: 0,
        ends: line.ends,
        item: None,
    });
    record.on.push(node);
    record.used = record.used.max(line.used);
    record.ends = record.ends.max(line.ends);
}

/// What the items say of those that are shown.
async fn look_at(farm: &Farm, records: &mut [Record]) {
    let core = &farm.core;
    let mut by_node: BTreeMap<usize, Vec<&mut Record>> = BTreeMap::new();
    for record in records {
        if let Some(first) = record.on.first() {
            by_node.entry(*first).or_default().push(record);
        }
    }
    // The nodes' indexes are their places in the configuration.
    join_all(by_node.into_iter().map(async |(node, mut records)| {
        for batch in records.chunks_mut(BATCH) {
            let gets: Vec<_> = batch
                .iter()
                .map(|record| Command::Get { key: format!("s{}", record.place), value: true })
                .collect();
            let Ok(answers) = core.nodes.run(node, &gets).await else { return };
            for (record, reply) in batch.iter_mut().zip(answers.replies) {
                if let Reply::Hit(item) = reply {
                    let value = item.value.unwrap_or_default();
                    record.item = Some(read(farm, item.flags, &value));
                }
            }
        }
    }))
    .await;
}

fn read(farm: &Farm, flags: u32, value: &[u8]) -> Item {
    let counter = flags >> 8;
    if let Some(manifest) = Manifest::decode(value, usize::MAX) {
        return Item { counter, size: manifest.size(), ended: false, key: None, id: None };
    }
    match Envelope::of(value) {
        Some(Envelope { key: Some(key), size }) => {
            let ended = size <= Payload::TOMBSTONE_MAX;
            Item { counter, size: value.len(), ended, key: Some(key), id: None }
        }
        _ => {
            // Not sealed: it opens for everybody.
            let opened = farm.core.keys().open(&[], value).ok().and_then(|bytes| Payload::decode(bytes).ok());
            let (ended, id) = match opened.map(|payload| payload.stored) {
                Some(Stored::Ended(_)) => (true, None),
                Some(Stored::Session { file, .. }) => (false, id_in(file)),
                None => (false, None),
            };
            Item { counter, size: value.len(), ended, key: None, id }
        }
    }
}

fn id_in(file: bytes::Bytes) -> Option<SessionId> {
    let file = crate::file::SessionFile::parse(file).ok()?;
    SessionId::parse(file.id())
}
