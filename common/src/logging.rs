//! The error log: one line per event on standard error.

use serde::Deserialize;

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What loses or refuses something.
    Error,
    /// What an operator should look at.
    Warn,
    /// Start, stop and changes of state.
    #[default]
    Info,
    /// Every request.
    Debug,
}

/// Starts logging. `program` is the target prefix that is always shown; Pingora's own lines only from
/// `warn` on, because it reports each client that leaves early.
pub fn init(level: Level) {
    let own = match level {
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
    };
    let _ = env_logger::Builder::new()
        .filter_level(own)
        .filter_module("pingora_core", own.min(log::LevelFilter::Warn))
        .filter_module("pingora_proxy", log::LevelFilter::Off)
        // What it says names no node; we say it with the node's name.
        .filter_module("r2d2", log::LevelFilter::Off)
        .format_target(false)
        .target(env_logger::Target::Stderr)
        .try_init();
}
