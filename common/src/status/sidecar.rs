//! What a sidecar says of itself in `/status.json`. The gateway reads it for its own page; an unknown key is ignored and a missing one has its
//! default, so that two versions understand each other.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::metrics::Point;

/// A sidecar now. Rates and times are those of the last 10 s.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SidecarStatus {
    /// `sidecar`.
    pub program: String,
    /// Which one.
    pub version: String,
    /// When it was started, in seconds since 1970.
    pub started: f64,
    /// Memory that it has, in bytes.
    pub memory: u64,
    /// The farm's name.
    pub farm: String,
    /// The Tomcat beside it.
    pub tomcat: String,
    /// Its web applications.
    pub contexts: Vec<String>,
    /// How many looks there have been: the number of the one that these values are of.
    pub looks: u64,
    /// Between two looks, in seconds.
    pub step: f32,
    /// Requests; `rates`: errors; `level`: those that run.
    pub requests: Point<1>,
    /// Requests in Tomcat, until the header of its response.
    pub in_tomcat: Point<0>,
    /// Waits for a lock or a turn; `rates`: those that were given up; `level`: locks that are held.
    pub locks: Point<1>,
    /// Sessions; `rates`: handed to Tomcat, stored, touched, ended; times: of stores; `level`: of which something is remembered here.
    pub sessions: Point<4>,
    /// Look-ups; `rates`: with a current copy here, without one; `level`: bytes of the copies.
    pub cache: Point<2>,
    /// What the copies may take, in bytes.
    pub cache_max: u64,
    /// The memcached nodes.
    pub nodes: Vec<NodeStatus>,
    /// What waits for a node.
    pub outbox: OutboxStatus,
    /// What was counted since the start and deserves a look.
    pub troubles: Vec<Trouble>,
    /// The last minutes, for whoever asks for them (`?history`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<SidecarHistory>,
}

/// A memcached node, as a sidecar sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether it is used.
    pub up: bool,
    /// Whether it gets no session any more.
    pub retired: bool,
    /// Round trips to it; `rates`: errors.
    pub round_trips: Point<1>,
}

/// Stores that no node took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxStatus {
    /// How many wait.
    pub sessions: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// What they may take.
    pub max: u64,
}

/// A counter that has risen although it should not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// Its name in `/metrics`, without what all have in common.
    pub name: String,
    /// How often.
    pub count: u64,
    /// What it means.
    pub means: String,
}

/// The last minutes, the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SidecarHistory {
    /// As [`SidecarStatus::requests`].
    pub requests: VecDeque<Point<1>>,
    /// As there.
    pub in_tomcat: VecDeque<Point<0>>,
    /// As there.
    pub locks: VecDeque<Point<1>>,
    /// As there.
    pub sessions: VecDeque<Point<4>>,
    /// As there.
    pub cache: VecDeque<Point<2>>,
    /// Of each node.
    pub nodes: Vec<VecDeque<Point<1>>>,
}
