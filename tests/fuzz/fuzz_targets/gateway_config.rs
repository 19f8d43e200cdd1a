//! Any text is a configuration or an error, each time the same, and what is accepted can be used.
#![no_main]

use std::path::Path;

use gateway::config::Config;
use gateway::routing::{Routes, location};
use libfuzzer_sys::fuzz_target;
use satchel_fuzz::here::harmless;

fuzz_target!(|text: &str| {
    let path = Path::new("gateway.toml");
    let Some(text) = harmless(text) else {
        // What is no TOML has an error.
        assert!(text.parse::<toml::Table>().is_ok() || Config::parse(path, text).is_err());
        return;
    };
    let read = || Config::parse(path, &text).map_err(|error| error.to_string());
    match (read(), read()) {
        (Ok(config), Ok(again)) => {
            assert_eq!(format!("{config:?}"), format!("{again:?}"));
            let routes = Routes::new(&config.servers);
            for server in &config.servers {
                let socket = server.listen.first().expect("it listens somewhere").address;
                assert!(routes.server(socket, "shop.example", &config.servers).is_some());
                let _ = (server.name(), location(&server.locations, b"/a/b"));
            }
        }
        (Err(error), Err(again)) => assert_eq!(error, again),
        _ => panic!("once so and once so"),
    }
});
