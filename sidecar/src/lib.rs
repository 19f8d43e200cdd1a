//! The sidecar: brings the session that a request needs, hands it to the Tomcat beside it, takes it back
//! and stores it in memcached before the client sees the response.
//!
//! `docs/architecture.md` says which file does what.

pub mod admin;
pub mod agreement;
mod banner;
pub mod broken;
pub mod cache;
pub mod config;
pub mod context;
pub mod doctor;
pub mod exchange;
mod exposition;
pub mod file;
mod finish;
pub mod id;
pub mod import;
pub mod leaving;
pub mod lock;
pub mod memcached;
pub mod metrics;
mod past;
pub mod probe;
pub mod proxy;
mod random;
pub mod record;
mod reload;
pub mod run;
pub mod session;
mod shown;
pub mod status;
mod stock;
pub mod sweeper;
pub mod turn;
