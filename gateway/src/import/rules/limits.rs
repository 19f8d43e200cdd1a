//! `limit_req` and `limit_conn`: by the client's address.

use super::Rule::{self, By, Not, Nothing, Only};
use crate::import::block::Value;
use crate::import::definitions::option;
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};

const STATUS: &str = "the status of a refused request cannot be chosen";

pub(super) const RULES: &[(&str, Rule)] = &[
    ("limit_req_zone", By(limit_req_zone)),
    ("limit_conn_zone", By(limit_conn_zone)),
    ("limit_req", By(limit_req)),
    ("limit_conn", By(limit_conn)),
    ("limit_req_status", Not(STATUS)),
    ("limit_conn_status", Not(STATUS)),
    ("limit_req_log_level", Nothing("refused requests are in the access log")),
    ("limit_conn_log_level", Nothing("refused requests are in the access log")),
    ("limit_req_dry_run", Only("off", "leave limit_req out until it is to hold")),
    ("limit_conn_dry_run", Only("off", "leave limit_conn out until it is to hold")),
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
        Some(Ok(_)) => nothing(format!("the gateway needs no zone; {user} says it all")),
        Some(Err(why)) => not(why.clone()),
        None => not("zone=NAME:SIZE is expected"),
    }
}

fn limit_req(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
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
    match (scope.set("limit_req", Value::Text(words.join(" "))), lost) {
        (Outcome::Carried, Some(word)) => {
            changed(format!("'{word}' is not carried over: early requests are held back"))
        }
        (Outcome::Carried, None) => Outcome::Carried,
        _ => not("one limit_req in a block; the first one counts"),
    }
}

fn limit_conn(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let name = directive.arg(0);
    match scope.context.definitions.connection_zones.get(name) {
        Some(Ok(())) => {}
        Some(Err(why)) => return not(why.clone()),
        None => return not(format!("there is no limit_conn_zone '{name}'")),
    }
    match directive.arg(1).parse::<u32>() {
        Ok(number) => match scope.set("limit_conn", Value::Number(number.into())) {
            Outcome::Carried => Outcome::Carried,
            _ => not("one limit_conn in a block; the first one counts"),
        },
        Err(_) => not("a number is expected"),
    }
}
