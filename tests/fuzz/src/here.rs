//! Configurations that can be checked on this machine without asking it for more than memory.

use toml::{Table, Value};

/// `None`: it names files of the machine, or hosts that would be looked up.
pub fn harmless(text: &str) -> Option<String> {
    let mut table: Table = text.parse().ok()?;
    let of_machine = ["/dev", "/proc", "/sys", "..", "file"].iter().any(|word| text.contains(word));
    if of_machine || !table.iter_mut().all(|(name, value)| is_harmless(name, value)) {
        return None;
    }
    toml::to_string(&table).ok()
}

fn is_harmless(name: &str, value: &mut Value) -> bool {
    match (name, value) {
        ("proxy_pass", Value::String(target)) => is_numeric(target.trim_start_matches("http://")),
        ("server", Value::Array(all)) => all.iter_mut().all(|one| {
            let Value::Table(one) = one else { return true };
            if one.contains_key("address") {
                one.insert("resolve".into(), Value::Boolean(true));
            }
            one.iter_mut().all(|(name, value)| is_harmless(name, value))
        }),
        (_, Value::Table(inner)) => inner.iter_mut().all(|(name, value)| is_harmless(name, value)),
        (_, Value::Array(all)) => all.iter_mut().all(|one| is_harmless("", one)),
        _ => true,
    }
}

/// An address, or the name of an upstream.
fn is_numeric(target: &str) -> bool {
    let name = target.split('/').next().unwrap_or_default();
    !name.contains(':') || name.parse::<std::net::SocketAddr>().is_ok()
}
