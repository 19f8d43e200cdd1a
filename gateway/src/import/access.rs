//! Who may come in. The gateway restricts nobody, so what nginx protects must not become open by an import.

use super::definitions::Definitions;
use super::parser::Directive;
use super::{redirect, variables};

/// The directive that protects what is in the innermost of these blocks.
pub(super) fn guard<'a>(chain: &[&'a [Directive]], definitions: &Definitions) -> Option<&'a Directive> {
    const PROTECTS: [&str; 8] = [
        "limit_except",
        "auth_basic",
        "auth_request",
        "auth_jwt",
        "auth_pam",
        "auth_ldap",
        "auth_digest",
        "ssl_verify_client",
    ];
    let blocks = || chain.iter().rev();
    let login = PROTECTS.iter().find_map(|name| {
        let nearest = blocks().find_map(|block| block.iter().find(|one| one.name() == *name))?;
        (nearest.arg(0) != "off").then_some(nearest)
    });
    // As soon as a block has one of them, those of the outer blocks do not hold.
    let addresses = blocks().find(|block| block.iter().any(is_address));
    let addresses = || addresses.and_then(|block| block.iter().find(|one| is_deny_all(one)));
    login.or_else(addresses).or_else(|| condition(chain, definitions))
}

/// The `if` of one of these blocks that refuses some requests, where the gateway would refuse none.
pub(super) fn condition<'a>(chain: &[&'a [Directive]], definitions: &Definitions) -> Option<&'a Directive> {
    let server = chain.get(1).copied().unwrap_or_default();
    // In a server it is an answer of its own.
    let is_known = |one: &Directive| {
        server.iter().any(|other| std::ptr::eq(other, one)) && redirect::of_if(one).is_some()
    };
    let of_blocks = chain.iter().rev().flat_map(|block| block.iter());
    of_blocks
        .filter(|one| one.name() == "if")
        .find(|one| one.inner().iter().any(refuses) && !is_known(one) && !is_filter(one, definitions))
}

/// Whether it answers an error of the client's.
pub(super) fn refuses(directive: &Directive) -> bool {
    let is_refusal = |status: &str| status.len() == 3 && status.starts_with('4');
    directive.name() == "return" && is_refusal(directive.arg(0)) || directive.name() == "deny"
}

/// It asks only for what every client may say as it likes: such an `if` keeps robots and strange links away, and protects nothing.
fn is_filter(condition: &Directive, definitions: &Definitions) -> bool {
    const SAID: [&str; 6] =
        ["http_user_agent", "http_referer", "invalid_referer", "host", "http_host", "server_name"];
    let names = variables::names(&condition.args().join(" "));
    !names.is_empty() && names.iter().all(|name| SAID.contains(&definitions.source(name)))
}

/// A block that lets nobody in.
pub(super) fn denies_all(block: &[Directive]) -> Option<&Directive> {
    match block.iter().any(|one| one.name() == "allow") {
        true => None,
        false => block.iter().find(|one| is_deny_all(one)),
    }
}

fn is_address(directive: &Directive) -> bool {
    matches!(directive.name(), "allow" | "deny")
}

fn is_deny_all(directive: &Directive) -> bool {
    directive.name() == "deny" && matches!(directive.arg(0), "all" | "0.0.0.0/0")
}
