//! What both programs share. One concept per file; nothing here knows sessions or balancing.

pub mod address;
pub mod answer;
pub mod ask;
pub mod cli;
pub mod config;
pub mod counted;
pub mod exposure;
pub mod health;
pub mod import;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod papers;
pub mod progress;
pub mod reference;
pub mod server;
pub mod signals;
pub mod status;
pub mod tell;
pub mod trace;
pub mod units;
