//! Who may come in. The gateway restricts nobody, so what nginx protects must not become open by an import.

use super::parser::Directive;

/// The directive that protects what is in the innermost of these blocks.
pub(super) fn guard<'a>(chain: &[&'a [Directive]]) -> Option<&'a Directive> {
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
    login.or_else(|| addresses.and_then(|block| block.iter().find(|one| is_deny_all(one))))
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
    directive.name() == "deny" && directive.arg(0) == "all"
}
