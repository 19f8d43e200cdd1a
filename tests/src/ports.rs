//! Ports for programs that can't tell which one they took.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that systems give to outgoing connections (Linux: from 32768 on,
/// `net.ipv4.ip_local_port_range`): between the hand-out and its use none of those can take one.
const PORTS: Range<u32> = 10_000..32_000;

/// A free port of 127.0.0.1 that this process has not handed out before.
///
/// # Panics
/// When the machine has none left.
pub fn free() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let start = std::process::id().wrapping_mul(211);
    for _ in PORTS {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + start.wrapping_add(step) % PORTS.len() as u32;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}
