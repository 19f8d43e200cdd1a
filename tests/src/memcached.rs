//! A real memcached.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::process::{NOBODY, Process};
use crate::wait::DEADLINE;
use crate::{eventually, needs, ports};

/// A running memcached.
pub struct Memcached {
    process: Process,
    port: u16,
    arguments: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Memcached {
    /// With memcached's own defaults.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With further arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(arguments: &[&str]) -> Self {
        needs::ensure();
        let directory = tempfile::tempdir().unwrap();
        let port = ports::free();
        let arguments: Vec<String> = arguments.iter().map(|s| (*s).to_owned()).collect();
        let process = launch(port, &arguments, &directory);
        let memcached = Self { process, port, arguments, _directory: directory };
        memcached.await_ready();
        memcached
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it and starts an empty one on the same port.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(self.port, &self.arguments, &self._directory);
        self.await_ready();
    }

    /// `stats`.
    pub fn stats(&self) -> HashMap<String, String> {
        self.command("stats\r\n", "END")
            .iter()
            .filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// One number of `stats`.
    pub fn stat(&self, name: &str) -> u64 {
        self.stats()[name].parse().unwrap()
    }

    /// All keys that it holds (`lru_crawler metadump hash`: a walk over the LRU can miss some).
    pub fn keys(&self) -> Vec<String> {
        let lines = loop {
            let lines = self.command("lru_crawler metadump hash\r\n", "END");
            // Another crawl is going on.
            if !lines.iter().any(|line| line.starts_with("BUSY")) {
                break lines;
            }
        };
        lines
            .iter()
            .filter_map(|line| Some(line.split(' ').next()?.strip_prefix("key=")?.to_owned()))
            .collect()
    }

    /// Keys of records and of locks.
    pub fn records(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| key.starts_with('s')).collect()
    }

    /// Parts of large records.
    pub fn chunks(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| key.starts_with('c')).collect()
    }

    /// The locks that are held.
    pub fn locks(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| key.starts_with('l')).collect()
    }

    /// Deletes an item. `false`: there was none.
    pub fn delete(&self, key: &str) -> bool {
        self.command(&format!("delete {key}\r\nmn\r\n"), "MN") == ["DELETED"]
    }

    /// An item: its client flags and its value.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, key: &str) -> (u32, Vec<u8>) {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        stream.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
        stream.get_mut().write_all(format!("get {key}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let parts: Vec<_> = line.split_whitespace().collect();
        assert_eq!(parts.first(), Some(&"VALUE"), "{key}: {line}");
        let mut value = vec![0; parts[3].parse().unwrap()];
        stream.read_exact(&mut value).unwrap();
        (parts[2].parse().unwrap(), value)
    }

    /// Writes an item, whatever is there.
    pub fn set(&self, key: &str, flags: u32, value: &[u8]) {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        stream.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("set {key} {flags} 600 {}\r\n", value.len());
        stream.get_mut().write_all(&[head.as_bytes(), value, b"\r\n"].concat()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "STORED");
    }

    /// Fills it with items of `size` bytes until it refuses one (option `-M`).
    pub fn fill(&self, size: usize) {
        let value = "x".repeat(size);
        let refused = (0..100_000).any(|n| {
            let line = format!("set fill-{size}-{n} 0 0 {size}\r\n{value}\r\nmn\r\n");
            self.command(&line, "MN").iter().any(|answer| answer.starts_with("SERVER_ERROR"))
        });
        assert!(refused, "it has room without end");
    }

    /// Sends a line and reads until a line that begins with `last`.
    pub fn command(&self, line: &str, last: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(stream).split(b'\n') {
            let line = String::from_utf8_lossy(&line.unwrap()).trim_end().to_owned();
            if line.starts_with(last) || line.starts_with("ERROR") {
                break;
            }
            let busy = line.starts_with("BUSY");
            lines.push(line);
            if busy {
                break;
            }
        }
        lines
    }

    fn await_ready(&self) {
        eventually("memcached listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }
}

fn launch(port: u16, arguments: &[String], directory: &tempfile::TempDir) -> Process {
    let program = needs::find("memcached").unwrap();
    Process::start_as(Some(NOBODY), "memcached", &program, &directory.path().join("log"), |command| {
        command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]).args(arguments);
    })
}
