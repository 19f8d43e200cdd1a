//! What is not carried over is closed: it answers 403 until somebody decides, and never falls to another location.

use satchel_common::import::block::{Block, Value};

use super::nested::Flat;
use super::scope::{Context, not};

/// What is answered.
pub(super) const ANSWER: &str = "403";

/// A location that could not be carried over.
pub(super) fn location(context: &mut Context, of: &Flat<'_>, why: &str) -> Block {
    const HOW: &str = "write proxy_pass or return in place of return = \"403\" to open it";
    let outcome = not(format!("is closed (403{}): {why}; {HOW}", for_which(of)));
    match of.is_extra {
        true => context.report(of.directive, outcome),
        false => context.report_location(of.directive, &outcome),
    }
    let mut block = Block::default();
    block.comment.push(format!("Closed: {why} (line {}).", of.directive.line));
    block.set("path", Value::Text(of.path.clone()));
    block.set("return", Value::Text(ANSWER.into()));
    block
}

/// Loud, where it is more than the location itself.
fn for_which(of: &Flat<'_>) -> String {
    let own = super::path::Path::of(of.directive).and_then(super::path::Path::text);
    match of.path.as_str() {
        _ if own.as_ref() == Ok(&of.path) => String::new(),
        "~ ^/" => {
            ", AND SO IS EVERY OTHER PATH of this server that no exact, ^~ or earlier location takes".into()
        }
        path => format!(", as \"{path}\""),
    }
}
