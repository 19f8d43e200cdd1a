//! Who the client is: `set_real_ip_from` and its companions.

use super::Rule::{self, By};
use crate::import::parser::Directive;
use crate::import::scope::{Level, Outcome, Scope, changed, not, nothing};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("set_real_ip_from", By(set_real_ip_from)),
    ("real_ip_header", By(real_ip_header)),
    ("real_ip_recursive", By(real_ip_recursive)),
];

const BY_LISTEN: &str = "the proxy_protocol of listen does it";

fn header<'a>(chain: &[&'a [Directive]]) -> &'a str {
    let mut headers =
        chain.iter().rev().filter_map(|block| block.iter().find(|one| one.name() == "real_ip_header"));
    headers.next().map_or("X-Real-IP", |directive| directive.arg(0))
}

/// Whose word about clients a server takes, in PROXY protocol headers or X-Forwarded-For.
pub(in crate::import) fn believed(http: &[Directive], server: &[Directive]) -> Vec<String> {
    let header = header(&[http, server]);
    if !["proxy_protocol", "X-Forwarded-For"].iter().any(|known| known.eq_ignore_ascii_case(header)) {
        return Vec::new();
    }
    let of = |block: &&[Directive]| -> Vec<_> {
        block.iter().filter(|one| one.name() == "set_real_ip_from").map(|one| network(one.arg(0))).collect()
    };
    let all = [server, http].iter().map(of).find(|all| !all.is_empty());
    all.into_iter().flatten().flatten().collect()
}

fn set_real_ip_from(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let header = header(&scope.chain);
    let by_listen = header.eq_ignore_ascii_case("proxy_protocol");
    if !by_listen && !header.eq_ignore_ascii_case("X-Forwarded-For") {
        return not(format!("the gateway reads X-Forwarded-For and PROXY protocol, and not {header}"));
    }
    if scope.level == Level::Location {
        return not("holds for connections, and so for a whole server: move it there");
    }
    let Some(network) = network(directive.arg(0)) else { return not("an address or a network is expected") };
    if by_listen {
        return changed(
            "is trusted_proxies of the servers with proxy_protocol in listen, which take X-Forwarded-For from there too",
        );
    }
    scope.block.add("trusted_proxies", network);
    match scope.nearest("real_ip_recursive").map(|one| one.arg(0)) {
        Some("on") => Outcome::Carried,
        _ => changed("the client is the last address that is not trusted, as with real_ip_recursive on"),
    }
}

fn real_ip_header(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0).to_ascii_lowercase().as_str() {
        "proxy_protocol" => nothing(BY_LISTEN),
        "x-forwarded-for" if scope.nearest("set_real_ip_from").is_some() => {
            nothing("trusted_proxies says it all")
        }
        "x-forwarded-for" => nothing("no set_real_ip_from says who is trusted, so it has no effect"),
        other => not(format!("the gateway reads X-Forwarded-For and PROXY protocol, and not {other}")),
    }
}

fn real_ip_recursive(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0) {
        "on" => nothing("it is what the gateway does"),
        _ if scope.nearest("set_real_ip_from").is_none() => {
            nothing("it has no effect without set_real_ip_from")
        }
        _ => changed("the client is the last address that is not trusted, as with real_ip_recursive on"),
    }
}

/// An address is a network of one.
fn network(text: &str) -> Option<String> {
    match (text.parse::<std::net::IpAddr>(), text.parse::<ipnet::IpNet>()) {
        (Ok(address), _) => Some(ipnet::IpNet::from(address).to_string()),
        (_, Ok(network)) => Some(network.to_string()),
        _ => None,
    }
}
