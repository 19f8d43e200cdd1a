//! What the simulation has found, one step after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::memory::{Memory, Reach, Shared};
use super::sidecar::{Sidecar, name, sidecar};
use super::{FIRST_LIFE, NONE, changes, file};
use crate::exchange::access::Access;
use crate::exchange::load::Refusal;
use crate::exchange::look_up::{Found, Lookup};
use crate::exchange::store::Target;
use crate::id::{Presented, SessionId};
use crate::memcached::nodes::NodeIndex;
use crate::record::{Ended, Farm, RecordKey};

/// One session of a farm.
struct Scene {
    memories: Vec<Shared>,
    sidecars: Vec<Sidecar>,
    id: SessionId,
    key: RecordKey,
}

impl Scene {
    /// The session is on the first two nodes.
    async fn new(nodes: usize, sidecars: usize) -> Self {
        let memory = |node| Arc::new(Mutex::new(Memory::new(FIRST_LIFE, node, NONE)));
        let memories: Vec<Shared> = (0..nodes as u64).map(memory).collect();
        let sidecars: Vec<_> = (0..sidecars as u64).map(|number| sidecar(&memories, number)).collect();
        let id = super::id();
        let scene = Self { memories, sidecars, key: Farm::new("test", None).key("", &id), id };
        let new = file(&BTreeSet::new(), false);
        scene.sidecars[0].core.create(&scene.target(), 0, new, Bytes::new(), false).await.unwrap();
        scene
    }

    fn target(&self) -> Target<'_> {
        Target { key: &self.key, context: "", id: &self.id }
    }

    async fn look_up(&self, by: usize, suffix: NodeIndex, access: Access) -> Result<Lookup, Refusal> {
        let presented = Presented { id: self.id.clone(), suffix: Some(name(suffix)) };
        self.sidecars[by].core.clone().look_up(0, &presented, access).await
    }

    async fn find(&self, by: usize, suffix: NodeIndex, access: Access) -> Box<Found> {
        match self.look_up(by, suffix, access).await {
            Ok(Lookup::Found(found)) => found,
            Ok(_) => panic!("it is there"),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    /// A request that adds `change`.
    async fn change(&self, by: usize, change: u16) {
        let found = self.find(by, 0, Access::Locked).await;
        let mut all = changes(&found.session.file, false);
        all.insert(change);
        self.sidecars[by].core.store(&self.target(), &found.session, file(&all, false)).await.unwrap();
        found.lock.unwrap().release().await;
    }

    async fn read(&self, by: usize, suffix: NodeIndex) -> BTreeSet<u16> {
        let found = self.find(by, suffix, Access::Locked).await;
        let all = changes(&found.session.file, false);
        self.sidecars[by].core.touch(&self.target(), &found.session, found.lock).await;
        all
    }

    fn reach(&self, node: NodeIndex, reach: Reach) {
        self.memories[node].lock().unwrap().set_reach(reach);
    }
}

/// A logout has reached the second node and not yet the first when a reader beside it renews the second copy.
#[tokio::test(start_paused = true)]
async fn r20_a_reader_does_not_renew_a_copy_that_is_newer_than_what_it_has_read() {
    let scene = Scene::new(2, 2).await;
    let read = scene.find(1, 0, Access::ReadOnly).await;
    let before = scene.memories[0].lock().unwrap().items().clone();
    let found = scene.find(0, 0, Access::Locked).await;
    scene.sidecars[0].core.bury(&scene.target(), &found.session, Ended::Invalidated).await.unwrap();
    let flags = |node: usize| scene.memories[node].lock().unwrap().flags(&scene.key.record());
    let tombstone = flags(1);
    *scene.memories[0].lock().unwrap().items() = before;
    assert_ne!(flags(0), tombstone);
    scene.sidecars[1].core.touch(&scene.target(), &read.session, None).await;
    assert_eq!(flags(1), tombstone, "the session would be back when the first node dies");
}

/// A sidecar has been stopped while a node was away that has come back with an old copy, and goes on with a request.
#[tokio::test(start_paused = true)]
async fn r24_a_sidecar_that_was_stopped_does_not_believe_a_node_before_it_knows_which_were_away() {
    let scene = Scene::new(3, 2).await;
    assert!(scene.read(1, 0).await.is_empty());
    sleep(Duration::from_secs(2)).await;
    scene.sidecars[1].gate.stop(Duration::from_secs(60));
    scene.reach(0, Reach::Refused);
    sleep(Duration::from_secs(3)).await;
    scene.change(0, 1).await;
    scene.reach(0, Reach::Yes);
    sleep(Duration::from_secs(20)).await;
    scene.sidecars[1].gate.go_on();
    assert_eq!(scene.read(1, 0).await, BTreeSet::from([1]));
}

/// A node has just come back and this sidecar does not know it yet, when the one with the other copy goes.
#[tokio::test(start_paused = true)]
async fn r24_a_session_is_not_unknown_while_the_nodes_that_have_it_may_be_back() {
    let scene = Scene::new(4, 1).await;
    scene.reach(0, Reach::Refused);
    sleep(Duration::from_secs(60)).await;
    let nodes = &scene.sidecars[0].core.nodes;
    assert!(!nodes.is_up(0));
    scene.reach(0, Reach::Yes);
    scene.reach(1, Reach::Refused);
    assert!(!nodes.is_up(0), "its next probe is seconds away");
    assert!(scene.read(0, 0).await.is_empty());
    // When they are gone indeed, what the others know counts.
    scene.reach(0, Reach::Refused);
    sleep(Duration::from_secs(60)).await;
    assert!(scene.read(0, 0).await.is_empty(), "its second copy has been put on the third node");
    let unknown = Presented { id: SessionId::parse(b"XYZ").unwrap(), suffix: Some(name(0)) };
    let looked_up = scene.sidecars[0].core.clone().look_up(0, &unknown, Access::Locked).await;
    assert!(matches!(looked_up, Ok(Lookup::Absent)));
}

/// The first node is killed when a look-up has seen which version it has, and has not read it yet.
#[tokio::test(start_paused = true)]
async fn r18_a_node_that_is_killed_between_two_steps_of_a_look_up_loses_nothing() {
    let mut found = 0;
    // Each with a network of its own: some are killed while the second step is under way.
    for by in 1..10 {
        let scene = Scene::new(3, 10).await;
        assert!(scene.read(by, 0).await.is_empty());
        scene.change(0, 1).await;
        let kill = async {
            while !scene.memories[0].lock().unwrap().items().contains_key(&scene.key.lock()) {
                sleep(Duration::from_millis(1)).await;
            }
            scene.memories[0].lock().unwrap().restart();
        };
        let (looked_up, ()) = tokio::join!(scene.look_up(by, 0, Access::Locked), kill);
        match looked_up {
            Ok(Lookup::Found(session)) => {
                assert_eq!(changes(&session.session.file, false), BTreeSet::from([1]));
                found += 1;
            }
            Ok(_) => panic!("it is on another node still"),
            Err(refusal) => assert_eq!(refusal, Refusal::Store),
        }
    }
    assert!(found > 0);
}

/// A sidecar is stopped while the session ends, and both nodes on which it knows it are restarted; the tombstone is on a third one.
#[tokio::test(start_paused = true)]
async fn r17_who_finds_nothing_of_what_he_has_loaded_makes_nothing_anew() {
    let scene = Scene::new(3, 2).await;
    let found = scene.find(1, 0, Access::Locked).await;
    scene.sidecars[1].gate.stop(Duration::from_secs(60));
    scene.reach(1, Reach::Refused);
    sleep(Duration::from_secs(10)).await;
    let end = scene.find(0, 0, Access::Locked).await;
    scene.sidecars[0].core.bury(&scene.target(), &end.session, Ended::Invalidated).await.unwrap();
    drop(end);
    for node in [0, 1] {
        scene.memories[node].lock().unwrap().restart();
        scene.reach(node, Reach::Yes);
    }
    sleep(Duration::from_secs(20)).await;
    scene.sidecars[1].gate.go_on();
    let changed = file(&BTreeSet::from([1]), false);
    let stored = scene.sidecars[1].core.store(&scene.target(), &found.session, changed).await;
    assert!(stored.is_err(), "{stored:?}");
    drop(found);
    sleep(Duration::from_secs(10)).await;
    for by in 0..2 {
        let looked_up = scene.look_up(by, 0, Access::Locked).await;
        assert!(!matches!(looked_up, Ok(Lookup::Found(_))), "it had ended");
    }
}

/// A node has come back, which others use and this sidecar does not yet, when the one with the other copy is restarted.
#[tokio::test(start_paused = true)]
async fn r24_a_session_is_not_unknown_when_one_node_that_has_it_is_thought_down_and_the_other_is_empty() {
    let mut scene = Scene::new(3, 1).await;
    scene.reach(1, Reach::Refused);
    sleep(Duration::from_secs(60)).await;
    assert!(!scene.sidecars[0].core.nodes.is_up(1));
    scene.reach(1, Reach::Yes);
    scene.sidecars.push(sidecar(&scene.memories, 9));
    scene.change(1, 1).await;
    scene.memories[0].lock().unwrap().restart();
    assert_eq!(scene.read(0, 0).await, BTreeSet::from([1]));
}

/// A client leaves while its session is looked up or given back, at any moment of it. Chaos found this one.
#[tokio::test(start_paused = true)]
async fn r06_who_leaves_in_the_middle_leaves_no_lock_behind() {
    let scene = Scene::new(3, 1).await;
    let unknown = Presented { id: SessionId::parse(b"XYZ").unwrap(), suffix: Some(name(0)) };
    let locks = |key: &RecordKey| {
        let locked = |memory: &Shared| memory.lock().unwrap().items().contains_key(&key.lock());
        scene.memories.iter().filter(|memory| locked(memory)).count()
    };
    let unknown_key = Farm::new("test", None).key("", &unknown.id);
    for patience in 0..200 {
        let patience = Duration::from_micros(patience * 100);
        let core = &scene.sidecars[0].core;
        let _ = timeout(patience, scene.look_up(0, 0, Access::Locked)).await;
        let _ = timeout(patience, core.clone().look_up(0, &unknown, Access::Locked)).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(locks(&scene.key) + locks(&unknown_key), 0, "who left after {patience:?}");
    }
}

/// The node with the lock had nothing of the session, whose other copy was found; until the store the node was restarted, the session
/// ended, and everybody who knew forgot it.
#[tokio::test(start_paused = true)]
async fn r17_where_nothing_was_seen_nothing_may_have_been_forgotten_since() {
    let scene = Scene::new(3, 2).await;
    scene.memories[0].lock().unwrap().restart();
    let found = scene.find(1, 0, Access::Locked).await;
    scene.sidecars[1].gate.stop(Duration::from_secs(60));
    scene.memories[0].lock().unwrap().restart();
    let end = scene.find(0, 0, Access::Locked).await;
    scene.sidecars[0].core.bury(&scene.target(), &end.session, Ended::Invalidated).await.unwrap();
    drop(end);
    sleep(Duration::from_secs(10)).await;
    for node in [0, 1] {
        scene.memories[node].lock().unwrap().restart();
    }
    scene.sidecars[1].gate.go_on();
    let changed = file(&BTreeSet::from([1]), false);
    let stored = scene.sidecars[1].core.store(&scene.target(), &found.session, changed).await;
    assert!(stored.is_err(), "{stored:?}");
    drop(found);
    sleep(Duration::from_secs(10)).await;
    for by in 0..2 {
        let looked_up = scene.look_up(by, 0, Access::Locked).await;
        assert!(!matches!(looked_up, Ok(Lookup::Found(_))), "it had ended");
    }
}
