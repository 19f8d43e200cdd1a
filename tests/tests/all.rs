//! The tests with real processes, in one program: it is linked once, and a slow one delays nobody. `cargo test --test all lying::` runs those
//! of one file.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod applications;
mod balancing;
mod broken_servers;
mod buffering;
mod concurrency;
mod containers;
mod contexts;
mod copies;
mod crash;
mod differential;
mod directory;
mod discovery;
mod doctor;
mod documentation;
mod ends;
mod entry;
mod failing;
mod fixation;
mod floods;
mod forged;
mod gateway;
mod hostile;
mod import_context;
mod kinds;
mod kubernetes;
mod large;
mod locking;
mod login;
mod lying;
mod many_clients;
mod monitoring;
mod nodes;
mod operations;
mod outages;
mod outbox;
mod privilege;
mod reload;
mod rollback;
mod rolling_update;
mod secrets;
mod session_command;
mod settings;
mod slow_clients;
mod smuggling;
mod starvation;
mod status;
mod streams;
mod terminal;
mod text;
mod traces;
mod traffic;

#[test]
fn every_file_is_here() {
    let all = include_str!("all.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(name == "all" || all.contains(&format!("\nmod {name};\n")), "{name}");
    }
}
