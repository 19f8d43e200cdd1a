//! Any text is a configuration or an error, each time the same, and an error shows no secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sidecar::config::Config;

/// What `record.keys` is given in the seeds.
const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

fuzz_target!(|text: &str| {
    if text.contains("/dev") || text.contains("/proc") || !where_secrets_stand(text) {
        return;
    }
    let read = || Config::parse(Path::new("sidecar.toml"), text).map_err(|error| error.to_string());
    match (read(), read()) {
        (Ok(config), Ok(again)) => {
            let shown = format!("{config:?}");
            assert_eq!(shown, format!("{again:?}"));
            assert_eq!(config.fixed(), again.fixed());
            assert!(!shown.contains(SECRET));
            assert!(config.settings.copies <= config.nodes.len() && !config.contexts.is_empty());
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            assert!(!error.contains(SECRET), "{error}");
        }
        _ => panic!("once so and once so"),
    }
});

/// Nobody can keep a secret that is written where a name belongs.
fn where_secrets_stand(text: &str) -> bool {
    let plain: String = text.split_whitespace().collect();
    plain.match_indices(SECRET).all(|(at, _)| {
        let before = plain[..at].trim_end_matches(['"', '[']);
        before.ends_with("keys=") || before.ends_with("index_key=")
    })
}
