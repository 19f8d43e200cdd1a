//! Ports for programs that can't tell which one they took.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, OnceLock};

/// A free port of 127.0.0.1 that this process has not handed out before.
///
/// # Panics
/// When the machine has none left.
pub fn free() -> u16 {
    static GIVEN: OnceLock<Mutex<HashSet<u16>>> = OnceLock::new();
    let given = GIVEN.get_or_init(Mutex::default);
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if given.lock().unwrap().insert(port) {
            return port;
        }
    }
}
