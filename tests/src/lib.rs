//! Harness for tests against the real programs: Tomcat, memcached, the sidecar, the gateway, a client.
//!
//! Everything is a builder with a handle. Each listens on a free port of the loopback address and dies with
//! its handle, and with the test process if that is killed.

// A harness that can't go on must say so and stop the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bench;
pub mod binaries;
pub mod browser;
pub mod certificate;
pub mod chaos;
pub mod client;
pub mod collector;
pub mod dns;
pub mod doctor;
pub mod farm;
pub mod gateway;
pub mod kubernetes;
pub mod liar;
pub mod link;
pub mod load;
pub mod maven;
pub mod memcached;
pub mod needs;
pub mod nginx;
pub mod often;
pub mod origin;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod sidecar;
pub mod tomcat;
pub mod twemproxy;
pub mod users;
pub mod version;
pub mod wait;
pub mod webapp;

pub use browser::Browser;
pub use client::{Client, Response};
pub use doctor::Doctor;
pub use farm::Farm;
pub use gateway::Gateway;
pub use liar::Liar;
pub use link::Link;
pub use load::{Load, Report};
pub use memcached::Memcached;
pub use nginx::Nginx;
pub use often::often;
pub use origin::Origin;
pub use sidecar::Sidecar;
pub use tomcat::Tomcat;
pub use twemproxy::Twemproxy;
pub use version::TomcatVersion;
pub use wait::eventually;
