//! Whether this configuration is that of the sidecars that run (R25). They tell in memcached what they have; of keys, fingerprints.

use super::{Finding, Report, Severity};
use crate::agreement::{self, Agreement};
use crate::config::Config;

/// Asks all nodes what the sidecars of the farm have told.
pub async fn check(config: &Config, report: &mut Report) {
    let ours = Agreement::of(config);
    let said = agreement::said_by_all(config).await;
    let Some(theirs) = said.into_iter().max_by_key(|said| said.revision) else {
        return report.unchecked(
            "whether all sidecars have the same nodes and keys",
            format!(
                "no sidecar of farm \"{}\" has told these nodes within the last minute what it has: none runs, or it has another farm name",
                config.farm
            ),
        );
    };
    let Some(difference) = ours.difference(&theirs) else { return };
    let (id, why, fix) = if ours.nodes() != theirs.nodes() {
        let why = "sidecars with other nodes look for sessions, and lock them, in other places";
        ("agreement.nodes", why, nodes(config, &theirs))
    } else if ours.keys() != theirs.keys() || ours.index_key() != theirs.index_key() {
        let why = "sidecars with other keys can't open each other's sessions, or do not find them";
        let fix = format!(
            "take [record] keys and index_key from the configuration of a sidecar that runs: the keys whose fingerprints are [{}], and the \
             index_key {}",
            theirs.keys().join(" "),
            theirs.index_key()
        );
        ("agreement.keys", why, fix)
    } else {
        let why = "sidecars that differ in this look for sessions in other places, or keep fewer copies";
        ("agreement.other", why, "write what the others have".to_owned())
    };
    report.add(Finding::new(
        id,
        Severity::Error,
        format!("the sidecars of farm \"{}\" that run have another configuration: {difference}", config.farm),
        format!("{why}; one that starts with this configuration is refused"),
        fix,
    ));
}

/// The others' nodes, at the addresses that are known here.
fn nodes(config: &Config, theirs: &Agreement) -> String {
    let known = |name: &String| {
        let node = config.nodes.iter().chain(&config.retired_nodes).find(|node| node.name.as_str() == name);
        node.map_or_else(|| format!("{name}:HOST:PORT"), |node| format!("{name}:{}", node.address))
    };
    let nodes: Vec<String> = theirs.nodes().iter().map(known).collect();
    format!("write in [memcached], as the others have it:\nnodes = \"{}\"", nodes.join(", "))
}
