//! `limit_req` and `limit_conn`: by the client's address.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Not, Nothing};
use crate::config::rate_limit;
use crate::import::definitions::option;
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("limit_req_zone", By(limit_req_zone)),
    ("limit_conn_zone", By(limit_conn_zone)),
    ("limit_req", By(limit_req)),
    ("limit_conn", By(limit_conn)),
    ("limit_req_status", By(limit_req_status)),
    ("limit_conn_status", By(limit_conn_status)),
    ("limit_req_log_level", Nothing("refused requests are in the access log")),
    ("limit_conn_log_level", Nothing("refused requests are in the access log")),
    ("limit_req_dry_run", By(limit_req_dry_run)),
    ("limit_conn_dry_run", By(limit_conn_dry_run)),
    ("limit_rate", Not("the speed of a response cannot be limited")),
    ("limit_rate_after", Not("the speed of a response cannot be limited")),
];

fn limit_req_zone(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    zone(&scope.context.definitions.request_zones, directive, "limit_req")
}

fn limit_conn_zone(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    zone(&scope.context.definitions.connection_zones, directive, "limit_conn")
}

fn zone<T>(
    zones: &std::collections::HashMap<String, Result<T, String>>,
    directive: &Directive,
    user: &str,
) -> Outcome {
    let name = option(directive, "zone=").and_then(|zone| zone.split(':').next()).unwrap_or_default();
    match zones.get(name) {
        Some(Ok(_)) => nothing(format!("{user} names it, with its rate; its size is the gateway's own")),
        Some(Err(why)) => not(why.clone()),
        None => not("zone=NAME:SIZE is expected"),
    }
}

fn limit_req(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    if is_dry_run(scope, "limit_req_dry_run") {
        return nothing("does not hold in nginx: limit_req_dry_run is on");
    }
    let name = option(directive, "zone=").unwrap_or_default();
    let rate = match scope.context.definitions.request_zones.get(name) {
        Some(Ok(rate)) => rate.clone(),
        Some(Err(why)) => return not(why.clone()),
        None => return not(format!("there is no limit_req_zone '{name}'")),
    };
    let mut words = vec![rate];
    let mut lost = None;
    for word in directive.args() {
        match word {
            "nodelay" => words.push(word.into()),
            _ if word.starts_with("burst=") => words.push(word.into()),
            _ if word.starts_with("zone=") => {}
            other => lost = Some(other),
        }
    }
    words.push(format!("zone={}", zone_word(name)));
    let text = words.join(" ");
    if let Err(why) = rate_limit(&text, "") {
        return not(why);
    }
    match (scope.set("limit_req", Value::Text(text)), lost) {
        (Outcome::Carried, Some(word)) => {
            changed(format!("'{word}' is not carried over: early requests are held back"))
        }
        (Outcome::Carried, None) => Outcome::Carried,
        _ => not("one limit_req in a block; the first one counts"),
    }
}

fn limit_req_dry_run(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    dry_run(scope, directive, ("limit_req", Value::Text("off".into()), limit_req))
}

fn limit_conn_dry_run(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    dry_run(scope, directive, ("limit_conn", Value::Number(0), limit_conn))
}

/// A limit that only counts is left out. nginx inherits it and its dry run each by itself, so that one from outside may not hold here, or only
/// here.
fn dry_run(
    scope: &mut Scope<'_>,
    directive: &Directive,
    (limit, none, translate): (&'static str, Value, fn(&mut Scope<'_>, &Directive) -> Outcome),
) -> Outcome {
    let has_own = scope.siblings().iter().any(|one| one.name() == limit);
    let outer = scope.outer(limit);
    if directive.arg(0) != "on" {
        return match outer.filter(|_| !has_own) {
            Some(outer) => translate(scope, outer),
            None => nothing("limits hold unless they are left out"),
        };
    }
    if outer.is_some() {
        scope.block.set(limit, none);
    }
    not(format!("{limit} is left out, since it does not hold yet"))
}

fn limit_req_status(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    status(scope, "limit_req_status", directive)
}

fn limit_conn_status(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    status(scope, "limit_conn_status", directive)
}

fn status(scope: &mut Scope<'_>, key: &'static str, directive: &Directive) -> Outcome {
    match directive.arg(0).parse::<u16>() {
        Ok(444) => not("a connection is not cut without an answer; 503 is answered"),
        Ok(status @ 400..=599) => scope.set(key, Value::Number(status.into())),
        _ => not("a status of 400 to 599 is expected"),
    }
}

fn is_dry_run(scope: &Scope<'_>, name: &str) -> bool {
    scope.nearest(name).is_some_and(|one| one.arg(0) == "on")
}

/// A zone's name as the gateway allows it. Two names do not become one.
fn zone_word(name: &str) -> String {
    let mut word = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => word.push(char::from(byte)),
            _ => word.push_str(&format!(".{byte:02x}")),
        }
    }
    word
}

fn limit_conn(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    if is_dry_run(scope, "limit_conn_dry_run") {
        return nothing("does not hold in nginx: limit_conn_dry_run is on");
    }
    let name = directive.arg(0);
    match scope.context.definitions.connection_zones.get(name) {
        Some(Ok(())) => {}
        Some(Err(why)) => return not(why.clone()),
        None => return not(format!("there is no limit_conn_zone '{name}'")),
    }
    match directive.arg(1).parse::<u32>() {
        // It is none here, and refuses the configuration there.
        Ok(0) | Err(_) => not("a number of at least 1 is expected"),
        Ok(number) => {
            match scope.set("limit_conn", Value::Text(format!("{number} zone={}", zone_word(name)))) {
                Outcome::Carried => Outcome::Carried,
                _ => not("one limit_conn in a block; the first one counts"),
            }
        }
    }
}
