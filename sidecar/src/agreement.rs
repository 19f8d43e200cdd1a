//! What all sidecars of a farm must have in common (R25): the nodes in their order, and keys that open each other's records.
//!
//! Each says in memcached what it has, under a key that depends on the farm's name only, and looks once a second what the others say.
//! A sidecar that starts with something else is refused. One that still runs with an older list serves the sessions that it can be
//! sure of and sends the others away unsent, so that the gateway takes a sidecar that knows more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::config::{Config, NodeConfig};
use crate::exchange::Core;
use crate::id::NodeName;
use crate::memcached::{Command, Mode, Node, Nodes, Reply};
use crate::record::{Farm, shown_fingerprint};
use crate::run::connect;

/// How often it is looked what the others say.
const STEP: Duration = Duration::from_secs(1);
/// Every sidecar has seen a new list within this time, and opens what is sealed with a new key if it was told to reload too.
pub const KNOWN_AFTER: Duration = Duration::from_secs(3);
/// How long what a sidecar says holds; said again in a third of it. In seconds.
const TTL: u32 = 60;
const VERSION: &str = "satchel 1";

/// What one sidecar has. Of two that differ, the larger revision is the newer one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Grows with every reload that changes the rest.
    pub revision: u64,
    nodes: Vec<String>,
    retired: BTreeSet<String>,
    copies: usize,
    /// Fingerprints: they say which key it is and nothing about it.
    keys: Vec<String>,
    index_key: String,
}

/// What this sidecar has, and whether others know of more.
#[derive(Default)]
pub struct Agreed {
    ours: ArcSwap<Agreement>,
    outdated: AtomicBool,
}

impl Agreement {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        let names = |nodes: &[NodeConfig]| nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>();
        Self {
            revision: 1,
            nodes: names(&config.nodes),
            retired: names(&config.retired_nodes).into_iter().collect(),
            copies: config.settings.copies,
            keys: config.keys.iter().map(|key| shown_fingerprint(&key.0)).collect(),
            index_key: config.index_key.as_ref().map_or("none".into(), |key| shown_fingerprint(&key.0)),
        }
    }

    /// With the nodes that are still read although they are in the list no more. One that is down is read by nobody.
    #[must_use]
    pub fn with_retired_of(self, nodes: &Nodes) -> Self {
        let read = nodes.all().filter(|node| nodes.is_up(*node)).map(|node| nodes.name(node).to_string());
        let retired = read.filter(|name| !self.nodes.contains(name)).collect();
        Self { retired, ..self }
    }

    /// What it says in memcached.
    pub fn render(&self) -> String {
        let retired: Vec<_> = self.retired.iter().map(String::as_str).collect();
        format!(
            "{VERSION}\nrevision {}\nnodes {}\nretired {}\ncopies {}\nkeys {}\nindex_key {}\n",
            self.revision,
            self.nodes.join(" "),
            retired.join(" "),
            self.copies,
            self.keys.join(" "),
            self.index_key
        )
    }

    /// What [`render`](Self::render) wrote; `None` for anything else, as another version may.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let mut line = |name| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Some(Self {
            revision: line("revision")?.parse().ok()?,
            nodes: words(line("nodes")?),
            retired: words(line("retired")?).into_iter().collect(),
            copies: line("copies")?.parse().ok()?,
            keys: words(line("keys")?),
            index_key: line("index_key")?.to_owned(),
        })
    }

    /// As a successor of `before`, if it says something else.
    fn after(self, before: &Self) -> Self {
        let step = u64::from(!self.says_the_same(before));
        Self { revision: before.revision.saturating_add(step), ..self }
    }

    fn says_the_same(&self, other: &Self) -> bool {
        Self { revision: 0, ..self.clone() } == Self { revision: 0, ..other.clone() }
    }

    /// The nodes, in their order.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The keys' fingerprints.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The index key's fingerprint.
    pub fn index_key(&self) -> &str {
        &self.index_key
    }

    /// In what a sidecar that has this cannot work with those that have `theirs`; `None`: it can.
    pub fn difference(&self, theirs: &Self) -> Option<String> {
        let both = |what: &str, ours: &[String], theirs: &[String]| {
            Some(format!("{what}: here [{}], the others [{}]", ours.join(" "), theirs.join(" ")))
        };
        if self.nodes != theirs.nodes {
            return both("memcached.nodes", &self.nodes, &theirs.nodes);
        }
        if self.copies != theirs.copies {
            return Some(format!("memcached.copies: here {}, the others {}", self.copies, theirs.copies));
        }
        let opens = |keys: &[String], first: Option<&String>| first.is_none_or(|first| keys.contains(first));
        let neither_or_both = self.keys.is_empty() == theirs.keys.is_empty();
        if !neither_or_both
            || !opens(&self.keys, theirs.keys.first())
            || !opens(&theirs.keys, self.keys.first())
        {
            return both(
                "record.keys (fingerprints; the first key of each must be known to the other)",
                &self.keys,
                &theirs.keys,
            );
        }
        if self.index_key != theirs.index_key {
            let one = std::slice::from_ref;
            return both("record.index_key (fingerprints)", one(&self.index_key), one(&theirs.index_key));
        }
        let unknown: Vec<String> =
            theirs.retired.iter().filter(|name| !self.retired.contains(*name)).cloned().collect();
        if !unknown.is_empty() {
            let ours: Vec<String> = self.retired.iter().cloned().collect();
            return both("memcached.retired_nodes (they may still have sessions)", &ours, &unknown);
        }
        None
    }
}

impl Agreed {
    /// What this sidecar starts with.
    pub fn new(ours: Agreement) -> Self {
        Self { ours: ArcSwap::from_pointee(ours), outdated: AtomicBool::new(false) }
    }

    /// Whether others know nodes that this sidecar does not.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// After a reload. `true`: it is something new.
    pub fn change(&self, new: Agreement) -> bool {
        let ours = self.ours.load();
        let changed = !ours.says_the_same(&new);
        if changed {
            self.ours.store(Arc::new(new.after(&ours)));
        }
        changed
    }
}

/// What the others say when this sidecar starts. `Err`: the difference.
///
/// # Errors
/// Both sides, for people.
pub async fn at_start(config: &Config) -> Result<Agreement, String> {
    let ours = Agreement::of(config);
    let newest = said_by_all(config).await.into_iter().max_by_key(|said| said.revision);
    match newest {
        None => Ok(ours),
        Some(theirs) => match ours.difference(&theirs) {
            None => Ok(ours.after(&theirs)),
            Some(difference) => Err(difference),
        },
    }
}

/// What sidecars have told each node within the last minute. Nodes that can't be asked are left out.
pub async fn said_by_all(config: &Config) -> Vec<Agreement> {
    let key = Farm::agreement(&config.farm);
    let said = join_all(config.nodes.iter().chain(&config.retired_nodes).map(|node| {
        let key = key.clone();
        async move { said(connect(node, config.node_timeout).as_ref(), key).await }
    }));
    said.await.into_iter().flatten().flatten().collect()
}

async fn said(node: &dyn Node, key: String) -> Option<Option<Agreement>> {
    let answers = node.run(&[Command::Get { key, value: true }], None).await.ok()?;
    Some(heard(answers.replies.first()))
}

fn heard(reply: Option<&Reply>) -> Option<Agreement> {
    match reply {
        Some(Reply::Hit(item)) => Agreement::parse(item.value.as_deref().unwrap_or_default()),
        _ => None,
    }
}

/// Says what this sidecar has and listens to the others, for ever.
pub async fn agree(core: Arc<Core>, farm: String) {
    let key = Farm::agreement(&farm);
    let mut said = Instant::now().checked_sub(Duration::from_secs(TTL.into()));
    let mut shown = None;
    loop {
        let again = said.is_none_or(|said| said.elapsed() >= Duration::from_secs(u64::from(TTL / 3)));
        if let Some(theirs) = step(&core, &key, again).await {
            let ours = core.agreed.ours.load();
            if let Some(difference) = ours.difference(&theirs).filter(|_| shown != Some(theirs.revision)) {
                shown = Some(theirs.revision);
                log::error!(
                    "Other sidecars of farm \"{farm}\" have another configuration; bring this one's in line and send it SIGHUP. {difference}"
                );
            }
        }
        if again {
            said = Some(Instant::now());
        }
        sleep(STEP).await;
    }
}

/// What others say that is newer than ours, or contradicts it.
async fn step(core: &Core, key: &str, again: bool) -> Option<Arc<Agreement>> {
    let nodes = &core.nodes;
    let up: Vec<_> = nodes.all().filter(|node| nodes.is_up(*node)).collect();
    let get = [Command::Get { key: key.to_owned(), value: true }];
    let heard: Vec<_> = join_all(up.iter().map(|node| nodes.run(*node, &get)))
        .await
        .into_iter()
        .map(|answers| answers.ok().map(|answers| heard(answers.replies.first())))
        .collect();
    let newest = heard.iter().flatten().flatten().max_by_key(|said| said.revision).cloned();
    let ours = core.agreed.ours.load_full();
    let newer = newest.filter(|theirs| theirs.revision >= ours.revision);
    let knows = |name: &String| NodeName::parse(name).is_some_and(|name| nodes.knows(&name));
    let unknown = |theirs: &Agreement| !theirs.nodes.iter().chain(&theirs.retired).all(knows);
    core.agreed.outdated.store(newer.as_ref().is_some_and(unknown), Ordering::Relaxed);
    if let Some(theirs) = newer {
        if !theirs.says_the_same(&ours) {
            return Some(Arc::new(theirs));
        }
        core.agreed.ours.store(Arc::new(theirs));
    }
    let ours = core.agreed.ours.load_full();
    core.agreed.change(Agreement::clone(&ours).with_retired_of(nodes));
    let ours = core.agreed.ours.load_full();
    let set = [Command::Set {
        key: key.to_owned(),
        value: Bytes::from(ours.render()),
        flags: 0,
        ttl: TTL,
        mode: Mode::Set,
    }];
    let lacking = up.iter().zip(&heard).filter(|(_, heard)| match heard {
        Some(Some(said)) => again || said.revision < ours.revision,
        Some(None) => true,
        None => false,
    });
    join_all(lacking.map(|(node, _)| nodes.run(*node, &set))).await;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agreement(nodes: &[&str], keys: &[&str]) -> Agreement {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Agreement {
            revision: 3,
            nodes: own(nodes),
            copies: 2,
            keys: own(keys),
            index_key: "11".into(),
            ..Agreement::default()
        }
    }

    #[test]
    fn r25_names_order_and_keys_count() {
        let ours = agreement(&["n1", "n2"], &["a", "b"]);
        assert_eq!(
            ours.difference(&agreement(&["n1", "n2"], &["b", "a"])),
            None,
            "each opens what the other seals"
        );
        for (other, shown) in [
            (agreement(&["n2", "n1"], &["a", "b"]), "here [n1 n2], the others [n2 n1]"),
            (agreement(&["n1"], &["a", "b"]), "the others [n1]"),
            (Agreement { copies: 1, ..ours.clone() }, "copies: here 2, the others 1"),
            (agreement(&["n1", "n2"], &["c", "a"]), "[c a]"),
            (agreement(&["n1", "n2"], &["b"]), "[b]"),
            (agreement(&["n1", "n2"], &[]), "[]"),
            (Agreement { index_key: "12".into(), ..ours.clone() }, "index_key"),
            (Agreement { retired: ["n3".into()].into(), ..ours.clone() }, "retired_nodes"),
        ] {
            let difference = ours.difference(&other).unwrap();
            assert!(difference.contains(shown), "{difference}");
        }
    }

    #[test]
    fn a_change_is_newer_and_the_same_is_not() {
        let agreed = Agreed::new(agreement(&["n1"], &["a"]));
        assert!(!agreed.change(agreement(&["n1"], &["a"])));
        assert!(agreed.change(agreement(&["n1", "n2"], &["a"])));
        assert_eq!(agreed.ours.load().revision, 4);
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(
            revision: u64, nodes in proptest::collection::vec("[a-z0-9_]{1,8}", 0..4),
            retired in proptest::collection::btree_set("[a-z0-9_]{1,8}", 0..4),
            copies in 1..3usize, keys in proptest::collection::vec("[0-9a-f]{8}", 0..3), index_key in "[0-9a-f]{8}"
        ) {
            let said = Agreement { revision, nodes, retired, copies, keys, index_key };
            prop_assert_eq!(Agreement::parse(said.render().as_bytes()), Some(said));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Agreement::parse(&bytes);
        }
    }
}
