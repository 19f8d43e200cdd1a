//! Any bytes are imported or refused, and what is printed is a configuration of the gateway's.
#![no_main]

use std::cell::RefCell;
use std::path::Path;

use gateway::config::Config;
use gateway::import::import;
use libfuzzer_sys::fuzz_target;
use satchel_fuzz::here::harmless;
use tempfile::TempDir;

thread_local!(static DIRECTORY: RefCell<TempDir> = RefCell::new(tempfile::tempdir_in("/dev/shm").expect("a directory")));

fuzz_target!(|data: &[u8]| {
    // Files of this machine are not to be read.
    if data.windows(7).any(|window| window == b"include") {
        return;
    }
    let imported = DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, data).expect("room");
        import(&path)
    });
    let Ok(imported) = imported else { return };
    let toml = &imported.toml;
    let _: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"));
    let Some(text) = harmless(toml).filter(|text| text.contains("[[server]]")) else { return };
    if text.contains("ssl_certificate") || text.contains("error_page") {
        return;
    }
    if let Err(error) = Config::parse(Path::new("gateway.toml"), &text) {
        panic!("{error}\n{toml}");
    }
});
