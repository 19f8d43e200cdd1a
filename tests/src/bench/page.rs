//! What is asked for: `tests/webapp/Bench.java`.

use std::thread;

use crate::Client;

/// Tiny, and without a session.
pub const PLAIN: &str = "/bench/plain";
/// Tiny, and reads the session.
pub const READ: &str = "/bench/read";

/// Tiny, and changes the session's counter; a new session gets a text of so many bytes, too.
pub fn change(bytes: usize) -> String {
    format!("/bench/change?bytes={bytes}")
}

/// Begins sessions with texts of so many bytes at the server on `port`. The `Cookie` header of each.
///
/// # Panics
/// When one can't be begun.
pub fn begin_sessions(port: u16, sessions: usize, bytes: usize) -> Vec<String> {
    const AT_ONCE: usize = 8;
    let begin = move |n: usize| {
        let mut client = Client::new(port);
        let mut begun = Vec::new();
        for _ in (n..sessions).step_by(AT_ONCE) {
            client.cookies.clear();
            let response = client.get(&change(bytes));
            assert_eq!((response.status, response.number("n")), (200, Some(1)), "{}", response.text());
            begun.push(client.cookie_header("/"));
        }
        begun
    };
    let threads: Vec<_> = (0..AT_ONCE).map(|n| thread::spawn(move || begin(n))).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// The counter of each of these sessions.
///
/// # Panics
/// When a session is not there.
pub fn counters(port: u16, cookies: &[String]) -> Vec<u64> {
    let mut client = Client::new(port);
    let mut counter = |cookie: &String| {
        let response = client.send("GET", READ, &[("Cookie", cookie)], b"");
        u64::try_from(response.number("n").unwrap()).unwrap()
    };
    cookies.iter().map(&mut counter).collect()
}
