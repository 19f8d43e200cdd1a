//! Where a directive stands, and what has been found out before.

use std::path::PathBuf;

use satchel_common::import::Note;
use satchel_common::import::block::{Block, Value};

pub(super) use satchel_common::import::outcome::{Outcome, changed, not, nothing};

use super::definitions::Definitions;
use super::note;
use super::parser::Directive;
use super::path::Path;
use super::{rules, valid};

/// Which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Http,
    Server,
    Location,
}

/// What is not of a single server or location.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) definitions: Definitions,
    /// Keys at the top of the file.
    pub(super) top: Block,
    pub(super) access_log: Block,
    pub(super) resolver: Block,
    pub(super) notes: Vec<Note>,
    /// Where nginx's main file is.
    pub(super) base: PathBuf,
}

/// A block of nginx's and what becomes of it.
pub(super) struct Scope<'a> {
    pub(super) level: Level,
    /// The directives of `http`, of the server, of the location.
    pub(super) chain: Vec<&'a [Directive]>,
    pub(super) block: Block,
    /// An `if` of the server that refuses some requests, which nobody can say here.
    pub(super) refusing: Option<&'a Directive>,
    pub(super) context: &'a mut Context,
}

/// They hold for whole connections, before a location is known.
const OF_CONNECTIONS: [&str; 6] = [
    "trusted_proxies",
    "client_header_timeout",
    "large_client_header_size",
    "client_header_size",
    "keepalive_timeout",
    "keepalive_requests",
];

// === impl Context ===

impl Context {
    pub(super) fn report(&mut self, directive: &Directive, outcome: Outcome) {
        let Some((kind, text)) = outcome.said() else { return };
        self.notes.push(note::about(directive, kind, text));
    }

    /// nginx takes files of TLS relative to its main file.
    pub(super) fn whole_path(&self, path: &str) -> String {
        let base = std::path::absolute(&self.base).unwrap_or_else(|_| self.base.clone());
        base.join(path).to_string_lossy().into_owned()
    }

    /// What is in a location shares its fate, but for locations that are the server's now.
    pub(super) fn report_location(&mut self, directive: &Directive, outcome: &Outcome) {
        self.report(directive, outcome.clone());
        let is_regex = matches!(Path::of(directive), Ok(Path::Regex(..)));
        for inner in directive.inner().iter().filter(|one| is_regex || one.name() != "location") {
            self.report_inside(inner, outcome, directive);
        }
    }

    /// What is in a block shares its fate. The lines of a table (`map`, `types`) are no directives.
    pub(super) fn report_whole(&mut self, directive: &Directive, outcome: &Outcome) {
        self.report(directive, outcome.clone());
        if rules::is_data(directive.name()) {
            return;
        }
        for inner in directive.inner() {
            self.report_inside(inner, outcome, directive);
        }
    }

    fn report_inside(&mut self, inner: &Directive, outcome: &Outcome, of: &Directive) {
        let own = match rules::refusal(inner.name()) {
            Some(advice) if matches!(outcome, Outcome::Not(_)) => not(advice),
            _ => outcome_inside(outcome, of),
        };
        self.report_whole(inner, &own);
    }
}

fn outcome_inside(outcome: &Outcome, of: &Directive) -> Outcome {
    let text = format!("belongs to '{}' in line {}", of.name(), of.line);
    match outcome {
        Outcome::Not(_) => Outcome::Not(text),
        _ => Outcome::Nothing(text),
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// A block in this one; `blocks` are those between them and itself.
    pub(super) fn inner<'b>(
        &'b mut self,
        level: Level,
        blocks: impl IntoIterator<Item = &'b [Directive]>,
    ) -> Scope<'b>
    where
        'a: 'b,
    {
        let mut chain: Vec<&'b [Directive]> = self.chain.clone();
        chain.extend(blocks);
        Scope { level, chain, block: Block::default(), refusing: self.refusing, context: self.context }
    }

    /// Translates one directive by its rule.
    pub(super) fn apply(&mut self, directive: &Directive) {
        let outcome = self.run(directive);
        match &outcome {
            Outcome::Not(_) | Outcome::Nothing(_) => self.context.report_whole(directive, &outcome),
            _ => self.context.report(directive, outcome),
        }
    }

    /// The same without a word. What the gateway refuses is taken back.
    fn run(&mut self, directive: &Directive) -> Outcome {
        let before = self.block.clone();
        let outcome = rules::run(self, directive);
        match valid::check(&self.block) {
            Ok(()) => outcome,
            Err(why) => {
                self.block = before;
                not(format!("the gateway does not take it: {why}"))
            }
        }
    }

    /// What a location in this one has from it, unless it has the like itself.
    pub(super) fn inherit(&mut self) {
        const OWN: [&str; 8] =
            ["location", "proxy_pass", "return", "rewrite", "if", "set", "break", "internal"];
        let between: Vec<&'a [Directive]> = self.chain.iter().skip(2).rev().copied().collect();
        for (depth, block) in between.iter().enumerate().skip(1) {
            let is_replaced =
                |name: &str| between[..depth].iter().any(|inner| inner.iter().any(|one| one.name() == name));
            for one in block.iter().filter(|one| !OWN.contains(&one.name()) && !is_replaced(one.name())) {
                // What is to be said about it is said where it stands.
                self.run(one);
            }
        }
    }

    /// What holds here for a directive that an inner block replaces.
    pub(super) fn nearest(&self, name: &str) -> Option<&'a Directive> {
        let find = |directives: &&'a [Directive]| directives.iter().find(|one| one.name() == name);
        self.chain.iter().rev().find_map(find)
    }

    /// The same, but from the next block outside.
    pub(super) fn outer(&self, name: &str) -> Option<&'a Directive> {
        let find = |directives: &&'a [Directive]| directives.iter().find(|one| one.name() == name);
        self.chain.iter().rev().skip(1).find_map(find)
    }

    /// The directives beside this one.
    pub(super) fn siblings(&self) -> &'a [Directive] {
        self.chain.last().copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, key: &'static str, value: Value) -> Outcome {
        if self.level == Level::Location && OF_CONNECTIONS.contains(&key) {
            return not("holds for connections, and so for a whole server: move it there");
        }
        if self.block.set(key, value) { Outcome::Carried } else { not("is here twice; the first one counts") }
    }

    /// Why a text cannot be used, if it has a variable that the gateway lacks.
    pub(super) fn lacks(&self, text: &str) -> Option<String> {
        let name = super::variables::unknown(text, super::variables::Known::Request)?;
        Some(self.context.definitions.why_unknown(&name))
    }
}
