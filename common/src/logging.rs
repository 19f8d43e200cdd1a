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

/// Starts logging. What libraries say is shown from `warn` on only.
pub fn init(level: Level) {
    let _ = env_logger::Builder::new()
        // Libraries have much to say of each connection.
        .filter_level(log::LevelFilter::Warn)
        .filter_module("gateway", log::LevelFilter::Debug)
        .filter_module("sidecar", log::LevelFilter::Debug)
        .filter_module("satchel_common", log::LevelFilter::Debug)
        // It calls an error that a kept connection went to somebody else, and what it cannot do is returned.
        .filter_module("pingora_core::connectors", log::LevelFilter::Off)
        // It calls it an error that an upgrade is waited for.
        .filter_module("pingora_core::server::transfer_fd", log::LevelFilter::Off)
        .filter_module("pingora_proxy", log::LevelFilter::Off)
        // What it says names no node; we say it with the node's name.
        .filter_module("r2d2", log::LevelFilter::Off)
        .format_target(false)
        .target(env_logger::Target::Stderr)
        .try_init();
    set(level);
}

/// From now on so much is logged.
pub fn set(level: Level) {
    log::set_max_level(match level {
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
    });
}
