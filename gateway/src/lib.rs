//! The gateway: weighted balancing over several servers, without session affinity.
//!
//! Names are nginx's where nginx has one. `docs/architecture.md` says which file does what.

pub mod access_log;
pub mod balancer;
pub mod config;
pub mod forwarding;
pub mod limits;
pub mod proxy;
pub mod run;
pub mod upstream;
