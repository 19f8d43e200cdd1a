//! Ports for programs that can't tell which one they took.

use std::net::TcpListener;
use std::sync::{Mutex, OnceLock};

use crate::lock::FileLock;

/// Below the range that the kernel takes ports of outgoing connections from (32768 and up): a server that is
/// restarted on its port finds it free, also under load.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A free port of 127.0.0.1. No test process that runs at the same time gets the same: each port is a locked
/// file for as long as the process lives.
///
/// # Panics
/// When none is left.
pub fn free() -> u16 {
    static GIVEN: OnceLock<Mutex<Vec<FileLock>>> = OnceLock::new();
    let mut given = GIVEN.get_or_init(Mutex::default).lock().unwrap();
    let directory = FileLock::directory();
    let size = usize::from(RANGE.end - RANGE.start);
    // Where to begin looking differs by process, so that they seldom meet.
    let start = std::process::id() as usize * 101;
    for step in 0..size {
        let offset = u16::try_from((start + given.len() + step) % size).unwrap();
        let port = RANGE.start + offset;
        let Some(lock) = FileLock::take(&directory.join(port.to_string())) else { continue };
        if is_free(port) {
            given.push(lock);
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}

/// Whether nobody listens there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
