//! A list of servers that another program writes is taken whole or not at all.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;

use gateway::upstream::read_file;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local!(static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new_in("/dev/shm").expect("a file")));

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let addresses: Vec<_> = lines.filter_map(|line| line.split_ascii_whitespace().next()).collect();
    // Names would be looked up.
    if !addresses.iter().all(|address| address.parse::<SocketAddr>().is_ok()) {
        return;
    }
    let read = FILE.with_borrow(|file| {
        std::fs::write(file.path(), data).expect("room");
        read_file(file.path())
    });
    if let Ok(servers) = read {
        assert!(data.ends_with(b"\n") && !servers.is_empty() && servers.len() == addresses.len());
        assert!(servers.iter().all(|(_, options)| options.weight > 0));
    }
});
