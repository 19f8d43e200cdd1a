//! Where sessions are: the nodes, what they speak, and what keeps sessions apart in them.

use satchel_common::import::outcome::{Outcome, changed, not, nothing};

use super::Scope;
use crate::import::valid;

pub(super) const SASL: &str = "SASL needs memcached's binary protocol, which the sidecar does not speak: records are encrypted and signed \
    instead, so that whoever reaches memcached learns no session and plants none; keep it in a network of its own, and start it without -S";

/// Stands where no node is known, so that the file can be checked.
pub(in crate::import) const NO_NODE: &str = "n1:127.0.0.1:11211";

pub(super) const PLACEHOLDER: &str = "no node is known: write your memcacheds (1.6 or newer) into memcached.nodes, in the place of \
    n1:127.0.0.1:11211";

/// What a node is called that has no name in msm's file.
const ONLY: &str = "n1";

pub(super) fn memcached_nodes(scope: &mut Scope, value: &str) -> Outcome {
    if value.contains("://") {
        return not(format!("Couchbase and Redis are not supported; {PLACEHOLDER}"));
    }
    let parts: Vec<&str> =
        value.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty()).collect();
    let (nodes, suffix) = match parts[..] {
        // msm's form for one node: without a name, and then without a suffix too.
        [only] if only.matches(':').count() == 1 => (format!("{ONLY}:{only}"), false),
        _ => (parts.join(", "), true),
    };
    if let Err(why) = valid::check("memcached", "nodes", &nodes) {
        return not(format!("{why}; {PLACEHOLDER}"));
    }
    scope.wanted.nodes = Some(nodes);
    scope.wanted.suffix = suffix;
    match suffix {
        true => Outcome::Carried,
        false => changed(
            "the node is called n1 here, and the client's cookie says so; session.getId() does not, as before",
        ),
    }
}

pub(super) fn memcached_protocol(_: &mut Scope, value: &str) -> Outcome {
    const META: &str = "the sidecar speaks memcached's meta commands (1.6 or newer); for an older one, or a proxy, write \
        [memcached.node.NAME] with protocol = \"text\"";
    match value {
        "text" => nothing(META),
        "binary" => changed(format!("memcached has deprecated the binary protocol: {META}")),
        _ => not("msm knows \"text\" and \"binary\" only"),
    }
}

pub(super) fn storage_key_prefix(scope: &mut Scope, value: &str) -> Outcome {
    let mut lost = Vec::new();
    let mut said = Vec::new();
    for token in value.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        match token {
            "host" | "host.hash" => said.push(
                "a virtual host's application is told apart by the hosts of its [[context]], which are there if these files name several hosts",
            ),
            "context" | "context.hash" => {}
            "webappVersion" => said.push("parallel deployment (app##2) is not supported: without it nothing has to take its place"),
            token => match token.strip_prefix("static:") {
                Some(name) => match valid::check("session", "farm", name) {
                    Ok(()) => scope.wanted.farm = Some(name.to_owned()),
                    Err(why) => lost.push(format!("{token}: session.farm: {why}")),
                },
                None => lost.push(format!("msm has no token \"{token}\"")),
            },
        }
    }
    match (&lost[..], &said[..]) {
        ([], []) if scope.wanted.farm.is_some() => Outcome::Carried,
        ([], []) => nothing("every session belongs to its application here"),
        ([], said) => changed(said.join("; ")),
        (lost, _) => not(lost.join("; ")),
    }
}

pub(super) fn enable_statistics(scope: &mut Scope, value: &str) -> Outcome {
    scope.wanted.statistics = value.eq_ignore_ascii_case("true");
    match scope.wanted.statistics {
        true => Outcome::Carried,
        false => nothing("without an admin address there is nothing to see"),
    }
}
