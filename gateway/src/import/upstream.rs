//! `upstream` with its servers.

use satchel_common::address::HostPort;
use satchel_common::import::block::{Block, Value};

use super::parser::Directive;
use super::scope::{Context, Outcome, changed, not, nothing};
use super::units;

const AFFINITY: &str =
    "sessions are shared, so that any server may answer; requests go to all servers in turn";

/// Translates one.
pub(super) fn translate(directive: &Directive, context: &mut Context) -> Option<Block> {
    let name = directive.arg(0);
    if let Err(why) = usable(directive) {
        context.report_whole(directive, &not(format!("{why}; what it is for is closed (403)")));
        return None;
    }
    let mut block = Block::default();
    block.set("name", Value::Text(name.to_owned()));
    for inner in directive.inner() {
        let outcome = one(&mut block, inner);
        context.report(inner, outcome);
    }
    if !context.definitions.never_retries {
        block.set_because(
            "retry_budget",
            Value::Number(100),
            "as nginx, which has no budget; leave it out for the gateway's",
        );
    }
    Some(block)
}

/// Whether it can be carried over.
pub(super) fn usable(directive: &Directive) -> Result<(), String> {
    let name = directive.arg(0);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err("give it a name of A-Z a-z 0-9 . _ - only: the servers see it as Host".into());
    }
    let mut servers = directive.inner().iter().filter(|one| one.name() == "server");
    match servers.any(|server| address(server.arg(0)).is_some()) {
        true => Ok(()),
        false => Err(format!(
            "upstream '{name}' has no server that can be carried over; one with an address is needed"
        )),
    }
}

fn one(block: &mut Block, directive: &Directive) -> Outcome {
    let mut set = |key, value| match block.set(key, value) {
        true => Outcome::Carried,
        false => not("is here twice; the first one counts"),
    };
    let mut method = |name: &str| set("method", Value::Text(name.to_owned()));
    match directive.name() {
        "server" => server(block, directive),
        "least_conn" => method("least_conn"),
        "random" => match (directive.arg(0), directive.arg(1)) {
            ("two", "" | "least_conn") => method("random two"),
            _ => match method("random two") {
                Outcome::Carried => changed("is 'random two' here: the less busy of two"),
                refused => refused,
            },
        },
        "least_time" => match method("least_conn") {
            Outcome::Carried => changed("is least_conn here"),
            refused => refused,
        },
        "ip_hash" | "sticky" | "hash" => changed(AFFINITY),
        "keepalive" => nothing("connections are always kept"),
        "keepalive_timeout" => match units::time(directive.arg(0)) {
            Some(time) => match set("keepalive_timeout", Value::Text(time)) {
                Outcome::Carried => changed(
                    "keep it below Tomcat's keepAliveTimeout (20 s by default): the gateway's default is 15s",
                ),
                refused => refused,
            },
            None => not("a time is expected"),
        },
        "keepalive_requests" | "keepalive_time" => nothing("connections are kept for as long as they work"),
        "queue" => match directive.arg(0).parse::<u32>() {
            Ok(number) => {
                if let Some(time) = super::definitions::option(directive, "timeout=").and_then(units::time) {
                    set("queue_timeout", Value::Text(time));
                }
                set("queue", Value::Number(number.into()))
            }
            Err(_) => not("a number is expected"),
        },
        "zone" => nothing("workers share memory anyway"),
        "resolver" => not("one resolver holds for all: write resolver.nameservers"),
        "state" => not("write file = \"…\" with a list of servers"),
        name => {
            not(super::rules::refusal(name).unwrap_or("is not known here; docs/from-nginx.md has what is"))
        }
    }
}

fn server(block: &mut Block, directive: &Directive) -> Outcome {
    let Some(address) = address(directive.arg(0)) else {
        return not("a socket's file cannot be used: let Tomcat's connector listen on an address");
    };
    let mut peer = Block::default();
    peer.set("address", Value::Text(address.clone()));
    let mut lost = Vec::new();
    for word in directive.args().into_iter().skip(1) {
        if !option(&mut peer, word) {
            lost.push(word);
        }
    }
    let same = |other: &Block| {
        other.get("address") == peer.get("address") && other.get("service") == peer.get("service")
    };
    if block.children.iter().any(same) {
        return not(format!("{address} is here twice; give it more weight"));
    }
    block.children.push(peer);
    match lost[..] {
        [] => Outcome::Carried,
        ["no_live_upstreams"] => Outcome::Carried,
        _ if lost.iter().all(|word| word.starts_with("route=") || word.starts_with("id=")) => {
            changed(AFFINITY)
        }
        _ => not(format!("the server is carried over, but without {}", lost.join(" "))),
    }
}

fn option(peer: &mut Block, word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let number = |max: u64| value.parse().ok().filter(|number| *number <= max).map(Value::Number);
    let positive = |max: u64| number(max).filter(|number| *number != Value::Number(0));
    let time = || units::time(value).map(Value::Text);
    let (key, value) = match name {
        "weight" => ("weight", positive(65_535)),
        "max_fails" => ("max_fails", number(u32::MAX.into())),
        "max_conns" => ("max_conns", number(u32::MAX.into())),
        "fail_timeout" => ("fail_timeout", time()),
        "slow_start" => ("slow_start", time()),
        "service" => ("service", Some(Value::Text(value.to_owned()))),
        "backup" => ("backup", Some(Value::Flag(true))),
        "down" => ("down", Some(Value::Flag(true))),
        "drain" => ("drain", Some(Value::Flag(true))),
        "resolve" => ("resolve", Some(Value::Flag(true))),
        _ => return false,
    };
    value.is_some_and(|value| peer.set(key, value))
}

/// With a port, which is 80 where nginx has none.
pub(super) fn address(text: &str) -> Option<String> {
    if text.is_empty() || text.starts_with("unix:") || text.contains(['$', '/']) {
        return None;
    }
    [text.to_owned(), format!("{text}:80")].into_iter().find(|address| address.parse::<HostPort>().is_ok())
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    #[test]
    fn servers_keep_their_options() {
        let result = imported(
            "upstream t { zone t 64k; least_conn; keepalive 16; queue 10 timeout=5s;
               server 10.0.0.1:8080 weight=5 max_fails=3 fail_timeout=1m30s max_conns=100 slow_start=30s;
               server [::1] backup; server b.example:81 down resolve service=http; server 10.0.0.2:1 drain; }",
        );
        for line in [
            "method = \"least_conn\"",
            "queue = 10",
            "queue_timeout = \"5s\"",
            "address = \"10.0.0.1:8080\"\nweight = 5\nmax_fails = 3\nfail_timeout = \"90s\"\nmax_conns = 100\nslow_start = \"30s\"",
            "address = \"[::1]:80\"\nbackup = true",
            "down = true\nresolve = true\nservice = \"http\"",
            "drain = true",
        ] {
            assert!(result.toml.contains(line), "{line}\n{}", result.toml);
        }
        assert!(result.is_complete(), "{:?}", result.notes);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let result = imported(
            "upstream t { ip_hash; server unix:/run/t.sock; server a:1 weight=0; server b:1; server b:1; check interval=1; }",
        );
        let said: Vec<_> = result.notes.iter().map(ToString::to_string).collect();
        for text in
            ["sessions are shared", "a socket's file", "without weight=0", "is here twice", "write check"]
        {
            assert!(said.iter().any(|note| note.contains(text)), "{text}: {said:?}");
        }
        assert!(!result.is_complete());
    }

    #[test]
    fn retries_have_nginxs_budget() {
        let budget = |http: &str, server: &str| {
            let result = imported(&format!(
                "{http} upstream t {{ server a:1; }} server {{ listen 80; {server} return 204; }}"
            ));
            result.toml.contains("retry_budget = 100 # as nginx")
        };
        assert!(budget("", "") && budget("proxy_next_upstream error;", ""));
        assert!(!budget("proxy_next_upstream off;", ""));
        assert!(budget("proxy_next_upstream off;", "location / { proxy_next_upstream error; }"));
        // Others may be for it, too.
        assert!(budget("", "proxy_next_upstream off;"));
    }

    #[test]
    fn what_is_for_an_upstream_that_cannot_be_is_closed() {
        for upstream in
            ["upstream t { server unix:/run/t.sock; }", "upstream t { }", "upstream 't u' { server a:1; }"]
        {
            let name = if upstream.contains("'t u'") { "'http://t u'" } else { "http://t" };
            let result =
                imported(&format!("{upstream} server {{ listen 80; location / {{ proxy_pass {name}; }} }}"));
            assert!(
                !result.toml.contains("[[upstream]]") && result.toml.contains("return = \"403\""),
                "{}",
                result.toml
            );
            assert!(!result.is_complete(), "{upstream}");
        }
    }
}
