//! The gateway: weighted balancing over several servers, without session affinity.
//!
//! Names are nginx's where nginx has one. `docs/architecture.md` says which file does what.

pub mod access_log;
pub mod admin;
pub mod balancer;
mod banner;
pub mod config;
pub mod entry;
mod exposition;
pub mod forwarding;
pub mod import;
pub mod limits;
pub mod metrics;
pub mod proxy;
pub mod reload;
pub mod routing;
pub mod run;
pub mod running;
pub mod status;
pub mod template;
pub mod tls;
pub mod upgrade;
pub mod upstream;
