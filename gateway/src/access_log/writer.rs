//! Writes lines in a thread of its own: a slow disk must not hold requests up. When it can't keep up, lines
//! are dropped, counted and reported.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::config::AccessLog;

/// Lines that may wait.
const WAITING: usize = 8192;

/// The access log.
#[derive(Clone)]
pub struct Writer {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
}

/// The file can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("access_log.path: cannot open {}: {source}", path.display())]
pub struct AccessLogError {
    path: PathBuf,
    source: io::Error,
}

impl Writer {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(log: &AccessLog) -> Result<Self, AccessLogError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let out: Box<dyn Write + Send> = match log {
            AccessLog::Off => return Ok(Self { lines: None, dropped }),
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File(path) => Box::new(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|source| AccessLogError { path: path.clone(), source })?,
            ),
        };
        let (lines, waiting) = sync_channel(WAITING);
        let counter = dropped.clone();
        std::thread::spawn(move || write_all(&waiting, BufWriter::new(out), &counter));
        Ok(Self { lines: Some(lines), dropped })
    }

    /// Whether anything is logged.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Hands a line over.
    pub fn write(&self, line: String) {
        if let Some(lines) = &self.lines
            && lines.try_send(line).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Flushes whenever nothing waits, so that a line is at most as late as the disk.
fn write_all(waiting: &Receiver<String>, mut out: impl Write, dropped: &AtomicU64) {
    let mut failed = false;
    while let Ok(first) = waiting.recv() {
        let mut result = writeln!(out, "{first}");
        while let Ok(line) = waiting.try_recv() {
            result = result.and_then(|()| writeln!(out, "{line}"));
        }
        result = result.and_then(|()| out.flush());
        if result.is_err() != failed {
            failed = result.is_err();
            match result {
                Ok(()) => log::info!("The access log is written again"),
                Err(error) => log::error!("Cannot write the access log: {error}"),
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            log::error!("The access log could not keep up: {lost} lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before\n").unwrap();
        let writer = Writer::open(&AccessLog::File(file.path().to_owned())).unwrap();
        writer.write("one".into());
        writer.write("two".into());
        let start = std::time::Instant::now();
        while std::fs::read_to_string(file.path()).unwrap() != "before\none\ntwo\n" {
            assert!(start.elapsed().as_secs() < 10);
            std::thread::yield_now();
        }
    }
}
