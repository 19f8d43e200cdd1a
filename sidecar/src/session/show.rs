//! `session show`: everything that is known of one session.

use super::farm::Farm;
use crate::exchange::operate::{OnNode, Stored, counts};
use crate::file::SessionFile;
use crate::file::java::{Contents, contents};
use crate::id::{Presented, SessionId};
use crate::record;

/// A session of one context.
#[derive(Debug)]
pub struct Shown {
    /// The context's path, or `//host/path`.
    pub context: String,
    /// The id without suffix.
    pub id: SessionId,
    /// The node in the suffix that was given.
    pub suffix: Option<String>,
    /// What each node has.
    pub copies: Vec<OnNode>,
    /// The names of the nodes, in the same order.
    pub nodes: Vec<String>,
    /// What is in Tomcat's file; `None`: it has ended, or can't be read.
    pub living: Option<Living>,
}

/// A session that has not ended.
#[derive(Debug)]
pub struct Living {
    /// Tomcat's file.
    pub file: SessionFile,
    /// What is in it.
    pub contents: Contents,
}

impl Shown {
    /// The copy that counts.
    pub fn newest(&self) -> Option<&Stored> {
        counts(&self.copies)
    }

    /// Seconds since its last request.
    pub fn idle(&self) -> Option<u32> {
        let stored = self.newest()?;
        stored.payload.as_ref().ok()?.ttl.idle(stored.ttl)
    }
}

/// Looks a session up in each of the contexts. One that no node knows is left out.
pub async fn show(farm: &Farm, contexts: &[usize], candidates: &[Presented]) -> Vec<Shown> {
    let core = &farm.core;
    let nodes: Vec<String> = core.nodes.all().map(|node| core.nodes.name(node).to_string()).collect();
    let mut shown = Vec::new();
    for context in contexts {
        for presented in candidates {
            let copies = core.inspect(*context, &presented.id).await;
            if copies.iter().all(|copy| matches!(copy.record, Ok(None))) {
                continue;
            }
            let living = counts(&copies).and_then(living);
            shown.push(Shown {
                context: core.context(*context).name(),
                id: presented.id.clone(),
                suffix: presented.suffix.as_ref().map(ToString::to_string),
                copies,
                nodes: nodes.clone(),
                living,
            });
        }
    }
    shown
}

fn living(stored: &Stored) -> Option<Living> {
    let record::Stored::Session { file, .. } = &stored.payload.as_ref().ok()?.stored else { return None };
    let contents = contents(file);
    Some(Living { file: SessionFile::parse(file.clone()).ok()?, contents })
}
