//! What becomes of each directive that is not structure (`server`, `location`, `upstream`, …): one rule for each.

mod client;
mod compression;
mod core;
mod expires;
mod headers;
mod limits;
mod log;
mod proxy;
pub(super) mod real_ip;
mod refused;
mod tls;

use satchel_common::import::block::Value;

use super::parser::Directive;
use super::scope::{Outcome, Scope, not, nothing};
use super::units;

/// How a directive is translated. The text of the first five is our key.
#[derive(Clone, Copy)]
enum Rule {
    Time(&'static str),
    Size(&'static str),
    Flag(&'static str),
    Number(&'static str),
    Text(&'static str),
    /// By a function.
    By(fn(&mut Scope<'_>, &Directive) -> Outcome),
    /// Nothing has to take its place.
    Nothing(&'static str),
    /// What to do instead.
    Not(&'static str),
    /// A flag that may only say what the gateway does anyway: that word, and why another one is not carried over.
    Only(&'static str, &'static str),
}

type Rules = &'static [(&'static str, Rule)];

const ALL: [Rules; 11] = [
    client::RULES,
    compression::RULES,
    core::RULES,
    expires::RULES,
    headers::RULES,
    limits::RULES,
    log::RULES,
    proxy::RULES,
    real_ip::RULES,
    tls::RULES,
    refused::RULES,
];

fn find(name: &str) -> Option<Rule> {
    ALL.iter().flat_map(|rules| rules.iter()).find(|(known, _)| *known == name).map(|(_, rule)| *rule)
}

/// Translates one directive.
pub(super) fn run(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let Some(rule) = find(directive.name()) else {
        return not(
            refused::family(directive.name()).unwrap_or("is not known here; docs/from-nginx.md has what is")
        );
    };
    let arg = directive.arg(0);
    if directive.words.len() != 2 && !matches!(rule, Rule::By(_) | Rule::Nothing(_) | Rule::Not(_)) {
        return not("one argument is expected");
    }
    match rule {
        Rule::Time(key) => match units::time(arg) {
            Some(time) if time.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit()) => {
                scope.set(key, Value::Text(time))
            }
            Some(_) => not(format!("zero is not possible; write {key} = \"…\" with the time that is meant")),
            None => not(format!("'{arg}' is no time")),
        },
        Rule::Size(key) => match units::size(arg) {
            Some(size) => scope.set(key, Value::Text(size)),
            None => not(format!("'{arg}' is no size")),
        },
        Rule::Flag(key) => match arg {
            "on" | "off" => scope.set(key, Value::Flag(arg == "on")),
            _ => not(format!("'{arg}' is neither on nor off")),
        },
        Rule::Number(key) => match arg.parse() {
            Ok(number) if number <= u64::from(u32::MAX) => scope.set(key, Value::Number(number)),
            _ => not(format!("'{arg}' is no number")),
        },
        Rule::Text(key) => scope.set(key, Value::Text(arg.to_owned())),
        Rule::By(translate) => translate(scope, directive),
        Rule::Nothing(why) => nothing(why),
        Rule::Not(instead) => not(instead),
        Rule::Only(word, _) if arg == word => nothing(format!("'{word}' is what the gateway does")),
        Rule::Only(_, instead) => not(instead),
    }
}

/// What is said about a directive that is never carried over, wherever it stands.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    match find(name) {
        Some(Rule::Not(instead)) => Some(instead),
        Some(_) => None,
        None => refused::family(name),
    }
}

/// Whether the lines in its braces are a table and no directives.
pub(super) fn is_data(name: &str) -> bool {
    matches!(name, "types" | "map" | "geo" | "geoip2" | "split_clients" | "charset_map")
}

/// All directives that have a rule.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    ALL.iter().flat_map(|rules| rules.iter()).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests;
