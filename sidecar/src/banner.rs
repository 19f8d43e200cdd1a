//! What is logged first: which program this is, and what it has been told. Nothing secret.

use std::path::Path;

use crate::config::{Config, NodeConfig};
use crate::exchange::access::Locking;
use crate::record::shown_fingerprint;

/// One line each. `path` is where the configuration was read.
pub fn lines(config: &Config, path: &Path) -> Vec<String> {
    let mut lines =
        vec![format!("Satchel sidecar {}, configured by {}", env!("CARGO_PKG_VERSION"), path.display())];
    for context in &config.contexts {
        let path = if context.path.is_empty() { "/" } else { &context.path };
        let hosts = if context.hosts.is_empty() { "" } else { " of " };
        lines.push(format!(
            "Application {path}{hosts}{}: {} in its cookie, session files in {}",
            context.hosts.join(", "),
            context.cookie_name,
            context.directory.display()
        ));
    }
    let copies = match config.settings.copies {
        1 => "each session on one",
        _ => "each session on two",
    };
    let mut nodes = format!("Farm {}: {copies} of {}", config.farm, named(&config.nodes));
    if !config.retired_nodes.is_empty() {
        nodes += &format!("; retired: {}", named(&config.retired_nodes));
    }
    lines.push(nodes);
    let locking = match &config.settings.locking {
        Locking::All => "all",
        Locking::None => "none",
        Locking::Uri(_) => "uri",
        Locking::Auto => "auto",
    };
    let keys: Vec<_> = config.keys.iter().map(|key| shown_fingerprint(&key.0)).collect();
    let sealed = match keys.split_first() {
        None => "not encrypted".to_owned(),
        Some((first, [])) => format!("sealed with key {first}"),
        Some((first, others)) => format!("sealed with key {first}, opened with {} too", others.join(", ")),
    };
    lines.push(format!("Locking {locking}; records are {sealed}"));
    if let Some(admin) = config.admin {
        lines.push(format!("Status page: http://{admin}/"));
    }
    lines
}

fn named(nodes: &[NodeConfig]) -> String {
    let nodes: Vec<_> = nodes.iter().map(|node| format!("{} ({})", node.name, node.address)).collect();
    nodes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";

    #[test]
    fn it_says_what_is_configured_and_nothing_secret() {
        let text = format!(
            "listen = \"127.0.0.1:8081\"\nadmin = \"127.0.0.1:8091\"\n[tomcat]\naddress = \"127.0.0.1:8080\"\n\
             [[context]]\npath = \"/\"\ndirectory = \"/dev/shm/satchel/ROOT\"\n\
             [[context]]\npath = \"/shop\"\nhosts = [\"a.example\"]\ndirectory = \"/dev/shm/satchel/shop\"\ncookie_name = \"SHOP\"\n\
             [memcached]\nnodes = \"n1:10.0.0.1:11211 n2:10.0.0.2:11211\"\nretired_nodes = \"n0:10.0.0.9:11211\"\n\
             [record]\nkeys = [\"{KEY}\"]\nindex_key = \"{KEY}\"\n"
        );
        let path = Path::new("/etc/satchel/sidecar.toml");
        let config = Config::parse(path, &text).unwrap();
        let said = lines(&config, path).join("\n");
        let fingerprint = shown_fingerprint(&[0x33; 32]);
        for part in [
            concat!("sidecar ", env!("CARGO_PKG_VERSION"), ", configured by /etc/satchel/sidecar.toml"),
            "/: JSESSIONID in its cookie, session files in /dev/shm/satchel/ROOT",
            "/shop of a.example: SHOP",
            "Farm default: each session on two of n1 (10.0.0.1:11211), n2 (10.0.0.2:11211); retired: n0 (10.0.0.9:11211)",
            &format!("Locking all; records are sealed with key {fingerprint}"),
            "Status page: http://127.0.0.1:8091/",
        ] {
            assert!(said.contains(part), "{part}\nis not in\n{said}");
        }
        assert!(!said.contains("MzMz") && !said.contains("3333"), "{said}");
    }
}
