//! `sidecar session`: what is stored of sessions, for those who operate a farm, and forced logout.
//!
//! It works beside the running sidecars, with their configuration, by the same rules: it takes the session's lock, and what it ends is ended on
//! every copy.

pub mod command;
mod farm;
mod list;
mod metadump;
mod print;
mod show;
mod time;
